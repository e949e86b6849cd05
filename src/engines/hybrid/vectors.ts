import { STATE_BYTES, VECTOR, VECTOR_BYTES, X87 } from '../../isa/x86/state/layout.ts';
import { IOCTLS, STRUCTS } from '../kvm/abi.ts';
import { packExtendedState, unpackExtendedState } from '../kvm/extended-state.ts';
import type { XsaveLayout } from '../kvm/extended-state.ts';
import type { KvmVm } from '../kvm/kvm-vm.ts';

/** The block's words from the first x87 register to the last vector register. */
const FIRST = X87 / 4;
const END = (VECTOR + 16 * VECTOR_BYTES) / 4;

/** Bytes of an image that hold x87, SSE and AVX registers (Intel SDM 1, 13.4). */
const IMAGE_USED = 832;

/** x87, SSE and AVX registers between the block and KVM; into either only when they have changed since. */
export class Vectors {
  readonly #vm: KvmVm;
  readonly #block: DataView;
  readonly #layout: XsaveLayout;
  readonly #words: Int32Array;
  /** As KVM has them. */
  readonly #known = new Int32Array(END - FIRST);
  /** The image that `#known` was made from or into, and one to read into. */
  readonly #image = new Image();
  readonly #read = new Image();
  #valid = false;

  constructor(vm: KvmVm, block: DataView, layout: XsaveLayout) {
    this.#vm = vm;
    this.#block = block;
    this.#layout = layout;
    this.#words = new Int32Array(block.buffer, block.byteOffset, STATE_BYTES / 4);
  }

  push(): void {
    if (this.#valid && this.#unchanged()) return;
    this.#image.bytes.fill(0);
    packExtendedState(this.#block, this.#layout, this.#image.view);
    this.#vm.set(IOCTLS.KVM_SET_XSAVE, this.#image.view);
    this.#note();
  }
  /** Legal behind `push`, the block being as it was then. */
  pull(): void {
    const [image, read] = [this.#image, this.#read];
    this.#vm.read(IOCTLS.KVM_GET_XSAVE, read.bytes);
    if (read.isEqual(image, this.#layout)) return;
    image.bytes.set(read.bytes);
    unpackExtendedState(image.view, this.#layout, this.#block);
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

class Image {
  readonly bytes = new Uint8Array(STRUCTS.kvm_xsave.size);
  readonly view = new DataView(this.bytes.buffer);
  readonly #words = new Int32Array(this.bytes.buffer);

  /** In what the layout has. */
  isEqual(other: Image, { pkru }: XsaveLayout): boolean {
    const [own, its] = [this.#words, other.#words];
    for (let i = 0; i < IMAGE_USED / 4; i++) if (own[i] !== its[i]) return false;
    return own[pkru >> 2] === its[pkru >> 2];
  }
}
