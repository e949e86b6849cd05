import { USER_MEMORY } from '../../fuzz/cpu/user-mode.ts';
import type { UserMode } from '../../fuzz/cpu/user-mode.ts';
import { GPR, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FS, SEG_GS, VECTOR, X87, X87_CONTROL, X87_TAGS } from '../../src/isa/x86/state/layout.ts';
import type { FexHeader } from './fex-header.ts';

// What the suite's own harness gives a test: its code, scratch memory, a stack for 32-bit code.
const CODE = 0x10000n;
const SCRATCH = [[0xe0000000n, 10n * 4096n], [0xe8000000n - 4096n, 2n * 4096n]] as const;
const STACK32 = [0xc0000000n, 4096n] as const;
/** Regions larger than this get their pages when they are touched. */
const LARGE = 1n << 20n;
const HLT = 0xf4;
const GENERAL_PROTECTION = 13;
const PAGE_FAULT = 14;
const BUDGET = 400_000_000;
const SLICE = 10_000_000;
/** 32-bit code and data as the first entries of a process' local table. */
const LOCAL_CS = 0x0f;
const LOCAL_DATA = [0x17, 0x1f] as const;

const gprNames = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'];

/** Runs one test up to its HLT; returns what is other than its header says, a line each. */
export function runFexTest(user: UserMode, header: FexHeader, code: Uint8Array): string[] {
  const touched = new Set<bigint>();
  for (;;) {
    const pages = runOnce(user, header, code, touched);
    const { exception } = user;
    if (exception === undefined) return [`has not ended after ${BUDGET} instructions`];
    const page = exception.cr2 & ~0xfffn;
    if (exception.vector === PAGE_FAULT && !touched.has(page) && [...header.regions].some(([start, size]) => size > LARGE && page >= start && page < start + size)) {
      touched.add(page);
      continue;
    }
    // HLT is privileged: that is how a test ends.
    const at = pages.get(exception.rip & ~0xfffn);
    if (exception.vector !== GENERAL_PROTECTION || at === undefined || user.ram[at + Number(exception.rip & 0xfffn)] !== HLT) {
      const where = exception.vector === PAGE_FAULT ? ` for 0x${exception.cr2.toString(16)}` : '';
      return [`ended by #${exception.vector} error ${exception.error} at 0x${exception.rip.toString(16)}${where}`];
    }
    return [...header.registers].flatMap(([name, values]) => compare(user, name, values));
  }
}

/** Returns where the pages lie that the test had. */
function runOnce(user: UserMode, header: FexHeader, code: Uint8Array, touched: ReadonlySet<bigint>): ReadonlyMap<bigint, number> {
  const pages = new Map<bigint, number>();
  let next = USER_MEMORY;
  user.unmapAll();
  const allot = (start: bigint, bytes: bigint): void => {
    for (let page = start & ~0xfffn; page < start + bytes; page += 4096n) {
      if (pages.has(page)) continue;
      user.map(page, next, { write: true, execute: true });
      user.ram.fill(0, next, next + 4096);
      pages.set(page, next);
      next += 4096;
    }
  };
  const write = (at: bigint, bytes: Uint8Array): void => {
    bytes.forEach((byte, i) => {
      const address = at + BigInt(i);
      user.ram[pages.get(address & ~0xfffn)! + Number(address & 0xfffn)] = byte;
    });
  };
  allot(CODE, BigInt(code.length));
  for (const [start, bytes] of SCRATCH) allot(start, bytes);
  if (header.width === 32) allot(...STACK32);
  for (const [start, bytes] of header.regions) if (bytes <= LARGE) allot(start, bytes);
  for (const page of touched) allot(page, 4096n);
  write(CODE, code);
  for (const [at, bytes] of header.contents) write(at, bytes);

  user.reset();
  user.block.fill(0, GPR, GPR + 128);
  // As FINIT leaves it.
  user.block.writeUInt16LE(0x37f, X87_CONTROL);
  user.block.writeUInt16LE(0xffff, X87_TAGS);
  user.setLocalDescriptor(LOCAL_CS, 0x00cffb000000ffffn);
  for (const selector of LOCAL_DATA) user.setLocalDescriptor(selector, 0x00cff3000000ffffn);
  const segments = header.width === 64 ? {} : { cs: { selector: LOCAL_CS, base: 0n, limit: 0xffffffff, attributes: 0xc0fb } };
  user.start({ width: header.width, rip: CODE, rflags: 0x202n, segments });
  for (let spent = 0; spent < BUDGET && !user.run(SLICE); spent += SLICE);
  return pages;
}

function compare(user: UserMode, name: string, values: readonly bigint[]): string[] {
  const at = placeOf(name);
  if (name === 'RIP') return check(name, values[0]!, user.exception!.rip);
  // The stack pointer went to the kernel's stack with the exception.
  if (name === 'RSP') return check(name, values[0]!, user.exception!.rsp);
  return values.flatMap((value, i) => check(values.length > 1 ? `${name}[${i}]` : name, value, user.block.readBigUInt64LE(at + i * 8)));
}

function check(name: string, expected: bigint, actual: bigint): string[] {
  return expected === actual ? [] : [`${name}: expected 0x${expected.toString(16)}, got 0x${actual.toString(16)}`];
}

/** Offset in the vCPU's block. MMn are physical x87 registers. */
function placeOf(name: string): number {
  const gpr = gprNames.indexOf(name);
  if (gpr >= 0) return GPR + gpr * 8;
  const [, file, number] = /^(XMM|MM)(\d+)$/.exec(name) ?? [];
  if (file === 'XMM') return VECTOR + Number(number) * 32;
  if (file === 'MM') return X87 + Number(number) * 16;
  if (name === 'FS' || name === 'GS') return SEGMENTS + (name === 'FS' ? SEG_FS : SEG_GS) * SEGMENT_BYTES + SEG_BASE;
  if (name === 'RIP') return 0;
  throw new Error(`the suite has a register ${name} that is not known`);
}
