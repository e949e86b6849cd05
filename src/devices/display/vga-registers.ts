import type { Plain } from '../../base/plain.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import { StateFields } from '../state-fields.ts';

// The VGA's registers (IBM PS/2 Hardware Interface Technical Reference, video subsystem), by offset from port 3B0h.

const ATTRIBUTE = 0x10;
const ATTRIBUTE_READ = 0x11;
const MISCELLANEOUS_WRITE = 0x12; // read: input status 0
const VIDEO_ENABLE = 0x13;
const SEQUENCER_INDEX = 0x14;
const SEQUENCER_DATA = 0x15;
const DAC_MASK = 0x16;
const DAC_READ_INDEX = 0x17; // read: DAC state
const DAC_WRITE_INDEX = 0x18;
const DAC_DATA = 0x19;
const FEATURE_READ = 0x1a;
const MISCELLANEOUS_READ = 0x1c;
const GRAPHICS_INDEX = 0x1e;
const GRAPHICS_DATA = 0x1f;
const MONOCHROME = 0x00;
const COLOUR = 0x20;
/** Within the monochrome or colour block. */
const CRTC_INDEX = 4;
const CRTC_DATA = 5;
const STATUS_1 = 0xa; // write: feature control

const MISCELLANEOUS_COLOUR = 1;
const STATUS_NOT_DISPLAYING = 1;
const STATUS_VERTICAL_RETRACE = 8;
const CRTC_PROTECTED = 0x80;

/** Timing of the 400-line modes: 449 lines at 31.469 kHz, of which 400 are shown. */
const LINE_NS = 1e9 / 31469;
const LINES = 449;
const SHOWN_LINES = 400;
const RETRACE_FIRST = 412;
const RETRACE_LAST = 413;
const SHOWN_PART_OF_LINE = 0.8;

const SEQUENCER_MASKS = [0x03, 0x3d, 0x0f, 0x3f, 0x0e] as const;
const GRAPHICS_MASKS = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff] as const;
const CRTC_REGISTERS = 25;
const ATTRIBUTE_REGISTERS = 21;
const DAC_BYTES = 768;

export class VgaRegisters {
  readonly sequencer = new Uint8Array(SEQUENCER_MASKS.length);
  readonly graphics = new Uint8Array(GRAPHICS_MASKS.length);
  readonly crtc = new Uint8Array(CRTC_REGISTERS);
  readonly attribute = new Uint8Array(ATTRIBUTE_REGISTERS);
  /** Red, green, blue of 256 colours, 6 bits each; 8 when `wideDac`. */
  readonly dac = new Uint8Array(DAC_BYTES);
  dacMask = 0xff;
  wideDac = false;
  readonly #clock: MonotonicClock;
  #miscellaneous = 0;
  #enable = 1;
  #feature = 0;
  #sequencerIndex = 0;
  #graphicsIndex = 0;
  #crtcIndex = 0;
  #attributeIndex = 0;
  #attributeData = false;
  /** Next byte of the DAC to read and to write; whether it was set up for reading. */
  #dacRead = 0;
  #dacWrite = 0;
  #dacReading = false;

  constructor(clock: MonotonicClock) {
    this.#clock = clock;
  }

  reset(): void {
    for (const registers of [this.sequencer, this.graphics, this.crtc, this.attribute, this.dac]) registers.fill(0);
    this.dacMask = 0xff;
    this.wideDac = this.#attributeData = this.#dacReading = false;
    this.#miscellaneous = this.#feature = this.#sequencerIndex = this.#graphicsIndex = this.#crtcIndex = this.#attributeIndex = this.#dacRead = this.#dacWrite = 0;
    this.#enable = 1;
  }

  /** False: the attribute controller's palette belongs to the processor, and the screen is dark. */
  get displaying(): boolean {
    return (this.#attributeIndex & 0x20) !== 0 && (this.sequencer[1]! & 0x20) === 0;
  }

  read(offset: number): number {
    const place = this.#crtcOffset(offset);
    if (place !== undefined) return place === CRTC_INDEX ? this.#crtcIndex : place === CRTC_DATA ? (this.crtc[this.#crtcIndex] ?? 0) : this.#status1();
    switch (offset) {
      case ATTRIBUTE: return this.#attributeIndex;
      case ATTRIBUTE_READ: return this.attribute[this.#attributeIndex & 0x1f] ?? 0;
      case MISCELLANEOUS_WRITE: return 0x10; // a monitor is there
      case VIDEO_ENABLE: return this.#enable;
      case SEQUENCER_INDEX: return this.#sequencerIndex;
      case SEQUENCER_DATA: return this.sequencer[this.#sequencerIndex] ?? 0;
      case DAC_MASK: return this.dacMask;
      case DAC_READ_INDEX: return this.#dacReading ? 3 : 0;
      case DAC_WRITE_INDEX: return Math.floor(this.#dacWrite / 3);
      case DAC_DATA: {
        const value = this.dac[this.#dacRead]!;
        this.#dacRead = (this.#dacRead + 1) % DAC_BYTES;
        return value;
      }
      case FEATURE_READ: return this.#feature;
      case MISCELLANEOUS_READ: return this.#miscellaneous;
      case GRAPHICS_INDEX: return this.#graphicsIndex;
      case GRAPHICS_DATA: return this.graphics[this.#graphicsIndex] ?? 0;
      default: return 0xff;
    }
  }

  write(offset: number, value: number): void {
    const place = this.#crtcOffset(offset);
    if (place === CRTC_INDEX) this.#crtcIndex = value & 0x1f;
    else if (place === CRTC_DATA) this.#writeCrtc(value);
    else if (place === STATUS_1) this.#feature = value & 8;
    switch (offset) {
      case ATTRIBUTE:
        this.#writeAttribute(value);
        break;
      case MISCELLANEOUS_WRITE:
        this.#miscellaneous = value & 0xef;
        break;
      case VIDEO_ENABLE:
        this.#enable = value & 1;
        break;
      case SEQUENCER_INDEX:
        this.#sequencerIndex = value & 7;
        break;
      case SEQUENCER_DATA:
        if (this.#sequencerIndex < this.sequencer.length) this.sequencer[this.#sequencerIndex] = value & SEQUENCER_MASKS[this.#sequencerIndex]!;
        break;
      case DAC_MASK:
        this.dacMask = value;
        break;
      case DAC_READ_INDEX:
        this.#dacRead = value * 3;
        this.#dacReading = true;
        break;
      case DAC_WRITE_INDEX:
        this.#dacWrite = value * 3;
        this.#dacReading = false;
        break;
      case DAC_DATA:
        this.dac[this.#dacWrite] = this.wideDac ? value : value & 0x3f;
        this.#dacWrite = (this.#dacWrite + 1) % DAC_BYTES;
        break;
      case GRAPHICS_INDEX:
        this.#graphicsIndex = value & 15;
        break;
      case GRAPHICS_DATA:
        if (this.#graphicsIndex < this.graphics.length) this.graphics[this.#graphicsIndex] = value & GRAPHICS_MASKS[this.#graphicsIndex]!;
        break;
      default:
        break;
    }
  }

  /** The CRT controller answers at the ports of the kind of display that is chosen, at the others nobody does. */
  #crtcOffset(offset: number): number | undefined {
    const place = offset - ((this.#miscellaneous & MISCELLANEOUS_COLOUR) !== 0 ? COLOUR : MONOCHROME);
    return place === CRTC_INDEX || place === CRTC_DATA || place === STATUS_1 ? place : undefined;
  }

  #writeCrtc(value: number): void {
    const index = this.#crtcIndex;
    if (index >= CRTC_REGISTERS) return;
    if (index <= 7 && (this.crtc[0x11]! & CRTC_PROTECTED) !== 0) {
      // Of the protected registers one bit can be written still: bit 8 of the line compare.
      if (index === 7) this.crtc[7] = (this.crtc[7]! & ~0x10) | (value & 0x10);
      return;
    }
    this.crtc[index] = value;
  }

  #writeAttribute(value: number): void {
    if (!this.#attributeData) this.#attributeIndex = value & 0x3f;
    else if ((this.#attributeIndex & 0x1f) < ATTRIBUTE_REGISTERS) this.attribute[this.#attributeIndex & 0x1f] = (this.#attributeIndex & 0x1f) < 16 ? value & 0x3f : value;
    this.#attributeData = !this.#attributeData;
  }

  /** Where the beam is; the next write to the attribute controller is an index again. */
  #status1(): number {
    this.#attributeData = false;
    const lines = this.#clock.now() / LINE_NS;
    const line = Math.floor(lines) % LINES;
    const shown = line < SHOWN_LINES && lines % 1 < SHOWN_PART_OF_LINE;
    return (shown ? 0 : STATUS_NOT_DISPLAYING) | (line >= RETRACE_FIRST && line <= RETRACE_LAST ? STATUS_VERTICAL_RETRACE : 0);
  }

  save(): Plain {
    return {
      sequencer: this.sequencer.slice(), graphics: this.graphics.slice(), crtc: this.crtc.slice(), attribute: this.attribute.slice(), dac: this.dac.slice(),
      dacMask: this.dacMask, wideDac: this.wideDac, miscellaneous: this.#miscellaneous, enable: this.#enable, feature: this.#feature,
      sequencerIndex: this.#sequencerIndex, graphicsIndex: this.#graphicsIndex, crtcIndex: this.#crtcIndex, attributeIndex: this.#attributeIndex,
      attributeData: this.#attributeData, dacRead: this.#dacRead, dacWrite: this.#dacWrite, dacReading: this.#dacReading,
    };
  }

  load(state: Plain): void {
    const fields = new StateFields('vga', state, 1, 1);
    const banks = [['sequencer', this.sequencer], ['graphics', this.graphics], ['crtc', this.crtc], ['attribute', this.attribute], ['dac', this.dac]] as const;
    for (const [name, registers] of banks) registers.set(fields.exactBytes(name, registers.length));
    this.dacMask = fields.byte('dacMask');
    this.wideDac = fields.boolean('wideDac');
    this.#miscellaneous = fields.byte('miscellaneous');
    this.#enable = fields.integer('enable', 1);
    this.#feature = fields.byte('feature');
    this.#sequencerIndex = fields.integer('sequencerIndex', 7);
    this.#graphicsIndex = fields.integer('graphicsIndex', 15);
    this.#crtcIndex = fields.integer('crtcIndex', 0x1f);
    this.#attributeIndex = fields.integer('attributeIndex', 0x3f);
    this.#attributeData = fields.boolean('attributeData');
    this.#dacRead = fields.integer('dacRead', DAC_BYTES - 1);
    this.#dacWrite = fields.integer('dacWrite', DAC_BYTES - 1);
    this.#dacReading = fields.boolean('dacReading');
  }
}
