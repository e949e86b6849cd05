// Builds the user programs of QEMU's `tests/tcg` for x86 and runs them on the host and in a Linux guest: they have to print the
// same, but for what qemu-tcg.json leaves out. Nothing of the suite is part of this repository.
//   npm run suite:qemu-tcg -- DIR [--engine interpreter|translator|kvm] [NAME...]
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { DIRECTORY, EXECUTABLE, writeCpio } from '../../src/host-node/guests/cpio.ts';
import type { CpioEntry } from '../../src/host-node/guests/cpio.ts';
import { VirtualMachine } from '../../src/index.ts';
import type { EngineName } from '../../src/index.ts';

const usage = `usage: npm run suite:qemu-tcg -- DIR [--engine interpreter|translator|kvm] [NAME...]
DIR is a QEMU source tree; NAME is a program as the output names it: 32/test-i386`;

/** A program: its source below tests/tcg, and what its build needs besides, as the suite's make files have it. */
interface Program {
  readonly source: string;
  readonly options?: readonly string[];
  /** Further sources, of the 32-bit program only when `sources32`. */
  readonly sources?: readonly string[];
  readonly sources32?: readonly string[];
  readonly widths?: readonly (32 | 64)[];
  /** A header that a script of the suite makes, from x86.csv without instructions that are not announced. */
  readonly header?: readonly [script: string, name: string, ...args: string[]];
  /** Calls that are taken out: the guest's kernel, made for clouds, knows no 16-bit segments. */
  readonly without?: RegExp;
}
const UNANNOUNCED = /"(VAES|VPCLMULQDQ|GFNI)[^"]*"/;

const i386 = (name: string, rest: Omit<Program, 'source'> = {}): Program => ({ source: `i386/${name}.c`, ...rest });
const floats = (name: string): Program => ({ source: `multiarch/${name}.c`, sources: ['multiarch/libs/float_helpers.c'] });
const intel = ['-masm=intel', '-O'];

const programs: readonly Program[] = [
  i386('test-i386', { options: ['-fno-pie'], without: /^ *test_code16\(\);$/m, sources32: ['i386/test-i386-code16.S', 'i386/test-i386-vm86.S'] }),
  i386('test-mmx', { widths: [64], options: intel, header: ['test-mmx.py', 'test-mmx.h', 'MMX', 'SSE', 'SSE2', 'SSE3', 'SSSE3'] }),
  i386('test-avx', { widths: [64], options: [...intel, '-mavx'], header: ['test-avx.py', 'test-avx.h'] }),
  i386('test-i386-ssse3', { widths: [64] }),
  i386('test-i386-bmi2'),
  i386('test-i386-pcmpistri', { options: ['-msse4.2'] }),
  i386('test-i386-sse-exceptions', { options: ['-msse4.1', '-mfpmath=sse'] }),
  ...['f2xm1', 'fbstp', 'fisttp', 'fldcst', 'fp-exceptions', 'fpatan', 'fprem', 'fscale', 'fxam', 'fxtract', 'fyl2x', 'fyl2xp1', 'pseudo-denormal', 'snan-convert'].map((name) => i386(`test-i386-${name}`)),
  i386('hello-i386', { widths: [32], options: ['-ffreestanding', '-nostdlib'] }),
  { source: 'x86_64/cmpxchg.c' },
  { source: 'x86_64/noexec.c', widths: [64] },
  ...['float_convd', 'float_convs', 'float_madds'].map(floats),
  { source: 'multiarch/overflow.c' },
  { source: 'multiarch/sha1.c' },
  { source: 'multiarch/sha512.c' },
];

/** What is not compared of a program's output, and why. */
interface Known {
  /** A script of sed -E. */
  readonly without: string;
  readonly reason: string;
}

/** Longer outputs are compared by their hash alone. */
const LARGE = 16 << 20;
const TIMEOUT_SECONDS = 3600;

interface Built {
  readonly name: string;
  readonly path: string;
}

function build(program: Program, width: 32 | 64, tree: string, scratch: string): Built {
  const folder = join(tree, 'tests/tcg');
  const name = program.source.replace(/^.*\//, '').replace(/\.c$/, '');
  if (program.header !== undefined) {
    const [script, header, ...args] = program.header;
    const table = join(scratch, 'x86.csv');
    writeFileSync(table, readFileSync(join(folder, 'i386/x86.csv'), 'utf8').split('\n').filter((line) => !UNANNOUNCED.test(line)).join('\n'));
    execFileSync('python3', [join(folder, 'i386', script), table, join(scratch, header), ...args]);
  }
  let main = join(folder, program.source);
  if (program.without !== undefined) {
    const text = readFileSync(main, 'utf8');
    main = join(scratch, `${name}.c`);
    writeFileSync(main, text.replace(program.without, ''));
  }
  const sources = [main, ...[...(program.sources ?? []), ...(width === 32 ? program.sources32 ?? [] : [])].map((file) => join(folder, file))];
  const path = join(scratch, `${name}-${width}`);
  const options = [`-m${width}`, '-O2', '-std=gnu99', '-w', '-static', '-no-pie', '-s', '-I', scratch, '-I', join(folder, 'multiarch'), '-I', join(folder, 'i386'), ...(program.options ?? [])];
  execFileSync('cc', [...options, '-o', path, ...sources, ...(program.options?.includes('-nostdlib') === true ? [] : ['-lm'])]);
  return { name: `${width}/${name}`, path };
}

/** Prints the program's output and how it ends. No addresses that change from run to run, no environment. */
const run = (path: string, known: Known | undefined): string => `env -i sh -c '${path} 2>&1; echo "exit $?"' | sed -E '${known?.without ?? ''}'`;

function runOnHost(path: string, known: Known | undefined): Buffer {
  const done = spawnSync('setarch', ['-R', 'sh', '-c', run(path, known)], { maxBuffer: 1 << 30 });
  if (done.error !== undefined) throw done.error;
  return done.stdout;
}

const guestScript = (built: readonly Built[], list: Readonly<Record<string, Known>>): string => `cd /suite
echo 0 > /proc/sys/kernel/randomize_va_space
compare() {
  if [ "$(md5sum < result)" = "$(cat expected/$1.md5)" ]; then echo "RESULT $1 same"; else
    echo "RESULT $1 differs"
    [ -e expected/$1 ] && diff expected/$1 result > lines; head -n 30 lines; tail -n 10 lines
  fi
}
${built.map(({ name }) => `${run(`./${name}`, list[name])} > result; compare ${name}\n`).join('')}echo SUITE END
`;

function guestFiles(script: string, built: readonly (Built & { readonly expected: Buffer })[]): Uint8Array {
  const folder = (path: string): CpioEntry => ({ path, mode: DIRECTORY });
  const plain = (path: string, data: Uint8Array): CpioEntry => ({ path, mode: 0o100644, data });
  return writeCpio([
    ...['suite', 'suite/32', 'suite/64', 'suite/expected', 'suite/expected/32', 'suite/expected/64'].map(folder),
    plain('suite/run', Buffer.from(script)),
    ...built.flatMap(({ name, path, expected }) => [
      { path: `suite/${name}`, mode: EXECUTABLE, data: new Uint8Array(readFileSync(path)) },
      plain(`suite/expected/${name}.md5`, Buffer.from(`${createHash('md5').update(expected).digest('hex')}  -\n`)),
      ...(expected.length > LARGE ? [] : [plain(`suite/expected/${name}`, expected)]),
    ]),
  ]);
}

/** The console's text from the suite's start to its end. */
async function runInGuest(files: Uint8Array, engine: EngineName | undefined, scratch: string): Promise<string> {
  const guest = await catalogue.find(({ name }) => name === 'linux')!.fetch(() => {});
  const initrd = join(scratch, 'initrd');
  // Archives of initial RAM file systems may follow one another.
  writeFileSync(initrd, Buffer.concat([readFileSync(guest.initrd!), files]));
  const vm = await VirtualMachine.create({ kernel: guest.kernel, initrd, append: `${guest.append} quiet`, memory: '1G', ...(engine === undefined ? {} : { engine }) });
  void vm.start();
  await vm.console.waitFor(/# /, TIMEOUT_SECONDS * 1000);
  vm.console.write('sh /suite/run\n');
  const text = await vm.console.waitFor(/RESULT [\s\S]*SUITE END/, TIMEOUT_SECONDS * 1000);
  await vm.stop();
  return text;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { engine: { type: 'string' } } });
  const [tree, ...names] = positionals;
  const engine = (['interpreter', 'translator', 'kvm'] as const).find((name) => name === values.engine);
  if (tree === undefined || !existsSync(join(tree, 'tests/tcg/i386')) || (values.engine !== undefined && engine === undefined)) {
    console.error(usage);
    return 1;
  }
  const known = JSON.parse(readFileSync('test/suites/qemu-tcg.json', 'utf8')) as Readonly<Record<string, Known>>;
  const scratch = mkdtempSync(join(tmpdir(), 'qemu-tcg-'));
  try {
    const built = programs.flatMap((program) => (program.widths ?? [32, 64]).map((width) => build(program, width, tree, scratch)))
      .filter(({ name }) => names.length === 0 || names.includes(name))
      .map((entry) => ({ ...entry, expected: runOnHost(entry.path, known[entry.name]) }));
    if (built.length === 0) throw new Error(`no program is called ${names.join(' or ')}`);
    const text = await runInGuest(guestFiles(guestScript(built, known), built), engine, scratch);
    const outcomes = new Map([...text.matchAll(/^RESULT (\S+) (same|differs)\r?$((?:\r?\n(?!RESULT |SUITE END).*)*)/gm)].map(([, name, how, lines]) => [name!, { same: how === 'same', lines: lines! }]));
    for (const { name, expected } of built) {
      const outcome = outcomes.get(name);
      const reason = known[name]?.reason;
      const verdict = outcome === undefined ? 'did not run' : outcome.same ? 'same' : 'differs';
      console.log(`${name.padEnd(32)} ${String(expected.length).padStart(9)} bytes  ${verdict}${reason === undefined ? '' : ` (without ${reason})`}`);
      if (outcome?.same === false) console.log(outcome.lines.trim());
    }
    const same = [...outcomes.values()].filter((outcome) => outcome.same).length;
    console.log(`in all: ${same} of ${built.length} print what they print on the host`);
    return same === built.length ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

process.exitCode = await main();
