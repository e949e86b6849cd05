import type { VgaRegisters } from './vga-registers.ts';

// How the processor reaches video memory through A0000h..BFFFFh (IBM PS/2 Hardware Interface Technical Reference, video
// subsystem, graphics controller). A word of video memory holds a byte of each of the four planes, plane 0 lowest.

const SEQUENCER_MAP_MASK = 2;
const SEQUENCER_MODE = 4;
const MODE_NO_ODD_EVEN = 4;
const MODE_CHAIN_4 = 8;

const SET_RESET = 0;
const ENABLE_SET_RESET = 1;
const COLOUR_COMPARE = 2;
const ROTATE = 3;
const READ_MAP = 4;
const GRAPHICS_MODE = 5;
const GRAPHICS_MISCELLANEOUS = 6;
const COLOUR_DO_NOT_CARE = 7;
const BIT_MASK = 8;
const READ_COMPARE = 8;

/** Start and length of the window within A0000h..BFFFFh, by bits 2 and 3 of the miscellaneous register. */
const WINDOWS = [[0, 0x20000], [0, 0x10000], [0x10000, 0x8000], [0x18000, 0x8000]] as const;

/** The four planes' bits of a nibble, each spread over its byte. */
function spread(nibble: number): number {
  return ((nibble & 1 ? 0xff : 0) | (nibble & 2 ? 0xff00 : 0) | (nibble & 4 ? 0xff0000 : 0) | (nibble & 8 ? 0xff000000 : 0)) >>> 0;
}

function everyPlane(byte: number): number {
  return (byte * 0x01010101) >>> 0;
}

export class VgaMemory {
  readonly #registers: VgaRegisters;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  /** What the last read found: a byte of each plane. */
  latch = 0;

  constructor(registers: VgaRegisters, memory: Uint8Array) {
    this.#registers = registers;
    this.#bytes = memory;
    this.#words = new Uint32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
  }

  /** `bank`: first byte of the 64 KiB shown in linear modes; undefined outside of them. */
  read(offset: number, bank: number | undefined): number {
    if (bank !== undefined) return offset < 0x10000 ? (this.#bytes[bank + offset] ?? 0xff) : 0xff;
    const address = this.#inWindow(offset);
    if (address === undefined) return 0xff;
    const { sequencer, graphics } = this.#registers;
    if ((sequencer[SEQUENCER_MODE]! & MODE_CHAIN_4) !== 0) return this.#bytes[address] ?? 0xff;
    const oddEven = (sequencer[SEQUENCER_MODE]! & MODE_NO_ODD_EVEN) === 0;
    const word = oddEven ? address >> 1 : address;
    this.latch = this.#words[word] ?? 0;
    if ((graphics[GRAPHICS_MODE]! & READ_COMPARE) === 0) {
      const plane = oddEven ? (graphics[READ_MAP]! & 2) | (address & 1) : graphics[READ_MAP]!;
      return (this.latch >>> (8 * plane)) & 0xff;
    }
    // Ones where the planes that are cared for have the colour looked for.
    const differing = (this.latch ^ spread(graphics[COLOUR_COMPARE]!)) & spread(graphics[COLOUR_DO_NOT_CARE]!);
    return ~(differing | (differing >>> 8) | (differing >>> 16) | (differing >>> 24)) & 0xff;
  }

  write(offset: number, value: number, bank: number | undefined): void {
    if (bank !== undefined) {
      if (offset < 0x10000 && bank + offset < this.#bytes.length) this.#bytes[bank + offset] = value;
      return;
    }
    const address = this.#inWindow(offset);
    if (address === undefined) return;
    const { sequencer } = this.#registers;
    const mode = sequencer[SEQUENCER_MODE]!;
    const maps = sequencer[SEQUENCER_MAP_MASK]!;
    if ((mode & MODE_CHAIN_4) !== 0) {
      if ((maps & (1 << (address & 3))) !== 0) this.#bytes[address] = value;
    } else if ((mode & MODE_NO_ODD_EVEN) === 0) {
      // Even addresses go to planes 0 and 2, odd ones to 1 and 3.
      this.#writePlanes(address >> 1, value, maps & ((address & 1) === 0 ? 5 : 10));
    } else this.#writePlanes(address, value, maps);
  }

  #writePlanes(word: number, value: number, maps: number): void {
    if (word >= this.#words.length) return;
    const mask = spread(maps);
    this.#words[word] = (this.#words[word]! & ~mask) | (this.#combine(value) & mask);
  }

  /** The graphics controller's write modes. */
  #combine(value: number): number {
    const { graphics } = this.#registers;
    const count = graphics[ROTATE]! & 7;
    const rotated = ((value >>> count) | (value << (8 - count))) & 0xff;
    let bits = everyPlane(graphics[BIT_MASK]!);
    let data: number;
    switch (graphics[GRAPHICS_MODE]! & 3) {
      case 0: {
        const enabled = spread(graphics[ENABLE_SET_RESET]!);
        data = (everyPlane(rotated) & ~enabled) | (spread(graphics[SET_RESET]!) & enabled);
        break;
      }
      case 1:
        return this.latch;
      case 2:
        data = spread(value & 15);
        break;
      default:
        bits &= everyPlane(rotated);
        data = spread(graphics[SET_RESET]!);
    }
    switch ((graphics[ROTATE]! >> 3) & 3) {
      case 1: data &= this.latch; break;
      case 2: data |= this.latch; break;
      case 3: data ^= this.latch; break;
      default: break;
    }
    return (data & bits) | (this.latch & ~bits);
  }

  #inWindow(offset: number): number | undefined {
    const [first, length] = WINDOWS[(this.#registers.graphics[GRAPHICS_MISCELLANEOUS]! >> 2) & 3]!;
    return offset >= first && offset < first + length ? offset - first : undefined;
  }
}
