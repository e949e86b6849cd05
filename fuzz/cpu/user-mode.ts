import type { SegmentState } from '../../src/cpu/vcpu.ts';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { InterpreterOptions } from '../../src/engines/interpreter/interpreter.ts';
import { createLocalTranslator } from '../../src/engines/translator/local-translator.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import {
  CPL, CR2, HALTED, TLB, TLB_ADDEND, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_FETCH, TLB_INVALID, TLB_LOCAL_COUNT, TLB_LOCAL_LIST, TLB_PAGE_NOT_GLOBAL, TLB_PAGE_WRITABLE, TLB_RAM_PAGE, TLB_READ, TLB_SET_USER, TLB_WRITE, XCR0,
} from '../../src/isa/x86/state/layout.ts';
import { RAM_BASE, VCPU_BASE } from '../../src/memory/layout.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { createEvaluator } from './evaluator.ts';
import { KvmUser } from './kvm-user.ts';
import type { DebugFrame } from './kvm-user.ts';

// Physical addresses of what the kernel half needs. User pages may lie anywhere behind.
const IDT = 0x210000;
const GDT = 0x211000;
const TSS = 0x212000;
const HANDLERS = 0x213000;
const STACK_TOP = 0x215000;
const LDT = 0x216000;
/** Page tables: the root, the kernel half's two, then those of user pages as they are needed. */
const TABLES = 0x300000;
const KERNEL_TABLES = TABLES + 0x1000;
const USER_TABLES = TABLES + 0x3000;
/** From here on physical memory is for user pages. */
export const USER_MEMORY = 0x400000;
/** Linear address of physical 0 in the kernel half. */
const KERNEL = 0xffff800000000000n;
// Selectors as Linux has them, so that reading them gives the same.
const USER_CS32 = 0x23;
const USER_DS = 0x2b;
const USER_CS64 = 0x33;
/** Read-only, growing down; its limit is the processor's number. */
const USER_PROCESSOR = 0x7b;
const KERNEL_CS = 0x10;
const TSS_SELECTOR = 0x40;
const TSS_LIMIT = 0x67;
const LDT_SELECTOR = 0x50;
const LDT_LIMIT = 0xff;
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const NO_EXECUTE = 1n << 63n;
const HANDLER_BYTES = 16;
const vectorsWithError = new Set([8, 10, 11, 12, 13, 14, 17]);

/** A segment register that holds one of these selectors, or null and so `base`. */
export function userSegment(selector: number, base = 0n): SegmentState {
  if ((selector & ~3) === (USER_PROCESSOR & ~3)) return { selector, base: 0n, limit: 0, attributes: 0x40f5 };
  const attributes = ({ [USER_CS32 & ~3]: 0xc0fb, [USER_DS & ~3]: 0xc0f3, [USER_CS64 & ~3]: 0xa0fb } as Readonly<Record<number, number>>)[selector & ~3];
  return attributes === undefined ? { selector, base, limit: 0, attributes: 0x10000 } : { selector, base, limit: 0xffffffff, attributes };
}

/** Makes the vCPU of an engine; the translator translates everything at once. */
const makers = {
  evaluator: createEvaluator,
  interpreter: createInterpreter,
  translator: (options: InterpreterOptions) => createLocalTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 0 } }),
} as const;
export type EngineName = keyof typeof makers | 'kvm';
export const engineNames: readonly EngineName[] = [...(Object.keys(makers) as (keyof typeof makers)[]), 'kvm'];

/** What an exception pushed (SDM 3A, 6.14.2), and CR2. `error` is 0 where the vector has none. */
export interface Exception {
  readonly vector: number;
  readonly error: number;
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly rsp: bigint;
  readonly cs: number;
  readonly ss: number;
  readonly cr2: bigint;
}

export interface UserStart {
  readonly width: 32 | 64;
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly fsBase?: bigint;
  readonly gsBase?: bigint;
  /** Instead of flat segments under Linux's selectors. */
  readonly segments?: Readonly<Partial<Record<'cs' | 'ss' | 'ds' | 'es' | 'fs' | 'gs', SegmentState>>>;
}

/** A vCPU that runs user code as Linux would have it, under page tables of ours; every exception ends the run. */
export class UserMode {
  readonly cpu;
  /** Guest physical memory from address 0, and the vCPU's block. */
  readonly ram: Buffer;
  readonly block: Buffer;
  exception: Exception | undefined;
  readonly #ramView: DataView;
  readonly #blockView: DataView;
  #nextTable = USER_TABLES;

  constructor(engine: EngineName, memoryBytes: number) {
    const memory = new LinearMemory(memoryBytes);
    const bus = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
    const interrupts = {
      pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
    };
    let seed = 1;
    const random32 = (): number => (seed = Math.imul(seed, 0x19660d) + 0x3c6ef35f | 0) >>> 0;
    let ticks = 0;
    const options = { modules: loadEngineModules(), memory: memory.wasm, bus, interrupts, hostTsc: () => (ticks += 1000), random32, index: 0 };
    this.cpu = engine === 'kvm' ? new KvmUser(options, () => this.#debugFrame()) : makers[engine](options);
    const buffer = memory.wasm.buffer as ArrayBuffer;
    this.ram = Buffer.from(buffer, RAM_BASE, memoryBytes);
    this.block = Buffer.from(buffer, VCPU_BASE, RAM_BASE - VCPU_BASE);
    this.#ramView = new DataView(buffer, RAM_BASE, memoryBytes);
    this.#blockView = new DataView(buffer, VCPU_BASE, RAM_BASE - VCPU_BASE);
    this.ram.fill(0xf4, HANDLERS, HANDLERS + 256 * HANDLER_BYTES);
    this.#writeTables();
  }

  #entry(table: number, index: number, value: bigint): void {
    this.#ramView.setBigUint64(table + index * 8, value, true);
  }
  #descriptor(table: number, selector: number, value: bigint): void {
    this.#entry(table, selector >> 3, value);
  }

  #writeTables(): void {
    // The kernel half: large pages over the first 4 MiB.
    this.#entry(TABLES, 256, BigInt(KERNEL_TABLES) | WRITABLE | PRESENT);
    this.#entry(KERNEL_TABLES, 0, BigInt(KERNEL_TABLES + 0x1000) | WRITABLE | PRESENT);
    for (let i = 0; i < 2; i++) this.#entry(KERNEL_TABLES + 0x1000, i, BigInt(i << 21) | 0x80n | WRITABLE | PRESENT);
    this.#descriptor(GDT, KERNEL_CS, 0x00af9b000000ffffn);
    this.#descriptor(GDT, USER_CS32, 0x00cffb000000ffffn);
    this.#descriptor(GDT, USER_DS, 0x00cff3000000ffffn);
    this.#descriptor(GDT, USER_CS64, 0x00affb000000ffffn);
    this.#descriptor(GDT, USER_PROCESSOR, 0x0040f50000000000n);
    for (let vector = 0; vector < 256; vector++) {
      const target = KERNEL + BigInt(HANDLERS + vector * HANDLER_BYTES);
      // User code may raise INT3 and INTO only.
      const rights = vector === 3 || vector === 4 ? 0xeen : 0x8en;
      this.#entry(IDT, vector * 2, (target & 0xffffn) | (BigInt(KERNEL_CS) << 16n) | (rights << 40n) | (((target >> 16n) & 0xffffn) << 48n));
      this.#entry(IDT, vector * 2 + 1, target >> 32n);
    }
    this.#ramView.setBigUint64(TSS + 4, KERNEL + BigInt(STACK_TOP), true);
    // The I/O permission map begins behind the limit: no port is allowed (SDM 1, 19.5.2).
    this.#ramView.setUint16(TSS + 0x66, TSS_LIMIT + 1, true);
  }

  /** Puts a segment descriptor into the local table. */
  setLocalDescriptor(selector: number, value: bigint): void {
    this.#descriptor(LDT, selector, value);
  }

  /** Forgets every user page. */
  unmapAll(): void {
    this.ram.fill(0, TABLES, TABLES + 256 * 8);
    this.ram.fill(0, USER_TABLES, this.#nextTable);
    this.#nextTable = USER_TABLES;
  }

  /** Maps a page for user code to read. */
  map(linear: bigint, physical: number, rights: { readonly write: boolean; readonly execute: boolean }): void {
    let table = TABLES;
    for (const shift of [39n, 30n, 21n]) {
      const index = Number((linear >> shift) & 511n);
      let entry = this.#ramView.getBigUint64(table + index * 8, true);
      if (entry === 0n) {
        if (this.#nextTable >= USER_MEMORY) throw new Error('too many page tables');
        entry = BigInt(this.#nextTable) | PRESENT | WRITABLE | USER;
        this.#nextTable += 4096;
        this.#entry(table, index, entry);
      }
      table = Number(entry & ~0xfffn);
    }
    this.#entry(table, Number((linear >> 12n) & 511n), BigInt(physical) | PRESENT | USER | (rights.write ? WRITABLE : 0n) | (rights.execute ? 0n : NO_EXECUTE));
  }

  /** Enters a page of data into the TLB: translated code hands instructions with accesses that are not there to the interpreter. */
  warm(linear: bigint, physical: number, writable: boolean): void {
    const index = TLB_SET_USER * TLB_ENTRIES + (Number(linear >> 12n) & (TLB_ENTRIES - 1));
    const entry = TLB + index * TLB_ENTRY_BYTES;
    const host = RAM_BASE + physical;
    this.#blockView.setBigUint64(entry + TLB_READ, linear, true);
    this.#blockView.setBigUint64(entry + TLB_WRITE, writable ? linear : BigInt(TLB_INVALID), true);
    this.#blockView.setBigUint64(entry + TLB_FETCH, BigInt(TLB_INVALID), true);
    this.#blockView.setUint32(entry + TLB_ADDEND, (host - Number(linear & 0xffffffffn)) >>> 0, true);
    this.#blockView.setUint32(entry + TLB_RAM_PAGE, (physical >>> 12) + (writable ? TLB_PAGE_WRITABLE : 0) + TLB_PAGE_NOT_GLOBAL, true);
    const count = this.#blockView.getUint32(TLB_LOCAL_COUNT, true);
    this.#blockView.setUint16(TLB_LOCAL_LIST + 2 * count, index, true);
    this.#blockView.setUint32(TLB_LOCAL_COUNT, count + 1, true);
  }

  /** After this the state's registers may be written, then comes `start`. */
  reset(): void {
    this.cpu.reset();
    this.#blockView.setBigUint64(XCR0, 7n, true);
    this.exception = undefined;
  }

  start({ width, rip, rflags, fsBase = 0n, gsBase = 0n, segments = {} }: UserStart): void {
    const flat = userSegment(USER_DS);
    this.cpu.start({
      rip, rflags, cr0: 0x80050033n, cr3: BigInt(TABLES), cr4: 0x10620n | 0x40000n, efer: 0xd00n,
      gdtr: { base: KERNEL + BigInt(GDT), limit: 0x7f }, idtr: { base: KERNEL + BigInt(IDT), limit: 0xfff },
      segments: {
        cs: userSegment(width === 64 ? USER_CS64 : USER_CS32), ss: flat, ds: flat, es: flat, fs: userSegment(0, fsBase), gs: userSegment(0, gsBase), ...segments,
        tr: { selector: TSS_SELECTOR, base: KERNEL + BigInt(TSS), limit: TSS_LIMIT, attributes: 0x8b },
        ldtr: { selector: LDT_SELECTOR, base: KERNEL + BigInt(LDT), limit: LDT_LIMIT, attributes: 0x82 },
      },
    });
  }

  /** Runs on; true when an exception ended it. */
  run(budget: number): boolean {
    let exit = this.cpu.run(budget);
    // The instruction was an interrupt of its own, INT3 or INTO: on to its handler's HLT.
    if (exit === 'budget' && this.#blockView.getUint32(CPL, true) === 0) exit = this.cpu.run(1);
    if (exit !== 'halt' && exit !== 'budget') throw new Error(`the vCPU ended with ${exit}`);
    this.exception = exit === 'halt' ? this.#readFrame() : undefined;
    return exit === 'halt';
  }

  /** Of a step by the trap flag. */
  #debugFrame(): ReturnType<DebugFrame> {
    const { vector, rip, cs, rflags, rsp, ss } = this.#readFrame();
    return vector === 1 ? { rip, cs: userSegment(cs), rflags, rsp, ss: userSegment(ss) } : undefined;
  }

  #readFrame(): Exception {
    const vector = Math.floor(Number(this.cpu.registers().rip - 1n - KERNEL - BigInt(HANDLERS)) / HANDLER_BYTES);
    const frame = (i: number): bigint => this.#ramView.getBigUint64(STACK_TOP - 40 + i * 8, true);
    this.#blockView.setUint32(HALTED, 0, true);
    return {
      vector, error: vectorsWithError.has(vector) ? Number(frame(-1)) : 0, rip: frame(0), cs: Number(frame(1)), rflags: frame(2) & ~0x10000n, rsp: frame(3), ss: Number(frame(4)),
      cr2: this.#blockView.getBigUint64(CR2, true),
    };
  }
}
