import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { InterpreterOptions } from '../../src/engines/interpreter/interpreter.ts';
import { createTranslator } from '../../src/engines/translator/translator.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import {
  CPL, CR2 as STATE_CR2, GPR as STATE_GPR, HALTED, MXCSR as STATE_MXCSR, RIP as STATE_RIP, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FS, SEG_GS, SHADOW, STATE_BYTES as VCPU_BYTES, VECTOR, X87 as STATE_X87,
  X87_CONTROL as STATE_CONTROL, X87_STATUS as STATE_STATUS, X87_TAGS as STATE_TAGS, XCR0,
} from '../../src/isa/x86/state/layout.ts';
import { RAM_BASE, VCPU_BASE } from '../../src/memory/layout.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import type { Case, Engine } from './executor.ts';
import {
  CODE, CODE_BYTES, CR2, CpuState, DATA, DATA_BYTES, DATA_MAPPED, FS_BASE, GPR, GS_BASE, MXCSR, RAISED_ERROR, RAISED_VECTOR, RFLAGS, RIP, VECTORS, X87, X87_CONTROL, X87_STATUS,
  X87_TAGS,
} from './state.ts';

// Physical addresses of what the kernel half needs; user pages are mapped where they lie.
const TABLES = 0x200000;
const IDT = 0x210000;
const GDT = 0x211000;
const TSS = 0x212000;
const HANDLERS = 0x213000;
const STACK_TOP = 0x215000;
/** Linear address of physical 0 in the kernel half. */
const KERNEL = 0xffff800000000000n;
// Selectors as Linux has them, so that reading them gives the same.
const USER_CS32 = 0x23;
const USER_DS = 0x2b;
const USER_CS64 = 0x33;
const KERNEL_CS = 0x10;
const TSS_SELECTOR = 0x40;
const TSS_LIMIT = 0x67;
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const HANDLER_BYTES = 16;
const BLOCK_BUDGET = 100_000;
const vectorsWithError = new Set([8, 10, 11, 12, 13, 14, 17]);

/** Makes the vCPU of an engine; the translator translates everything at once. */
const makers = {
  interpreter: createInterpreter,
  translator: (options: InterpreterOptions) => createTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 0 } }),
} as const;

/** Our own engines as the `Engine` under test: user mode under page tables that map what the host program maps. */
export class InterpreterEngine implements Engine {
  readonly name: keyof typeof makers;
  readonly state = new CpuState();
  readonly memory: Buffer;
  readonly #memory = new LinearMemory(64 << 20);
  readonly #cpu;
  readonly #view: DataView;
  readonly #bytes: Buffer;
  #lastCode: readonly [number, number] = [0, 0];

  constructor(image: Uint8Array, name: keyof typeof makers = 'interpreter') {
    this.name = name;
    const bus = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
    const interrupts = {
      pending: () => false, acknowledge: () => -1, takeNmi: () => false, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
    };
    this.#cpu = makers[name]({ modules: loadEngineModules(), memory: this.#memory.wasm, bus, interrupts, hostTsc: () => 0n, random32: () => 0, index: 0 });
    this.#view = new DataView(this.#memory.wasm.buffer);
    this.#bytes = Buffer.from(this.#memory.wasm.buffer as ArrayBuffer);
    this.memory = Buffer.from(this.#memory.wasm.buffer as ArrayBuffer, RAM_BASE + DATA, DATA_BYTES);
    this.#bytes.set(image, RAM_BASE + DATA);
    this.#bytes.fill(0xf4, RAM_BASE + CODE, RAM_BASE + CODE + CODE_BYTES);
    this.#bytes.fill(0xf4, RAM_BASE + HANDLERS, RAM_BASE + HANDLERS + 256 * HANDLER_BYTES);
    this.#writeTables();
  }

  #write64(physical: number, value: bigint): void {
    this.#view.setBigUint64(RAM_BASE + physical, BigInt.asUintN(64, value), true);
  }

  #writeTables(): void {
    const entry = (address: number, rights: bigint): bigint => BigInt(address) | rights | PRESENT;
    const all = WRITABLE | USER;
    this.#write64(TABLES, entry(TABLES + 0x1000, all));
    this.#write64(TABLES + 0x1000, entry(TABLES + 0x2000, all));
    // The kernel half: one large page over the first 4 MiB.
    this.#write64(TABLES + 256 * 8, entry(TABLES + 0x5000, WRITABLE));
    this.#write64(TABLES + 0x5000, entry(TABLES + 0x6000, WRITABLE));
    for (let i = 0; i < 2; i++) this.#write64(TABLES + 0x6000 + i * 8, entry(i << 21, WRITABLE) | 0x80n);
    const map = (table: number, first: number, bytes: number, rights: (page: number) => bigint): void => {
      this.#write64(TABLES + 0x2000 + (first >> 21) * 8, entry(table, all));
      for (let page = first; page < first + bytes; page += 4096) this.#write64(table + ((page >> 12) & 511) * 8, entry(page, rights(page)));
    };
    const noExecute = 1n << 63n;
    map(TABLES + 0x3000, DATA, DATA_MAPPED, (page) => (page < DATA + DATA_BYTES ? all : USER) | noExecute);
    map(TABLES + 0x4000, CODE, CODE_BYTES, () => USER);

    const descriptor = (selector: number, value: bigint): void => this.#write64(GDT + (selector & ~7), value);
    descriptor(KERNEL_CS, 0x00af9b000000ffffn);
    descriptor(USER_CS32, 0x00cffb000000ffffn);
    descriptor(USER_DS, 0x00cff3000000ffffn);
    descriptor(USER_CS64, 0x00affb000000ffffn);
    for (let vector = 0; vector < 256; vector++) {
      const target = KERNEL + BigInt(HANDLERS + vector * HANDLER_BYTES);
      // User code may raise INT3 and INTO only.
      const rights = vector === 3 || vector === 4 ? 0xeen : 0x8en;
      this.#write64(IDT + vector * 16, (target & 0xffffn) | (BigInt(KERNEL_CS) << 16n) | (rights << 40n) | (((target >> 16n) & 0xffffn) << 48n));
      this.#write64(IDT + vector * 16 + 8, target >> 32n);
    }
    this.#write64(TSS + 4, KERNEL + BigInt(STACK_TOP));
    // The I/O permission map begins behind the limit: no port is allowed (SDM 1, 19.5.2).
    this.#view.setUint16(RAM_BASE + TSS + 0x66, TSS_LIMIT + 1, true);
  }

  load(entry: Case, state: CpuState, memory: Uint8Array): void {
    const { view } = state;
    const [last, length] = this.#lastCode;
    this.#bytes.fill(0xf4, RAM_BASE + last, RAM_BASE + last + length);
    let at = entry.address;
    for (const { bytes } of entry.instructions) {
      this.#bytes.set(bytes, RAM_BASE + at);
      at += bytes.length;
    }
    this.#lastCode = [entry.address, at - entry.address];
    this.memory.set(memory);
    this.#cpu.reset();
    const segment = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
    const unusable = (base: number) => ({ selector: 0, base: state.u64(base), limit: 0, attributes: 0x10000 });
    const flat = segment(USER_DS, 0xc0f3);
    this.#view.setBigUint64(VCPU_BASE + XCR0, 7n, true);
    this.#bytes.set(state.bytes.subarray(GPR, GPR + 128), VCPU_BASE + STATE_GPR);
    this.#bytes.set(state.bytes.subarray(VECTORS, VECTORS + 512), VCPU_BASE + VECTOR);
    this.#bytes.set(state.bytes.subarray(X87, X87 + 128), VCPU_BASE + STATE_X87);
    this.#view.setUint32(VCPU_BASE + STATE_MXCSR, view.getUint32(MXCSR, true), true);
    this.#view.setUint16(VCPU_BASE + STATE_CONTROL, view.getUint16(X87_CONTROL, true), true);
    this.#view.setUint16(VCPU_BASE + STATE_STATUS, view.getUint16(X87_STATUS, true), true);
    this.#view.setUint16(VCPU_BASE + STATE_TAGS, this.#fullTags(state), true);
    this.#cpu.start({
      rip: state.u64(RIP), rflags: state.u64(RFLAGS), cr0: 0x80050033n, cr3: BigInt(TABLES), cr4: 0x10620n | 0x40000n, efer: 0xd01n,
      gdtr: { base: KERNEL + BigInt(GDT), limit: 0x7f }, idtr: { base: KERNEL + BigInt(IDT), limit: 0xfff },
      segments: {
        cs: segment(entry.width === 64 ? USER_CS64 : USER_CS32, entry.width === 64 ? 0xa0fb : 0xc0fb), ss: flat, ds: flat, es: flat, fs: unusable(FS_BASE), gs: unusable(GS_BASE),
        tr: { selector: TSS_SELECTOR, base: KERNEL + BigInt(TSS), limit: TSS_LIMIT, attributes: 0x8b },
      },
    });
  }

  /** Contents decide between valid, zero and special, as FXRSTOR does (SDM 1, 10.5.1.1). */
  #fullTags(state: CpuState): number {
    let tags = 0;
    for (let i = 0; i < 8; i++) {
      const exponent = state.u16(X87 + i * 16 + 8) & 0x7fff;
      const significand = state.u64(X87 + i * 16);
      const used = ((state.u16(X87_TAGS) >> i) & 1) !== 0;
      const tag = !used ? 3 : exponent === 0 && significand === 0n ? 1 : exponent === 0 || exponent === 0x7fff || significand >> 63n === 0n ? 2 : 0;
      tags |= tag << (i * 2);
    }
    return tags;
  }

  step(repeats: boolean): boolean {
    const before = this.#view.getBigUint64(VCPU_BASE + STATE_RIP, true);
    for (;;) {
      // As behind STI: exactly one instruction.
      this.#view.setUint32(VCPU_BASE + SHADOW, 1, true);
      const raised = this.#run(1);
      if (raised || !repeats || this.#view.getBigUint64(VCPU_BASE + STATE_RIP, true) !== before) return raised;
    }
  }

  block(): void {
    if (!this.#run(BLOCK_BUDGET)) throw new Error('a case that the reference ended does not end on the interpreter');
  }

  setFlags(flags: number): void {
    const registers = this.#cpu.registers();
    this.#cpu.start({ rip: registers.rip, rflags: BigInt(flags) });
  }

  #run(budget: number): boolean {
    let exit = this.#cpu.run(budget);
    // The instruction was an interrupt of its own, INT3 or INTO: on to its handler's HLT.
    if (exit === 'budget' && this.#view.getUint32(VCPU_BASE + CPL, true) === 0) exit = this.#cpu.run(1);
    const raised = exit === 'halt';
    if (!raised && exit !== 'budget') throw new Error(`the interpreter ended with ${exit}`);
    const { view, bytes } = this.state;
    const block = this.#bytes.subarray(VCPU_BASE, VCPU_BASE + VCPU_BYTES);
    block.copy(bytes, GPR, STATE_GPR, STATE_GPR + 128);
    block.copy(bytes, VECTORS, VECTOR, VECTOR + 512);
    block.copy(bytes, X87, STATE_X87, STATE_X87 + 128);
    view.setUint32(MXCSR, this.#view.getUint32(VCPU_BASE + STATE_MXCSR, true), true);
    view.setUint16(X87_CONTROL, this.#view.getUint16(VCPU_BASE + STATE_CONTROL, true), true);
    view.setUint16(X87_STATUS, this.#view.getUint16(VCPU_BASE + STATE_STATUS, true), true);
    const tags = this.#view.getUint16(VCPU_BASE + STATE_TAGS, true);
    let abridged = 0;
    for (let i = 0; i < 8; i++) if (((tags >> (i * 2)) & 3) !== 3) abridged |= 1 << i;
    view.setUint16(X87_TAGS, abridged, true);
    for (const [segment, field] of [[SEG_FS, FS_BASE], [SEG_GS, GS_BASE]] as const) {
      view.setBigUint64(field, this.#view.getBigUint64(VCPU_BASE + SEGMENTS + segment * SEGMENT_BYTES + SEG_BASE, true), true);
    }
    const registers = this.#cpu.registers();
    this.state.setU64(RIP, registers.rip);
    this.state.setU64(RFLAGS, registers.rflags);
    if (raised) this.#readFrame(registers.rip);
    return raised;
  }

  /** What the exception pushed (SDM 3A, 6.14.2). */
  #readFrame(rip: bigint): void {
    const vector = Math.floor(Number(rip - 1n - KERNEL - BigInt(HANDLERS)) / HANDLER_BYTES);
    const error = vectorsWithError.has(vector);
    const frame = (i: number): bigint => this.#view.getBigUint64(RAM_BASE + STACK_TOP - 40 + i * 8, true);
    this.state.setU32(RAISED_VECTOR, vector);
    this.state.setU32(RAISED_ERROR, error ? Number(frame(-1)) : 0);
    this.state.setU64(RIP, frame(0));
    this.state.setU64(RFLAGS, frame(2) & ~0x10000n);
    this.state.setU64(GPR + 32, frame(3));
    this.state.setU64(CR2, this.#view.getBigUint64(VCPU_BASE + STATE_CR2, true));
    this.#view.setUint32(VCPU_BASE + HALTED, 0, true);
  }
}
