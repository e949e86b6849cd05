import { MODE, MODE_CODE64, MODE_CODE_MASK, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_CS, VECTOR_BP, VECTOR_OF } from '../../isa/x86/state/layout.ts';
import type { Interpreter } from '../interpreter/interpreter.ts';

const INT3 = 0xcc;
const INT = 0xcd;
const INTO = 0xce;

/** Of INT3, INT 3 or INTO, which KVM does not hand over when it is about to deliver their exceptions: they are to be executed once more. */
export const isSoftwareTrap = (vector: number): boolean => vector === VECTOR_BP || vector === VECTOR_OF;

/** Finds the instruction of a trap that waits: KVM assumes that RIP is at it still, but without virtualization in hardware RIP may be behind it. */
export class LostTraps {
  readonly #home: Interpreter;
  readonly #block: DataView;
  readonly #memory: DataView;

  /** `block`: a view of the vCPU's block. */
  constructor(home: Interpreter, block: DataView, memory: WebAssembly.Memory) {
    this.#home = home;
    this.#block = block;
    this.#memory = new DataView(memory.buffer);
  }

  /** RIP of the one that user code has executed as the last instruction before `rip`, or `rip` itself. */
  before(rip: bigint): bigint {
    const linear = rip + this.#codeBase();
    const last = this.codeByte(linear - 1n);
    if (last === INT3 || last === INTO) return rip - 1n;
    return last === VECTOR_BP && this.codeByte(linear - 2n) === INT ? rip - 2n : rip;
  }

  #codeBase(): bigint {
    const long = (this.#block.getUint32(MODE, true) & MODE_CODE_MASK) === MODE_CODE64;
    return long ? 0n : this.#block.getBigUint64(SEGMENTS + SEG_CS * SEGMENT_BYTES + SEG_BASE, true);
  }

  /** The byte at a linear address, if user code may read it; else -1. */
  codeByte(linear: bigint): number {
    const host = this.#home.runtime.lookAt(linear, true);
    return host === 0 ? -1 : this.#memory.getUint8(host);
  }
}
