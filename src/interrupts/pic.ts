import { StateError } from '../base/errors.ts';
import type { AccessSize } from '../base/addresses.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';

// Intel 8259A data sheet (231468). Two of them, the slave at the master's input 2, as in every PC.

/** Plain state of one chip. */
interface ChipState {
  irr: number;
  isr: number;
  imr: number;
  /** Levels of the inputs. */
  lines: number;
  /** Edge/level control register: 1 = level-triggered. */
  elcr: number;
  vectorBase: number;
  /** 0 ready, else which initialisation command word comes next. */
  initStep: number;
  /** ICW1 bits 0 (ICW4 follows) and 1 (single: no ICW3). */
  needsIcw4: number;
  autoEoi: number;
  rotateOnAeoi: number;
  specialMask: number;
  specialFullyNested: number;
  lowestPriority: number;
  readIsr: number;
  poll: number;
}

function powerOn(): ChipState {
  return { irr: 0, isr: 0, imr: 0xff, lines: 0, elcr: 0, vectorBase: 0, initStep: 0, needsIcw4: 0, autoEoi: 0, rotateOnAeoi: 0, specialMask: 0, specialFullyNested: 0, lowestPriority: 7, readIsr: 0, poll: 0 };
}

class Chip implements RegisterBlock {
  readonly name: string;
  readonly length = 2;
  state: ChipState = powerOn();
  readonly isMaster: boolean;
  readonly #changed: () => void;

  constructor(name: string, isMaster: boolean, changed: () => void) {
    this.name = name;
    this.isMaster = isMaster;
    this.#changed = changed;
  }

  setLine(input: number, high: boolean): void {
    const s = this.state;
    const bit = 1 << input;
    const was = (s.lines & bit) !== 0;
    if (high) {
      s.lines |= bit;
      if (!was || (s.elcr & bit) !== 0) s.irr |= bit;
    } else {
      s.lines &= ~bit;
      // A level input is followed; an edge request that goes away before it is acknowledged is lost as well.
      s.irr &= ~bit;
    }
    this.#changed();
  }

  /** The edge/level control register. An input that becomes level-triggered while it is high asks for service. */
  setLevelInputs(inputs: number): void {
    this.state.elcr = inputs;
    this.state.irr |= this.state.lines & inputs;
    this.#changed();
  }

  /** Latches an edge: the request stays although the line is low again. */
  pulse(input: number): void {
    this.state.irr |= 1 << input;
    this.#changed();
  }

  /** Number of the request to be served next, or -1. */
  request(): number {
    const s = this.state;
    const masked = s.irr & ~s.imr;
    if (masked === 0) return -1;
    for (let i = 1; i <= 8; i++) {
      const input = (s.lowestPriority + i) & 7;
      const bit = 1 << input;
      if ((s.isr & bit) !== 0 && s.specialMask === 0) {
        // In special fully nested mode the slave may interrupt its own service.
        if (!(this.isMaster && s.specialFullyNested !== 0 && input === 2)) return -1;
      }
      if ((masked & bit) !== 0 && (s.specialMask === 0 || (s.isr & bit) === 0)) return input;
    }
    return -1;
  }

  acknowledge(): number {
    const s = this.state;
    const input = this.request();
    if (input < 0) return s.vectorBase | 7; // spurious
    const bit = 1 << input;
    if ((s.elcr & bit) === 0 || (s.lines & bit) === 0) s.irr &= ~bit;
    if (s.autoEoi === 0) s.isr |= bit;
    else if (s.rotateOnAeoi !== 0) s.lowestPriority = input;
    this.#changed();
    return s.vectorBase | input;
  }

  read(offset: number, size: AccessSize): number {
    let value = this.#readByte(offset);
    for (let i = 1; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value;
  }
  #readByte(offset: number): number {
    const s = this.state;
    if (s.poll !== 0) {
      s.poll = 0;
      const input = this.request();
      if (input < 0) return 0;
      this.acknowledge();
      return 0x80 | input;
    }
    if (offset === 1) return s.imr;
    return s.readIsr !== 0 ? s.isr : s.irr;
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size && offset + i < 2; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    this.#changed();
  }
  #writeByte(offset: number, value: number): void {
    const s = this.state;
    if (offset === 0) {
      if ((value & 0x10) !== 0) this.#initialise(value);
      else if ((value & 0x08) !== 0) this.#ocw3(value);
      else this.#ocw2(value);
      return;
    }
    switch (s.initStep) {
      case 2:
        s.vectorBase = value & 0xf8;
        s.initStep = (s.needsIcw4 & 2) === 0 ? 3 : (s.needsIcw4 & 1) !== 0 ? 4 : 0;
        return;
      case 3:
        s.initStep = (s.needsIcw4 & 1) !== 0 ? 4 : 0;
        return;
      case 4:
        s.autoEoi = (value >> 1) & 1;
        s.specialFullyNested = (value >> 4) & 1;
        s.initStep = 0;
        return;
      default:
        s.imr = value;
    }
  }
  #initialise(value: number): void {
    const { lines, elcr, vectorBase } = this.state;
    this.state = { ...powerOn(), imr: 0, lines, elcr, vectorBase, initStep: 2, needsIcw4: value & 3 };
    this.state.irr = lines & elcr;
  }
  #ocw3(value: number): void {
    const s = this.state;
    if ((value & 0x04) !== 0) s.poll = 1;
    if ((value & 0x02) !== 0) s.readIsr = value & 1;
    if ((value & 0x40) !== 0) s.specialMask = (value >> 5) & 1;
  }
  #ocw2(value: number): void {
    const s = this.state;
    const command = value >> 5;
    const level = value & 7;
    const highest = (): number => {
      for (let i = 1; i <= 8; i++) {
        const input = (s.lowestPriority + i) & 7;
        // In special mask mode a non-specific EOI leaves masked inputs alone.
        if ((s.isr & ~(s.specialMask !== 0 ? s.imr : 0) & (1 << input)) !== 0) return input;
      }
      return -1;
    };
    if (command === 0 || command === 4) s.rotateOnAeoi = command === 4 ? 1 : 0;
    else if (command === 6) s.lowestPriority = level;
    else {
      const input = command === 3 || command === 7 ? level : command === 2 ? -1 : highest();
      if (input < 0) return;
      s.isr &= ~(1 << input);
      if (command === 5 || command === 7) s.lowestPriority = input;
    }
  }
}

/** The pair. Inputs 0 to 15; input 2 belongs to the cascade. */
export class PicPair implements Stateful {
  readonly stateName = 'pic';
  readonly stateVersion = 1;
  /** Ports 20h and A0h. */
  readonly master: RegisterBlock;
  readonly slave: RegisterBlock;
  /** Ports 4D0h and 4D1h (82371SB data sheet, ELCR). */
  readonly edgeLevel: RegisterBlock;
  readonly #master: Chip;
  readonly #slave: Chip;
  readonly #output: (high: boolean) => void;
  #settling = false;

  /** `output`: the INTR line, called when it may have changed. */
  constructor(output: (high: boolean) => void) {
    this.#output = output;
    this.#master = new Chip('pic-master', true, () => this.#settle());
    this.#slave = new Chip('pic-slave', false, () => this.#settle());
    this.master = this.#master;
    this.slave = this.#slave;
    const chips = [this.#master, this.#slave] as const;
    this.edgeLevel = {
      name: 'pic-elcr',
      length: 2,
      read: (offset, size) => (chips[offset]!.state.elcr | (size > 1 && offset === 0 ? chips[1].state.elcr << 8 : 0)) >>> 0,
      write: (offset, size, value) => {
        for (let i = 0; i < size && offset + i < 2; i++) {
          // Timer, keyboard, cascade, clock and coprocessor are edge-triggered always.
          chips[offset + i]!.setLevelInputs((value >>> (8 * i)) & (offset + i === 0 ? 0xf8 : 0xde));
        }
      },
    };
  }

  setLine(irq: number, high: boolean): void {
    if (irq < 8) this.#master.setLine(irq, high);
    else this.#slave.setLine(irq - 8, high);
  }
  pulse(irq: number): void {
    if (irq < 8) this.#master.pulse(irq);
    else this.#slave.pulse(irq - 8);
  }
  /** The INTR line. */
  get pending(): boolean {
    return this.#master.request() >= 0;
  }
  /** The interrupt acknowledge cycle: the vector. */
  acknowledge(): number {
    const input = this.#master.request();
    const vector = this.#master.acknowledge();
    if (input !== 2) return vector;
    const fromSlave = this.#slave.acknowledge();
    // The slave's output falls with the acknowledge and rises again when more is waiting: a new edge for the master.
    this.#master.setLine(2, false);
    return fromSlave;
  }

  #settle(): void {
    if (this.#settling) return;
    this.#settling = true;
    const cascade = this.#slave.request() >= 0;
    if (cascade !== ((this.#master.state.lines & 4) !== 0)) this.#master.setLine(2, cascade);
    this.#settling = false;
    this.#output(this.pending);
  }

  save(): Plain {
    return { master: { ...this.#master.state }, slave: { ...this.#slave.state } };
  }
  load(state: Plain, version: number): void {
    if (version !== 1) throw new StateError(`pic: state version ${version} is unknown, expected 1`);
    const read = (key: string): ChipState => {
      const stored = (state as { [key: string]: Plain } | null)?.[key];
      const out = powerOn();
      for (const field of Object.keys(out) as (keyof ChipState)[]) {
        const value = (stored as { [key: string]: Plain } | null | undefined)?.[field];
        if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xff) throw new StateError(`pic: field ${key}.${field} must be a byte`);
        out[field] = value;
      }
      out.lowestPriority &= 7;
      return out;
    };
    const master = read('master');
    const slave = read('slave');
    this.#master.state = master;
    this.#slave.state = slave;
    this.#output(this.pending);
  }
  reset(): void {
    this.#master.state = powerOn();
    this.#slave.state = powerOn();
    this.#output(false);
  }
}
