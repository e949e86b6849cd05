import { STATE_BYTES, VECTOR, VECTOR_BYTES, X87 } from '../../isa/x86/state/layout.ts';
import { IOCTLS, STRUCTS } from '../kvm/abi.ts';
import { packExtendedState, unpackExtendedState } from '../kvm/extended-state.ts';
import type { XsaveLayout } from '../kvm/extended-state.ts';
import type { KvmVm } from '../kvm/kvm-vm.ts';

/** The block's words from the first x87 register to the last vector register. */
const FIRST = X87 / 4;
const END = (VECTOR + 16 * VECTOR_BYTES) / 4;

/** x87, SSE and AVX registers between the block and KVM; into KVM only when they have changed since. */
export class Vectors {
  readonly #vm: KvmVm;
  readonly #block: DataView;
  readonly #layout: XsaveLayout;
  readonly #words: Int32Array;
  /** As KVM has them. */
  readonly #known = new Int32Array(END - FIRST);
  readonly #image = new DataView(new ArrayBuffer(STRUCTS.kvm_xsave.size));
  #valid = false;

  constructor(vm: KvmVm, block: DataView, layout: XsaveLayout) {
    this.#vm = vm;
    this.#block = block;
    this.#layout = layout;
    this.#words = new Int32Array(block.buffer, block.byteOffset, STATE_BYTES / 4);
  }

  push(): void {
    if (this.#valid && this.#unchanged()) return;
    new Uint8Array(this.#image.buffer).fill(0);
    packExtendedState(this.#block, this.#layout, this.#image);
    this.#vm.set(IOCTLS.KVM_SET_XSAVE, this.#image);
    this.#note();
  }
  pull(): void {
    unpackExtendedState(this.#vm.get(IOCTLS.KVM_GET_XSAVE, STRUCTS.kvm_xsave.size), this.#layout, this.#block);
    this.#note();
  }

  #unchanged(): boolean {
    const known = this.#known;
    const words = this.#words;
    for (let i = 0; i < known.length; i++) if (known[i] !== words[FIRST + i]) return false;
    return true;
  }
  #note(): void {
    this.#known.set(this.#words.subarray(FIRST, END));
    this.#valid = true;
  }
}
