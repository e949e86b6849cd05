// Bundles what runs under Node into dist/node: the command, the library, their threads. The command alone has some 350 modules, and to
// find and read them one by one takes longer than all else that it does before it is ready.
import { chmodSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'dist/node');

rmSync(out, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: { polyvisor: 'src/cli/main.ts', index: 'src/index.ts', 'translation-worker': 'src/host-node/translation-worker.ts', 'vcpu-worker': 'src/host-node/vcpu-worker.ts' },
  outdir: out,
  bundle: true,
  splitting: true,
  chunkNames: 'shared-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // What is read and parsed at each start is a third shorter so. Names and lines stay, for stacks of calls.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 200,
  packages: 'external',
  logLevel: 'warning',
});
chmodSync(join(out, 'polyvisor.js'), 0o755);
