import type { Plain } from '../../base/plain.ts';
import { StateFields } from '../state-fields.ts';

// The Bochs display interface ("VBE DISPI", Bochs: vbe_display_api): 16-bit registers behind an index.

const ID = 0;
const XRES = 1;
const YRES = 2;
const BPP = 3;
const ENABLE = 4;
const BANK = 5;
const VIRTUAL_WIDTH = 6;
const VIRTUAL_HEIGHT = 7;
const X_OFFSET = 8;
const Y_OFFSET = 9;
const MEMORY_64K = 10;
const REGISTERS = 11;

const ENABLED = 1;
const GET_CAPABILITIES = 2;
const WIDE_DAC = 0x20;
const KEEP_MEMORY = 0x80;

const ID_FIRST = 0xb0c0;
const ID_LAST = 0xb0c5;
const MAX_WIDTH = 2560;
const MAX_HEIGHT = 1600;
const DEPTHS = [4, 8, 15, 16, 24, 32] as const;
const BANK_BYTES = 0x10000;

/** A linear picture in video memory. */
export interface LinearMode {
  readonly width: number;
  readonly height: number;
  readonly bitsPerPixel: (typeof DEPTHS)[number];
  /** First byte, and bytes from one line to the next. */
  readonly start: number;
  readonly stride: number;
}

export class Dispi {
  readonly #memory: Uint8Array;
  readonly #wideDac: (wide: boolean) => void;
  readonly #values = new Uint16Array(REGISTERS);

  /** `wideDac` is told whether the palette has 8 bits a colour instead of 6. */
  constructor(memory: Uint8Array, wideDac: (wide: boolean) => void) {
    this.#memory = memory;
    this.#wideDac = wideDac;
    this.reset();
  }

  reset(): void {
    this.#values.fill(0);
    this.#values[ID] = ID_LAST;
    this.#values[BPP] = 8;
    this.#values[MEMORY_64K] = this.#memory.length / BANK_BYTES;
  }

  /** What is shown instead of a VGA mode; undefined while the interface is off. */
  mode(): LinearMode | undefined {
    if ((this.#values[ENABLE]! & ENABLED) === 0) return undefined;
    const bitsPerPixel = this.#values[BPP] as LinearMode['bitsPerPixel'];
    const stride = this.#stride(this.#values[VIRTUAL_WIDTH]!);
    const start = this.#values[Y_OFFSET]! * stride + this.#stride(this.#values[X_OFFSET]!);
    return { width: this.#values[XRES]!, height: this.#values[YRES]!, bitsPerPixel, start, stride };
  }

  /** First byte that the window at A0000h shows; undefined when VGA rules apply (the interface is off, or four planes). */
  get bank(): number | undefined {
    return (this.#values[ENABLE]! & ENABLED) === 0 || this.#values[BPP] === 4 ? undefined : this.#values[BANK]! * BANK_BYTES;
  }

  read(index: number): number {
    if (index < REGISTERS && (this.#values[ENABLE]! & GET_CAPABILITIES) !== 0) {
      if (index === XRES) return MAX_WIDTH;
      if (index === YRES) return MAX_HEIGHT;
      if (index === BPP) return 32;
    }
    return this.#values[index] ?? 0xffff;
  }

  write(index: number, word: number): void {
    const value = word & 0xffff;
    switch (index) {
      case ID:
        if (value >= ID_FIRST && value <= ID_LAST) this.#values[ID] = value;
        break;
      case XRES:
      case YRES:
      case BPP:
        // The geometry of what is shown does not change.
        if ((this.#values[ENABLE]! & ENABLED) === 0) this.#values[index] = this.#legal(index, value);
        break;
      case ENABLE:
        this.#enable(value);
        break;
      case BANK:
        if (value < this.#values[MEMORY_64K]!) this.#values[BANK] = value;
        break;
      case VIRTUAL_WIDTH:
        this.#setVirtualWidth(value);
        break;
      case X_OFFSET:
      case Y_OFFSET:
        this.#values[index] = value;
        break;
      default:
        break;
    }
  }

  /** As a driver does that wants a picture of 32 bits a pixel. */
  setMode(width: number, height: number): void {
    for (const [index, value] of [[ENABLE, 0], [XRES, width], [YRES, height], [BPP, 32], [ENABLE, ENABLED]] as const) this.write(index, value);
  }

  #legal(index: number, value: number): number {
    if (index === XRES) return Math.min(value & ~7, MAX_WIDTH);
    if (index === YRES) return Math.min(value, MAX_HEIGHT);
    return (DEPTHS as readonly number[]).includes(value) ? value : value === 0 ? 8 : this.#values[BPP]!;
  }

  #enable(value: number): void {
    const begins = (value & ENABLED) !== 0 && (this.#values[ENABLE]! & ENABLED) === 0;
    this.#values[ENABLE] = value;
    this.#wideDac((value & WIDE_DAC) !== 0);
    if (!begins) return;
    this.#values[X_OFFSET] = this.#values[Y_OFFSET] = this.#values[BANK] = 0;
    this.#setVirtualWidth(this.#values[XRES]!);
    if ((value & KEEP_MEMORY) === 0) this.#memory.fill(0, 0, Math.min(this.#memory.length, this.#stride(this.#values[VIRTUAL_WIDTH]!) * this.#values[YRES]!));
  }

  /** At least the width that is shown; the height is what memory has room for. */
  #setVirtualWidth(value: number): void {
    const width = Math.max(value & ~7, this.#values[XRES]!);
    this.#values[VIRTUAL_WIDTH] = width;
    const stride = this.#stride(width);
    this.#values[VIRTUAL_HEIGHT] = stride === 0 ? 0 : Math.min(0xffff, Math.floor(this.#memory.length / stride));
  }

  /** Bytes of so many pixels; four planes have a byte each for eight. */
  #stride(pixels: number): number {
    const bits = this.#values[BPP]!;
    return bits === 4 ? pixels >> 1 : pixels * ((bits + 7) >> 3);
  }

  save(): Plain {
    return { values: [...this.#values] };
  }

  load(state: Plain): void {
    const values = new StateFields('vga', state, 1, 1).signedIntegers('values', REGISTERS, 0xffff).map((value) => value & 0xffff);
    const depth = (DEPTHS as readonly number[]).includes(values[BPP]!) ? values[BPP]! : 8;
    this.reset();
    this.#values.set([values[ID]!, Math.min(values[XRES]!, MAX_WIDTH), Math.min(values[YRES]!, MAX_HEIGHT), depth, values[ENABLE]!, Math.min(values[BANK]!, this.#values[MEMORY_64K]! - 1)]);
    // Any of these is harmless: pictures end where memory does.
    this.#values.set(values.slice(VIRTUAL_WIDTH, MEMORY_64K), VIRTUAL_WIDTH);
  }
}
