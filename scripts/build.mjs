// Builds everything into dist/: TypeScript, the runtime module (AssemblyScript), the interpreter generated from the
// instruction semantics. Steps whose inputs have not changed are skipped.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildRuntime } from './build-runtime.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Newest modification below the given files and folders. */
function newest(...paths) {
  let time = 0;
  for (const path of paths.map((name) => join(root, name))) {
    if (!existsSync(path)) continue;
    const found = statSync(path);
    if (!found.isDirectory()) time = Math.max(time, found.mtimeMs);
    else for (const name of readdirSync(path, { recursive: true })) time = Math.max(time, statSync(join(path, name)).mtimeMs);
  }
  return time;
}

function step(name, output, inputs, action) {
  const file = join(root, output);
  if (existsSync(file) && statSync(file).mtimeMs >= newest(...inputs)) return;
  console.log(`build: ${name}`);
  action();
}

function run(program, args) {
  const done = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (done.status !== 0) process.exit(done.status ?? 1);
}

const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
step('TypeScript', 'dist/.tsbuild', ['src', 'bench', 'fuzz', 'web', 'test/suites', 'tsconfig.json', 'tsconfig.build.json', 'package.json'], () => {
  rmSync(join(root, 'dist/src'), { recursive: true, force: true });
  run(process.execPath, [tsc, '-p', 'tsconfig.build.json']);
  run(process.execPath, ['-e', "require('node:fs').writeFileSync('dist/.tsbuild', '')"]);
});
try {
  buildRuntime();
} catch (error) {
  console.error(`build: ${error.message}`);
  process.exit(1);
}
step('interpreter', 'dist/generated/interpreter.wasm', ['dist/.tsbuild', 'scripts/build-interpreter.mjs'], () => run(process.execPath, ['scripts/build-interpreter.mjs']));
// Translations are kept for processes that would make the same.
step('build.id', 'dist/generated/build.id', ['dist/.tsbuild', 'dist/generated/interpreter.wasm'], () => {
  const hash = createHash('sha256');
  for (const folder of ['src', 'dist/generated']) {
    for (const name of readdirSync(join(root, folder), { recursive: true }).filter((name) => /(?<!\.test|-support)\.ts$|\.wasm$/.test(name)).sort()) hash.update(name).update(readFileSync(join(root, folder, name)));
  }
  writeFileSync(join(root, 'dist/generated/build.id'), hash.digest('hex').slice(0, 32));
});
step('Node', 'dist/node/polyvisor.js', ['dist/.tsbuild', 'scripts/build-node.mjs'], () => run(process.execPath, ['scripts/build-node.mjs']));
step('browser', 'dist/browser/index.js', ['dist/.tsbuild', 'dist/generated', 'scripts/build-browser.mjs'], () => {
  run(process.execPath, [tsc, '-p', 'tsconfig.page.json', '--noEmit', 'false', '--emitDeclarationOnly', '--outDir', 'dist']);
  run(process.execPath, ['scripts/build-browser.mjs']);
});
