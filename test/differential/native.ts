import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the data that an instruction may touch lies, the same for both executors. */
export const WINDOW = 0x1000800;
export const WINDOW_BYTES = 256;
const STATE_BYTES = 1280;
/** Offsets in it. */
const FX = 192;
const HIGH = 768;
const WINDOW_AT = 1024;
const REQUEST_BYTES = 24 + STATE_BYTES;

/** Processor state around one instruction. The window's first byte is at WINDOW - 128. */
export interface MachineState {
  readonly gpr: BigUint64Array; // 16
  flags: number;
  mxcsr: number;
  readonly xmm: Uint8Array; // 16 * 16
  /** Upper halves of the YMM registers. */
  readonly high: Uint8Array; // 16 * 16
  /** Eight x87 registers of 10 bytes each, MMX registers in their low 8; then the valid ones as a bit mask. */
  readonly x87: Uint8Array; // 81
  readonly window: Uint8Array; // WINDOW_BYTES
  /** 0, or the exception: 'UD', 'DE', 'GP' (any access fault), 'DB' (traps). */
  exception: '' | 'UD' | 'DE' | 'GP' | 'DB' | 'AC';
}

export interface Case {
  readonly code: Uint8Array;
  readonly mode: 32 | 64;
  readonly before: MachineState;
}

const exceptionOfSignal: Readonly<Record<number, MachineState['exception']>> = { 0: '', 4: 'UD', 5: 'DB', 7: 'AC', 8: 'DE', 11: 'GP' };

/** Features whose name in /proc/cpuinfo is not ours. */
const linuxNames: Readonly<Record<string, string>> = { sse3: 'pni', lzcnt: 'abm', sha: 'sha_ni' };

/** The host's processor has the feature, by Linux's list. */
export function hostHas(feature: string): boolean {
  hostFlags ??= new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(' '));
  return feature === '' || hostFlags.has(linuxNames[feature] ?? feature.replace('.', '_'));
}
let hostFlags: Set<string> | undefined;

/** Builds native.c with the system's compiler; undefined where there is none (or another architecture). */
export function buildNative(): { run(cases: readonly Case[]): MachineState[]; close(): void } | undefined {
  if (process.arch !== 'x64' || process.platform !== 'linux') return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-native-'));
  const program = join(folder, 'native');
  const built = spawnSync('cc', ['-O1', '-o', program, fileURLToPath(new URL('native.c', import.meta.url))], { encoding: 'utf8' });
  if (built.error !== undefined) {
    rmSync(folder, { recursive: true });
    return undefined;
  }
  if (built.status !== 0) throw new Error(`native.c does not compile:\n${built.stderr}`);
  return {
    run(cases) {
      const input = new Uint8Array(cases.length * REQUEST_BYTES);
      cases.forEach((entry, i) => encode(entry, input.subarray(i * REQUEST_BYTES, (i + 1) * REQUEST_BYTES)));
      const done = spawnSync(program, { input, maxBuffer: cases.length * STATE_BYTES + 1024 });
      if (done.stdout.length !== cases.length * STATE_BYTES) {
        throw new Error(`native program died after ${Math.floor(done.stdout.length / STATE_BYTES)} of ${cases.length} cases (${done.signal ?? done.status})`);
      }
      return cases.map((_, i) => decode(done.stdout.subarray(i * STATE_BYTES, (i + 1) * STATE_BYTES)));
    },
    close: () => rmSync(folder, { recursive: true }),
  };
}

function encode(entry: Case, out: Uint8Array): void {
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  view.setUint32(0, entry.code.length, true);
  view.setUint32(4, entry.mode, true);
  out.set(entry.code, 8);
  const state = 24;
  entry.before.gpr.forEach((value, i) => view.setBigUint64(state + i * 8, value, true));
  view.setBigUint64(state + 128, BigInt(entry.before.flags), true);
  view.setUint32(state + 140, entry.before.mxcsr, true);
  view.setUint16(state + FX, 0x37f, true);
  out[state + FX + 4] = entry.before.x87[80]!;
  for (let i = 0; i < 8; i++) out.set(entry.before.x87.subarray(i * 10, i * 10 + 10), state + FX + 32 + i * 16);
  out.set(entry.before.xmm, state + FX + 160);
  out.set(entry.before.high, state + HIGH);
  out.set(entry.before.window, state + WINDOW_AT);
}

function decode(bytes: Uint8Array): MachineState {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const exception = exceptionOfSignal[view.getUint32(136, true)];
  if (exception === undefined) throw new Error(`native program reports signal ${view.getUint32(136, true)}`);
  const x87 = new Uint8Array(81);
  for (let i = 0; i < 8; i++) x87.set(bytes.subarray(FX + 32 + i * 16, FX + 42 + i * 16), i * 10);
  x87[80] = bytes[FX + 4]!;
  return {
    x87,
    gpr: BigUint64Array.from({ length: 16 }, (_, i) => view.getBigUint64(i * 8, true)),
    flags: Number(view.getBigUint64(128, true)),
    mxcsr: view.getUint32(140, true),
    xmm: bytes.slice(FX + 160, FX + 160 + 256),
    high: bytes.slice(HIGH, HIGH + 256),
    window: bytes.slice(WINDOW_AT, WINDOW_AT + WINDOW_BYTES),
    exception,
  };
}
