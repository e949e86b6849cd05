import type { SegmentState, VcpuStart } from '../../src/cpu/vcpu.ts';
import type { LinearMemory } from '../../src/memory/linear-memory.ts';
import { gateDescriptor, segmentDescriptor } from './descriptors.ts';
import type { SegmentFields } from './descriptors.ts';

export const CODE = 0x10000;
export const STACK = 0x8000;
export const HANDLERS = 0x3000;
const GDT = 0x1000;
const IDT = 0x2000;
const CODE_SEGMENT = 8;
const DATA_SEGMENT = 0x10;
/** Supervisor's code and data, from selector 8 on. */
const FLAT: readonly SegmentFields[] = [{ access: 0x9b }, { access: 0x93 }];

/** Tables of a guest in flat 32-bit code without paging, whose exception and interrupt handlers halt. */
export class FlatGuest {
  readonly #memory: LinearMemory;
  readonly #gdtLimit: number;
  readonly #idtLimit: number;

  /** `more`: descriptors behind those of code and data. */
  constructor(memory: LinearMemory, vectors: number, more: readonly SegmentFields[] = []) {
    this.#memory = memory;
    const segments = [...FLAT, ...more];
    this.#gdtLimit = 8 * segments.length + 7;
    this.#idtLimit = 8 * vectors - 1;
    segments.forEach((fields, i) => this.poke64(GDT + CODE_SEGMENT + 8 * i, segmentDescriptor(fields)));
    for (let vector = 0; vector < vectors; vector++) {
      this.poke64(IDT + 8 * vector, gateDescriptor(0x8e, CODE_SEGMENT, HANDLERS + 16 * vector));
      this.handler(vector, 0xf4);
    }
  }

  poke64(address: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.#memory.write(address, bytes);
  }
  /** Code of an interrupt or exception handler instead of HLT. */
  handler(vector: number, ...code: number[]): void {
    this.#memory.write(HANDLERS + 16 * vector, Uint8Array.from(code));
  }
  /** Puts the code at CODE, with HLT behind it; the state to start it with, but for what `start` says. */
  enter(code: readonly number[], start: Partial<VcpuStart>, codeLimit = 0xffffffff): VcpuStart {
    const flat = (selector: number, attributes: number, limit = 0xffffffff): SegmentState => ({ selector, base: 0n, limit, attributes });
    const data = flat(DATA_SEGMENT, 0xc093);
    this.#memory.write(CODE, Uint8Array.from([...code, 0xf4]));
    return {
      rip: BigInt(CODE), rflags: 2n, cr0: 0x31n,
      gdtr: { base: BigInt(GDT), limit: this.#gdtLimit }, idtr: { base: BigInt(IDT), limit: this.#idtLimit }, ...start,
      gpr: { rsp: BigInt(STACK), ...start.gpr },
      segments: { cs: flat(CODE_SEGMENT, 0xc09b, codeLimit), ss: data, ds: data, es: data, fs: data, gs: data, ...start.segments },
    };
  }
}
