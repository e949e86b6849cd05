// Compiles src/runtime (AssemblyScript) to a WebAssembly module: dist/generated/runtime.wasm, or the file given.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Files whose constants the runtime imports, besides its own folder. */
const shared = ['src/isa/x86/state/layout.ts', 'src/memory/layout.ts', 'src/isa/x86/decode/record.ts', 'src/isa/x86/routines/float-operations.ts'];

const options = [
  '-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--sharedMemory', '--maximumMemory', '65536', '--memoryBase', '4096',
  '--enable', 'threads', '--enable', 'simd',
  // Only generated code exchanges v128 with the module, never JavaScript.
  '--disableWarning', '112',
];

function sources() {
  const own = readdirSync(join(root, 'src/runtime'), { recursive: true }).filter((name) => name.endsWith('.ts')).map((name) => join('src/runtime', name));
  return [...own, ...shared].map((name) => join(root, name));
}

function isCurrent(output) {
  if (!existsSync(output)) return false;
  const built = statSync(output).mtimeMs;
  return [...sources(), fileURLToPath(import.meta.url)].every((file) => statSync(file).mtimeMs < built);
}

/**
 * Builds the module unless it is newer than all its sources. Returns its path. Throws with the compiler's messages.
 */
export function buildRuntime(output = join(root, 'dist/generated/runtime.wasm')) {
  if (isCurrent(output)) return output;
  mkdirSync(dirname(output), { recursive: true });
  // Built aside and renamed: test workers that build at the same time never see half a file.
  const unfinished = `${output}.${process.pid}`;
  const asc = join(dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')), 'bin/asc.js');
  const result = spawnSync(process.execPath, [asc, 'src/runtime/index.ts', ...options, '--outFile', unfinished], { cwd: root, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`the runtime does not compile:\n${result.stdout}${result.stderr}${result.error ?? ''}`);
  if (!WebAssembly.validate(readFileSync(unfinished))) throw new Error('the compiled runtime is no valid module');
  renameSync(unfinished, output);
  return output;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(buildRuntime(process.argv[2] === undefined ? undefined : resolve(process.argv[2])));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
