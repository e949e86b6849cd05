import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { STEP_LIMIT } from './executor.ts';
import type { Case, Reference, Step } from './executor.ts';
import { holdsTrapsBack, repeats } from './rows.ts';
import { CpuState, RFLAGS, STATE_BYTES } from './state.ts';

const MAX_CODE = 128;
/** A batch takes a second. */
const LONGEST_MS = 300_000;
const HEADER_BYTES = 24 + 2 * MAX_CODE;
const PATCH_BYTES = 72;
const MARK_START = 1;
const MARK_REPEATS = 2;
const MARK_PUSHES_FLAGS = 4;
const MARK_HOLDS_TRAPS_BACK = 8;
/** TF and RF are the stepping's own. */
export const STEPPING_FLAGS = 0x10100n;
/** From here on Linux reports every page fault as one of rights (arch/x86/mm/fault.c, sanitize_error_code). */
export const USER_END = 0x7ffffffff000n;

/** Why the host processor cannot be the reference here, or undefined when it can. */
export function hostUnavailable(): string | undefined {
  if (process.arch !== 'x64') return `the host is ${process.arch}, not x64`;
  if (process.platform !== 'linux') return `the host runs ${process.platform}, not Linux`;
  return spawnSync('cc', ['--version']).status === 0 ? undefined : 'there is no C compiler called cc';
}

/** The C program lies in the sources; this file may run from dist/. */
const source = fileURLToPath(import.meta.url).replace(/(?:\/dist)?(\/fuzz\/cpu\/)host\.[jt]s$/, '$1native.c');

/** The host processor in user mode; `image` is what the data pages hold before each case. */
export function createHost(image: Uint8Array): Reference {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-fuzz-'));
  const program = join(folder, 'native');
  // At an address that no edge value comes near; FS is the case's, so nothing may use thread-local storage.
  const options = ['-O2', '-static', '-nostdlib', '-ffreestanding', '-fno-stack-protector', '-fno-pie', '-no-pie', '-mcmodel=large', '-Wl,-Ttext-segment=0x345600000000'];
  const built = spawnSync('cc', [...options, '-o', program, source], { encoding: 'utf8' });
  if (built.status !== 0) {
    rmSync(folder, { recursive: true });
    throw new Error(`${source} does not compile:\n${built.stderr}`);
  }
  return {
    name: 'host',
    run(cases) {
      const input = Buffer.concat([image, ...cases.map(encode)]);
      const done = spawnSync(program, { input, maxBuffer: 1 << 30, timeout: LONGEST_MS, killSignal: 'SIGKILL' });
      if ((done.error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT') throw new Error('the native program does not come back from one of these cases; try another seed');
      if (done.status !== 0) throw new Error(`the native program died (${done.signal ?? done.status})`);
      return decode(done.stdout, cases);
    },
    close: () => rmSync(folder, { recursive: true }),
  };
}

function encode(entry: Case): Buffer {
  const length = HEADER_BYTES + STATE_BYTES + entry.patches.length * PATCH_BYTES;
  const out = Buffer.alloc(length);
  let size = 0;
  for (const instruction of entry.instructions) {
    const { bytes, rowIndex } = instruction;
    out[24 + size] = MARK_START | (repeats(instruction) ? MARK_REPEATS : 0) | (opcodeRows[rowIndex]!.name === 'pushf' ? MARK_PUSHES_FLAGS : 0) | (holdsTrapsBack(instruction) ? MARK_HOLDS_TRAPS_BACK : 0);
    out.set(bytes, 24 + MAX_CODE + size);
    size += bytes.length;
  }
  if (size > MAX_CODE) throw new Error(`a sequence of ${size} bytes is too long`);
  [length, entry.width, entry.address, size, STEP_LIMIT, entry.patches.length].forEach((value, i) => out.writeUInt32LE(value, i * 4));
  out.set(entry.before.bytes, HEADER_BYTES);
  entry.patches.forEach(({ offset, bytes }, i) => {
    const at = HEADER_BYTES + STATE_BYTES + i * PATCH_BYTES;
    out.writeUInt32LE(offset, at);
    out.writeUInt32LE(bytes.length, at + 4);
    out.set(bytes, at + 8);
  });
  return out;
}

function decode(output: Buffer, cases: readonly Case[]): Step[][] {
  let at = 0;
  return cases.map(() => {
    const count = output.readUInt32LE(at);
    const raised = output.readUInt32LE(at + 4) !== 0;
    at += 8;
    return Array.from({ length: count }, (_, i) => {
      const state = new CpuState(output.subarray(at, at + STATE_BYTES));
      state.setU64(RFLAGS, state.u64(RFLAGS) & ~STEPPING_FLAGS);
      at += STATE_BYTES;
      const offset = output.readUInt32LE(at);
      const length = output.readUInt32LE(at + 4);
      at += 8;
      const change = length === 0 ? undefined : { offset, bytes: output.subarray(at, at + length) };
      at += length;
      return { state, raised: raised && i === count - 1, change };
    });
  });
}

