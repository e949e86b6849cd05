import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { MXCSR, VECTOR, VECTOR_BYTES, X87, X87_CONTROL, X87_TAGS, XCR0 } from '../../src/isa/x86/state/layout.ts';
import { VCPU_BASE } from '../../src/memory/layout.ts';
import { WINDOW, WINDOW_BYTES } from './native.ts';
import type { Case, MachineState } from './native.ts';

const CODE = 0x2000000;
const HANDLERS = 0x500000;
const IDT = 0x600000;
const GDT = 0x601000;
const TABLES = 0x602000;
const exceptionOfVector: Readonly<Record<number, MachineState['exception']>> = { 0: 'DE', 1: 'DB', 3: 'DB', 4: 'GP', 5: 'GP', 6: 'UD', 12: 'GP', 13: 'GP', 14: 'GP', 17: 'AC' };

/** Runs cases on the interpreter: flat segments, the same addresses mapped as in the native program. */
export function createEngine({ cr4 = 0x40620n }: { readonly cr4?: bigint } = {}): { run(entry: Case): MachineState; memory: LinearMemory } {
  const memory = new LinearMemory(64 << 20);
  const nothing = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
  const interrupts = {
    pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
  };
  const cpu = createInterpreter({ modules: loadEngineModules(), memory: memory.wasm, bus: nothing, interrupts, hostTsc: () => 0, random32: () => 0, index: 0 });
  const view = new DataView(memory.wasm.buffer);
  const write64 = (address: number, value: bigint): void => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    memory.write(address, bytes);
  };
  write64(GDT + 8, 0x00af9b000000ffffn);
  write64(GDT + 16, 0x00cf93000000ffffn);
  write64(GDT + 24, 0x00cf9b000000ffffn);
  // 4 KiB pages: only what the native program maps is there, besides the tables themselves in the first 8 MiB.
  write64(TABLES, BigInt(TABLES + 0x1007));
  write64(TABLES + 0x1000, BigInt(TABLES + 0x2007));
  write64(TABLES + 0x5000, BigInt(TABLES + 0x2001)); // PAE page directory pointers for 32-bit code
  for (let i = 0; i < 4; i++) write64(TABLES + 0x2000 + i * 8, BigInt(i * 0x200000 + 0x87));
  const map = (page: number, table: number): void => {
    write64(TABLES + 0x2000 + Math.floor(page / 0x200000) * 8, BigInt(table + 7));
    write64(table + ((page >> 12) & 511) * 8, BigInt(page + 7));
  };
  map(WINDOW & ~0xfff, TABLES + 0x3000);
  map(CODE, TABLES + 0x4000);
  memory.write(HANDLERS, new Uint8Array(32 * 16).fill(0xf4));

  const segment = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
  const run = (entry: Case): MachineState => {
    const { before } = entry;
    const long = entry.mode === 64;
    for (let vector = 0; vector < 32; vector++) {
      const target = BigInt(HANDLERS + vector * 16);
      const gate = (target & 0xffffn) | (long ? 0x8n : 0x18n) << 16n | 0x8e00n << 32n | (target >> 16n) << 48n;
      write64(IDT + vector * (long ? 16 : 8), gate);
      if (long) write64(IDT + vector * 16 + 8, 0n);
    }
    const code = new Uint8Array(entry.code.length + 1);
    code.set(entry.code);
    code[entry.code.length] = 0xf4;
    memory.write(CODE, code);
    memory.write(WINDOW - 128, before.window);
    cpu.reset();
    const names = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const;
    cpu.start({
      rip: BigInt(CODE), gpr: Object.fromEntries(names.map((name, i) => [name, before.gpr[i]!])), rflags: BigInt(before.flags) | 2n,
      cr0: 0x80000031n, cr3: BigInt(long ? TABLES : TABLES + 0x5000), cr4, efer: long ? 0x500n : 0n,
      gdtr: { base: BigInt(GDT), limit: 31 }, idtr: { base: BigInt(IDT), limit: 0xfff },
      segments: { cs: segment(long ? 8 : 0x18, long ? 0xa09b : 0xc09b), ss: segment(0x10, 0xc093), ds: segment(0x10, 0xc093), es: segment(0x10, 0xc093) },
    });
    for (let i = 8; i < 16; i++) view.setBigUint64(VCPU_BASE + i * 8, before.gpr[i]!, true);
    for (let i = 0; i < 16; i++) new Uint8Array(memory.wasm.buffer).set(before.xmm.subarray(i * 16, i * 16 + 16), VCPU_BASE + VECTOR + i * VECTOR_BYTES);
    for (let i = 0; i < 16; i++) new Uint8Array(memory.wasm.buffer).set(before.high.subarray(i * 16, i * 16 + 16), VCPU_BASE + VECTOR + i * VECTOR_BYTES + 16);
    view.setBigUint64(VCPU_BASE + XCR0, 7n, true);
    view.setUint32(VCPU_BASE + MXCSR, before.mxcsr, true);
    view.setUint16(VCPU_BASE + X87_CONTROL, 0x37f, true);
    view.setUint16(VCPU_BASE + X87_TAGS, 0xffff, true);
    for (let i = 0; i < 8; i++) new Uint8Array(memory.wasm.buffer).set(before.x87.subarray(i * 10, i * 10 + 10), VCPU_BASE + X87 + i * 16);
    const exit = cpu.run(1000);
    const registers = cpu.registers();
    const rip = Number(registers.rip);
    let exception: MachineState['exception'] = '';
    let flags = Number(registers.rflags);
    const gpr = BigUint64Array.from(registers.gpr);
    const window = new Uint8Array(WINDOW_BYTES);
    memory.read(WINDOW - 128, window);
    if (exit === 'shutdown') exception = 'GP';
    else if (exit !== 'halt') throw new Error(`case ${Buffer.from(entry.code).toString('hex')} ended with ${exit}`);
    else if (rip >= HANDLERS && rip < HANDLERS + 512) {
      exception = exceptionOfVector[(rip - HANDLERS) >> 4] ?? 'GP';
      flags = before.flags;
    }
    const xmm = new Uint8Array(256);
    for (let i = 0; i < 16; i++) xmm.set(new Uint8Array(memory.wasm.buffer, VCPU_BASE + VECTOR + i * VECTOR_BYTES, 16), i * 16);
    const high = new Uint8Array(256);
    for (let i = 0; i < 16; i++) high.set(new Uint8Array(memory.wasm.buffer, VCPU_BASE + VECTOR + i * VECTOR_BYTES + 16, 16), i * 16);
    const x87 = new Uint8Array(81);
    for (let i = 0; i < 8; i++) {
      x87.set(new Uint8Array(memory.wasm.buffer, VCPU_BASE + X87 + i * 16, 10), i * 10);
      if (((view.getUint16(VCPU_BASE + X87_TAGS, true) >> (2 * i)) & 3) !== 3) x87[80]! |= 1 << i;
    }
    return { x87, gpr, flags, mxcsr: view.getUint32(VCPU_BASE + MXCSR, true), xmm, high, window, exception };
  };
  return { run, memory };
}
