// Runs the tests of FEX's `unittests/ASM` and `unittests/32Bit_ASM` on our engines and compares the outcome with what
// fex.json says of them. Nothing of the suite is part of this repository.
//   npm run suite:fex -- DIR [--engine interpreter|translator|evaluator] [--show] [NAME...]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserMode, engineNames } from '../../fuzz/cpu/user-mode.ts';
import type { EngineName } from '../../fuzz/cpu/user-mode.ts';
import { implementedFeatures } from '../../src/isa/x86/features.ts';
import { parseFexHeader } from './fex-header.ts';
import type { FexHeader } from './fex-header.ts';
import { runFexTest } from './fex-run.ts';

const usage = `usage: npm run suite:fex -- DIR [--engine interpreter|translator|evaluator] [--show] [NAME...]
DIR is a FEX source tree; NAME is part of a test's path; --show prints what differs in tests known to fail as well.`;

/** Names of features where the suite has others than ours. */
const featureNames: Readonly<Record<string, string>> = { RAND: 'rdrand', CLFLOPT: 'clflushopt', PCLMUL: 'pclmulqdq', AES256: 'vaes' };
/** What a test wants besides features of the processor. */
const foreign: Readonly<Record<string, string>> = { LINUX: 'calls Linux', AFP: 'is about a feature of Arm processors', EMMI: 'is about 3DNow! of FEX' };
const MEMORY_BYTES = 64 << 20;

function missing({ features }: FexHeader): string | undefined {
  for (const feature of features) {
    if (foreign[feature] !== undefined) return foreign[feature];
    const name = featureNames[feature] ?? feature.toLowerCase();
    if (!implementedFeatures.has(name)) return `${name} is not announced`;
  }
  return undefined;
}

/** As the suite's build file does it: mode, origin and selectors before, RET behind. */
function assemble(source: string, width: 32 | 64, includes: string, scratch: string): Uint8Array {
  const before = width === 64 ? 'BITS 64\n' : 'BITS 32\norg 10000h\nmov eax, 0x17\nmov ds, ax\nmov es, ax\n';
  const input = join(scratch, 'test.asm');
  const output = join(scratch, 'test.bin');
  writeFileSync(input, `${before}${source}\nret\n`);
  const done = spawnSync('nasm', ['-i', `${includes}/`, input, '-o', output], { encoding: 'utf8' });
  if (done.error !== undefined) throw done.error;
  if (done.status !== 0) throw new Error(`nasm: ${done.stderr.trim()}`);
  return readFileSync(output);
}

/** What fex.json says of a test or of a folder (with a slash at its end). */
function knownReason(list: Readonly<Record<string, string>>, name: string): string | undefined {
  return list[name] ?? Object.entries(list).find(([key]) => key.endsWith('/') && name.startsWith(key))?.[1];
}

function main(): number {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { engine: { type: 'string', default: 'interpreter' }, show: { type: 'boolean', default: false } } });
  const [directory, ...names] = positionals;
  if (directory === undefined || !existsSync(join(directory, 'unittests/ASM')) || !engineNames.some((name) => name === values.engine)) {
    console.error(usage);
    return 1;
  }
  if (spawnSync('nasm', ['--version']).status !== 0) {
    console.error('the tests are assembled by nasm, which is not installed');
    return 1;
  }
  const root = join(directory, 'unittests');
  const list = JSON.parse(readFileSync('test/suites/fex.json', 'utf8')) as Readonly<Record<string, string>>;
  const files = ['ASM', '32Bit_ASM'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.asm')).map((name) => `${folder}/${name}`)).sort()
    .filter((name) => names.length === 0 || names.some((part) => name.includes(part)));
  const user = new UserMode(values.engine as EngineName, MEMORY_BYTES);
  const scratch = mkdtempSync(join(tmpdir(), 'fex-'));
  const counts = { passed: 0, failed: 0, surprises: 0 };
  const notRun = new Map<string, number>();
  try {
    for (const name of files) {
      const source = readFileSync(join(root, name), 'utf8');
      const header = parseFexHeader(source);
      if (header === undefined) continue;
      const why = missing(header);
      if (why !== undefined) {
        notRun.set(why, (notRun.get(why) ?? 0) + 1);
        continue;
      }
      const lines = runFexTest(user, header, assemble(source, header.width, join(root, 'ASM/Includes'), scratch));
      const known = knownReason(list, name);
      const surprise = lines.length > 0 !== (known !== undefined);
      if (lines.length > 0) counts.failed++;
      else counts.passed++;
      if (surprise) counts.surprises++;
      if (surprise) console.log(`${name}: ${lines.length > 0 ? 'fails' : `passes, though: ${known}`}`);
      else if (values.show && lines.length > 0) console.log(`${name}: fails, known: ${known}`);
      if (surprise || values.show) for (const line of lines) console.log(`    ${line}`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  for (const [why, count] of notRun) console.log(`not run: ${String(count).padStart(4)}  ${why}`);
  console.log(`in all: ${counts.passed} pass, ${counts.failed} fail, ${counts.surprises} other than fex.json says, on the ${values.engine}`);
  return counts.surprises === 0 ? 0 : 1;
}

process.exitCode = main();
