import type { LinearMode } from './dispi.ts';
import type { VgaRegisters } from './vga-registers.ts';

// What a monitor at the VGA would show.

/** A picture; four bytes a pixel: red, green, blue, 255. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

/** Text mode as characters: each cell a code of the code page in its low byte, the attribute above it. */
export interface TextCells {
  readonly columns: number;
  readonly rows: number;
  readonly cells: Uint16Array;
  /** Index of the cell with the cursor; undefined where none is shown. */
  readonly cursor: number | undefined;
  /** Colours 0 to 15 of attributes: 0xRRGGBB. */
  readonly colours: readonly number[];
}

const MAX_WIDTH = 4096;
const MAX_HEIGHT = 2048;

const HORIZONTAL_DISPLAY_END = 1;
const OVERFLOW = 7;
const MAXIMUM_SCAN_LINE = 9;
const CURSOR_START = 0x0a;
const CURSOR_END = 0x0b;
const START_HIGH = 0x0c;
const START_LOW = 0x0d;
const CURSOR_HIGH = 0x0e;
const CURSOR_LOW = 0x0f;
const VERTICAL_DISPLAY_END = 0x12;
const OFFSET = 0x13;
const CRTC_MODE = 0x17;
const LINE_COMPARE = 0x18;

const ATTRIBUTE_MODE = 0x10;
const PLANE_ENABLE = 0x12;
const COLOUR_SELECT = 0x14;

/** Reads video memory through the registers' eyes. */
export class VgaScreen {
  readonly #registers: VgaRegisters;
  readonly #bytes: Uint8Array;

  constructor(registers: VgaRegisters, memory: Uint8Array) {
    this.#registers = registers;
    this.#bytes = memory;
  }

  get isText(): boolean {
    return (this.#registers.graphics[6]! & 1) === 0;
  }

  /** Characters of a text mode. */
  text(): TextCells {
    const { crtc } = this.#registers;
    const columns = crtc[HORIZONTAL_DISPLAY_END]! + 1;
    const rows = Math.max(1, Math.min(128, Math.floor(this.#lines() / this.#characterHeight())));
    const cells = new Uint16Array(columns * rows);
    const start = ((crtc[START_HIGH]! << 8) | crtc[START_LOW]!) * 4;
    const stride = crtc[OFFSET]! * 8;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const at = start + row * stride + column * 4;
        cells[row * columns + column] = (this.#bytes[at] ?? 0) | ((this.#bytes[at + 1] ?? 0) << 8);
      }
    }
    return { columns, rows, cells, cursor: this.#cursor(columns, rows, stride), colours: Array.from({ length: 16 }, (_, i) => this.#paletteColour(i)) };
  }

  #cursor(columns: number, rows: number, stride: number): number | undefined {
    const { crtc } = this.#registers;
    if ((crtc[CURSOR_START]! & 0x20) !== 0 || stride === 0) return undefined;
    const start = (crtc[START_HIGH]! << 8) | crtc[START_LOW]!;
    const at = ((crtc[CURSOR_HIGH]! << 8) | crtc[CURSOR_LOW]!) - start;
    const row = Math.floor((at * 4) / stride);
    const column = at - (row * stride) / 4;
    return at >= 0 && row < rows && column < columns ? row * columns + column : undefined;
  }

  picture(linear: LinearMode | undefined): Picture {
    if (linear !== undefined) return this.#linearPicture(linear);
    if (!this.#registers.displaying) return blank(640, 400);
    if (this.isText) return this.#textPicture();
    return ((this.#registers.graphics[5]! >> 5) & 2) !== 0 ? this.#bytePicture() : this.#planePicture();
  }

  /** Scan lines, doubled ones counted twice. */
  #lines(): number {
    const { crtc } = this.#registers;
    return (crtc[VERTICAL_DISPLAY_END]! | ((crtc[OVERFLOW]! & 2) << 7) | ((crtc[OVERFLOW]! & 0x40) << 3)) + 1;
  }

  /** Scan lines of a row of characters, doubling included. */
  #characterHeight(): number {
    const register = this.#registers.crtc[MAXIMUM_SCAN_LINE]!;
    return ((register & 0x1f) + 1) * ((register & 0x80) === 0 ? 1 : 2);
  }

  /** 0xRRGGBB of a DAC entry. */
  #dacColour(index: number): number {
    const { dac, dacMask, wideDac } = this.#registers;
    const at = (index & dacMask) * 3;
    const level = (value: number): number => (wideDac ? value : (value << 2) | (value >> 4));
    return (level(dac[at]!) << 16) | (level(dac[at + 1]!) << 8) | level(dac[at + 2]!);
  }

  /** The colour of one of 16 through the attribute controller's palette and colour select. */
  #paletteColour(index: number): number {
    const { attribute } = this.#registers;
    const entry = attribute[index & attribute[PLANE_ENABLE]! & 15]!;
    const select = attribute[COLOUR_SELECT]!;
    const high = (attribute[ATTRIBUTE_MODE]! & 0x80) !== 0 ? (entry & 15) | ((select & 3) << 4) : entry;
    return this.#dacColour(high | ((select & 12) << 4));
  }

  #textPicture(): Picture {
    const { sequencer, attribute, crtc } = this.#registers;
    const { columns, rows, cells, cursor, colours } = this.text();
    const dots = (sequencer[1]! & 1) !== 0 ? 8 : 9;
    const height = (crtc[MAXIMUM_SCAN_LINE]! & 0x1f) + 1;
    const canvas = new Canvas(columns * dots, rows * height);
    const map = sequencer[3]!;
    const fonts = [fontBase((map & 3) | ((map >> 2) & 4)), fontBase(((map >> 2) & 3) | ((map >> 3) & 4))] as const;
    const blinks = (attribute[ATTRIBUTE_MODE]! & 8) !== 0;
    const lineGraphics = (attribute[ATTRIBUTE_MODE]! & 4) !== 0;
    cells.forEach((cell, i) => {
      const code = cell & 0xff;
      const style = cell >> 8;
      const foreground = colours[style & 15]!;
      const background = colours[(style >> 4) & (blinks ? 7 : 15)]!;
      const font = fonts[0] === fonts[1] || (style & 8) === 0 ? fonts[0] : fonts[1];
      for (let y = 0; y < height; y++) {
        const bits = this.#bytes[(font + code * 32 + y) * 4 + 2] ?? 0;
        const inCursor = i === cursor && y >= (crtc[CURSOR_START]! & 0x1f) && y <= (crtc[CURSOR_END]! & 0x1f);
        for (let x = 0; x < dots; x++) {
          // The ninth dot repeats the eighth in line graphics, so that lines meet.
          const set = x < 8 ? (bits & (0x80 >> x)) !== 0 : lineGraphics && code >= 0xc0 && code <= 0xdf && (bits & 1) !== 0;
          canvas.put((i % columns) * dots + x, Math.floor(i / columns) * height + y, set || inCursor ? foreground : background);
        }
      }
    });
    return canvas.picture;
  }

  /** Bytes from the start of video memory of the line that is shown at `line`; split screens begin anew at 0. */
  #lineStart(line: number): { readonly start: number; readonly scan: number } {
    const { crtc } = this.#registers;
    const compare = crtc[LINE_COMPARE]! | ((crtc[OVERFLOW]! & 0x10) << 4) | ((crtc[MAXIMUM_SCAN_LINE]! & 0x40) << 3);
    const below = line > compare;
    const single = (crtc[MAXIMUM_SCAN_LINE]! & 0x80) === 0 ? line : line >> 1;
    const relative = below ? single - compare - 1 : single;
    const height = (crtc[MAXIMUM_SCAN_LINE]! & 0x1f) + 1;
    const start = below ? 0 : ((crtc[START_HIGH]! << 8) | crtc[START_LOW]!) * 4;
    return { start: start + Math.floor(relative / height) * crtc[OFFSET]! * 8, scan: relative % height };
  }

  /** Sixteen colours from four planes, or four (CGA) from two with the bits shifted out in pairs. */
  #planePicture(): Picture {
    const { crtc, graphics } = this.#registers;
    const characters = crtc[HORIZONTAL_DISPLAY_END]! + 1;
    const pairs = (graphics[5]! & 0x20) !== 0;
    const lines = this.#lines();
    // Where row scan bits choose memory, each scan line is another.
    const step = (crtc[CRTC_MODE]! & 3) === 3 ? this.#characterHeight() : 1;
    const colours = Array.from({ length: 16 }, (_, i) => this.#paletteColour(i));
    const canvas = new Canvas(characters * 8, Math.ceil(lines / step));
    for (let y = 0; y < canvas.picture.height; y++) {
      const { start, scan } = this.#lineStart(y * step);
      let offset = start;
      // Row scan bits stand in for address bits 13 and 14 in the modes of older adapters.
      if ((crtc[CRTC_MODE]! & 1) === 0) offset = (offset & ~0x8000) | ((scan & 1) << 15);
      if ((crtc[CRTC_MODE]! & 2) === 0) offset = (offset & ~0x10000) | (((scan >> 1) & 1) << 16);
      for (let character = 0; character < characters; character++) {
        const at = offset + character * 4;
        for (let x = 0; x < 8; x++) {
          let colour = 0;
          if (pairs) {
            const byte = this.#bytes[at + (x >> 2)] ?? 0;
            colour = (byte >> (2 * (3 - (x & 3)))) & 3;
          } else {
            for (let plane = 0; plane < 4; plane++) colour |= (((this.#bytes[at + plane] ?? 0) >> (7 - x)) & 1) << plane;
          }
          canvas.put(character * 8 + x, y, colours[colour]!);
        }
      }
    }
    return canvas.picture;
  }

  /** 256 colours: a byte a pixel, two clocks long. */
  #bytePicture(): Picture {
    const step = this.#characterHeight();
    const canvas = new Canvas((this.#registers.crtc[HORIZONTAL_DISPLAY_END]! + 1) * 4, Math.ceil(this.#lines() / step));
    const colours = Array.from({ length: 256 }, (_, i) => this.#dacColour(i));
    for (let y = 0; y < canvas.picture.height; y++) {
      const { start } = this.#lineStart(y * step);
      for (let x = 0; x < canvas.picture.width; x++) canvas.put(x, y, colours[this.#bytes[start + x] ?? 0]!);
    }
    return canvas.picture;
  }

  /** Words of video memory; fewer where it ends. Offsets of words are multiples of four. */
  #words(offset: number, count: number): Uint32Array {
    const there = Math.max(0, Math.min(count, (this.#bytes.length - offset) >> 2));
    return new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset + (there === 0 ? 0 : offset), there);
  }

  #linearPicture(mode: LinearMode): Picture {
    const canvas = new Canvas(mode.width, mode.height);
    const { bitsPerPixel, stride, start } = mode;
    if (bitsPerPixel === 32) {
      // What is drawn in most: as quick as can be.
      for (let y = 0; y < canvas.picture.height; y++) canvas.putRow(y, this.#words(start + y * stride, canvas.picture.width));
      return canvas.picture;
    }
    const bytes = (bitsPerPixel + 7) >> 3;
    const colours = bitsPerPixel <= 8 ? Array.from({ length: 256 }, (_, i) => (bitsPerPixel === 4 ? this.#paletteColour(i & 15) : this.#dacColour(i))) : [];
    const at = (offset: number): number => this.#bytes[offset] ?? 0;
    for (let y = 0; y < canvas.picture.height; y++) {
      for (let x = 0; x < canvas.picture.width; x++) {
        const offset = start + y * stride + (bitsPerPixel === 4 ? (x >> 3) * 4 : x * bytes);
        const low = at(offset) | (at(offset + 1) << 8);
        switch (bitsPerPixel) {
          case 4: {
            let colour = 0;
            for (let plane = 0; plane < 4; plane++) colour |= ((at(offset + plane) >> (7 - (x & 7))) & 1) << plane;
            canvas.put(x, y, colours[colour]!);
            break;
          }
          case 8:
            canvas.put(x, y, colours[low & 0xff]!);
            break;
          case 15:
            canvas.put(x, y, rgb(wide(low >> 10, 5), wide(low >> 5, 5), wide(low, 5)));
            break;
          case 16:
            canvas.put(x, y, rgb(wide(low >> 11, 5), wide(low >> 5, 6), wide(low, 5)));
            break;
          default:
            canvas.put(x, y, low | (at(offset + 2) << 16));
        }
      }
    }
    return canvas.picture;
  }
}

/** First word of a font in plane 2, by the character map select of three bits (the middle one counts 16 KiB). */
function fontBase(select: number): number {
  return (select & 3) * 0x4000 + ((select & 4) !== 0 ? 0x2000 : 0);
}

/** The lowest `bits` bits of a colour's level, stretched to eight. */
function wide(value: number, bits: number): number {
  const level = value & ((1 << bits) - 1);
  return (level << (8 - bits)) | (level >> (2 * bits - 8));
}

function rgb(red: number, green: number, blue: number): number {
  return (red << 16) | (green << 8) | blue;
}

function blank(width: number, height: number): Picture {
  return new Canvas(width, height).picture;
}

const OPAQUE = 0xff000000;

function pixel(colour: number): number {
  return OPAQUE | ((colour & 0xff) << 16) | (colour & 0xff00) | ((colour >> 16) & 0xff);
}

class Canvas {
  readonly picture: Picture;
  /** The pixels as words: red in the lowest byte. */
  readonly #words: Uint32Array;

  constructor(width: number, height: number) {
    const size = { width: Math.max(1, Math.min(width, MAX_WIDTH)), height: Math.max(1, Math.min(height, MAX_HEIGHT)) };
    const pixels = new Uint8Array(size.width * size.height * 4);
    this.picture = { ...size, pixels };
    this.#words = new Uint32Array(pixels.buffer).fill(OPAQUE);
  }

  /** `colour`: 0xRRGGBB. Outside: nothing. */
  put(x: number, y: number, colour: number): void {
    if (x < this.picture.width && y < this.picture.height) this.#words[y * this.picture.width + x] = pixel(colour);
  }

  /** A row of pixels from words 0x..RRGGBB; what is missing stays black. */
  putRow(y: number, source: Uint32Array): void {
    const at = y * this.picture.width;
    for (let x = 0; x < source.length; x++) this.#words[at + x] = pixel(source[x]!);
  }
}
