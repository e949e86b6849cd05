// Bundles what runs in browsers into dist/browser, one folder that any static server can serve: the library for pages,
// the two workers, and the engines' compiled parts. Prints what a page has to load.
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'dist/browser');
const ENGINES = ['runtime.wasm', 'interpreter.wasm', 'handlers.places', 'handlers.traits'];
/** Compressed, in KB, without guests (issue 8). */
const MOST_KB = 700;

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const result = await build({
  absWorkingDir: root,
  entryPoints: { index: 'src/browser/index.ts', element: 'src/browser/element.ts', 'machine-worker': 'src/host-browser/machine-worker.ts', 'translation-worker': 'src/host-browser/translation-worker.ts', 'vcpu-worker': 'src/host-browser/vcpu-worker.ts' },
  outdir: out,
  bundle: true,
  splitting: true,
  chunkNames: 'shared-[hash]',
  format: 'esm',
  platform: 'browser',
  target: ['chrome120', 'firefox121', 'safari18'],
  minify: true,
  keepNames: false,
  legalComments: 'linked',
  define: { POLYVISOR_VERSION: JSON.stringify(version) },
  loader: { '.css': 'text' },
  metafile: true,
  logLevel: 'warning',
});
for (const name of ENGINES) copyFileSync(join(root, 'dist/generated', name), join(out, name));
writeFileSync(join(root, 'dist/browser-inputs.json'), JSON.stringify(Object.keys(result.metafile.inputs).sort(), undefined, 1));

// The demo page, which loads the library as any page does.
await build({
  absWorkingDir: root, entryPoints: ['web/page/demo.ts'], outdir: join(root, 'dist/demo'), bundle: true, format: 'esm', platform: 'browser', target: ['chrome120'], minify: true, external: ['polyvisor/*', '/polyvisor/*'], logLevel: 'warning',
});
for (const name of ['index.html', 'demo.css']) copyFileSync(join(root, 'web/page', name), join(root, 'dist/demo', name));

const sizes = readdirSync(out).filter((name) => !name.endsWith('.txt')).map((name) => {
  const bytes = readFileSync(join(out, name));
  return { name, bytes: bytes.length, packed: gzipSync(bytes, { level: 9 }).length };
});
const kb = (bytes) => (bytes / 1000).toFixed(0);
const total = sizes.reduce((sum, { packed }) => sum + packed, 0);
for (const { name, bytes, packed } of sizes) console.log(`browser: ${name} ${kb(bytes)} KB, compressed ${kb(packed)}`);
console.log(`browser: in all ${kb(total)} KB compressed, of ${MOST_KB}`);
if (total > MOST_KB * 1000) {
  console.error(`build: the browser's bundle has grown beyond ${MOST_KB} KB`);
  process.exit(1);
}
