import { StateError } from '../base/errors.ts';
import type { AccessSize } from '../base/addresses.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { MonotonicClock } from '../host/clock.ts';
import type { Timer, Timers } from '../host/timers.ts';
import type { EdgeLine } from '../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';

// Intel 8254 data sheet (231164). Counters are functions of the clock: nothing runs while nobody looks.

const HZ = 1193182;
/** A deadline in ns is rounded; the tick that it stands for must have passed when it is reached. */
const ROUNDING = 1e-3;
const ns = (ticks: number): number => (ticks * 1e9) / HZ;

interface Counter {
  mode: number;
  /** 1 low byte, 2 high byte, 3 low then high. */
  access: number;
  bcd: number;
  /** Initial count, 1 to 65536 (BCD: 10000); 0 = none loaded. */
  reload: number;
  /** In modes 1 and 5: the count that the next rising gate takes, 0 = none. */
  waiting: number;
  /** Clock (ns) when counting began with `reload`. */
  start: number;
  writeLow: number;
  writeHalf: number;
  readHalf: number;
  /** Latched count or status, -1 when none. */
  latch: number;
  status: number;
  gate: number;
  /** Time counted (ns) when a low gate stopped the counter, -1 while it runs. */
  held: number;
}

function powerOn(gate: number): Counter {
  return { mode: 0, access: 3, bcd: 0, reload: 0, waiting: 0, start: 0, writeLow: 0, writeHalf: 0, readHalf: 0, latch: -1, status: -1, gate, held: -1 };
}

/** Ports 40h to 43h, counter 0 driving the timer interrupt, counter 2 gated and read through port 61h. */
export class Pit implements RegisterBlock, Stateful {
  readonly name = 'pit';
  readonly length = 4;
  readonly stateName = 'pit';
  readonly stateVersion = 2;
  /** Port 61h: bit 0 gate of counter 2, bit 1 speaker, bit 4 refresh toggle, bit 5 output of counter 2. */
  readonly port61: RegisterBlock;
  readonly #clock: MonotonicClock;
  readonly #irq: EdgeLine;
  readonly #timer: Timer;
  readonly #counters: Counter[] = [powerOn(1), powerOn(1), powerOn(0)];
  #speaker = 0;

  constructor(options: { clock: MonotonicClock; timers: Timers; irq: EdgeLine }) {
    this.#clock = options.clock;
    this.#irq = options.irq;
    this.#timer = options.timers.create('pit', () => this.#due());
    this.port61 = {
      name: 'port-61',
      length: 1,
      read: () => {
        const refresh = Math.floor(this.#clock.now() / 15085) & 1;
        return this.#counters[2]!.gate | (this.#speaker << 1) | (refresh << 4) | ((this.#output(this.#counters[2]!) ? 1 : 0) << 5);
      },
      write: (_offset, _size, value) => {
        this.#speaker = (value >> 1) & 1;
        this.#setGate(this.#counters[2]!, value & 1);
      },
    };
  }

  reset(): void {
    [1, 1, 0].forEach((gate, i) => Object.assign(this.#counters[i]!, powerOn(gate)));
    this.#speaker = 0;
    this.#timer.disarm();
  }

  #ticks(c: Counter): number {
    return Math.max(0, Math.floor(((c.held >= 0 ? c.held : this.#clock.now() - c.start) * HZ) / 1e9 + ROUNDING));
  }
  #modulus(c: Counter): number {
    return c.bcd !== 0 ? 10000 : 65536;
  }
  #count(c: Counter): number {
    if (c.reload === 0) return 0;
    const ticks = this.#ticks(c);
    const modulus = this.#modulus(c);
    switch (c.mode) {
      case 2: return c.reload - (ticks % c.reload);
      case 3: {
        // Counts down by two in each half; an odd count has one tick more in the high half.
        const half = Math.ceil(c.reload / 2);
        const tick = ticks % c.reload;
        return (c.reload & ~1) - 2 * (tick < half ? tick : tick - half);
      }
      default: return (((c.reload - ticks) % modulus) + modulus) % modulus;
    }
  }
  #output(c: Counter): boolean {
    if (c.reload === 0) return c.mode !== 0;
    if (c.held >= 0 && (c.mode === 2 || c.mode === 3)) return true;
    const ticks = this.#ticks(c);
    switch (c.mode) {
      case 0: case 1: return ticks >= c.reload;
      case 2: return ticks % c.reload !== c.reload - 1;
      case 3: return ticks % c.reload < Math.ceil(c.reload / 2);
      default: return ticks !== c.reload;
    }
  }
  #setGate(c: Counter, gate: number): void {
    // A low gate stops counting but in modes 1 and 5. A rising one triggers those, restarts 2 and 3, and lets 0 and 4 go on.
    const now = this.#clock.now();
    if (gate === 0 && c.gate === 1 && !triggered(c)) c.held = Math.max(0, now - c.start);
    else if (gate === 1 && c.gate === 0) {
      c.start = c.mode === 0 || c.mode === 4 ? now - Math.max(0, c.held) : now;
      c.held = -1;
      if (triggered(c) && c.waiting !== 0) [c.reload, c.waiting] = [c.waiting, 0];
    }
    c.gate = gate;
  }

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size && offset + i < 4; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }
  #readByte(offset: number): number {
    if (offset === 3) return 0xff;
    const c = this.#counters[offset]!;
    if (c.status >= 0) {
      const status = c.status;
      c.status = -1;
      return status;
    }
    const raw = c.latch >= 0 ? c.latch : this.#count(c);
    const value = c.bcd !== 0 && c.latch < 0 ? toBcd(raw) : raw;
    if (c.access === 1 || c.access === 2) {
      c.latch = -1;
      return c.access === 1 ? value & 0xff : (value >> 8) & 0xff;
    }
    const high = c.readHalf === 1;
    c.readHalf ^= 1;
    if (high) c.latch = -1;
    return high ? (value >> 8) & 0xff : value & 0xff;
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size && offset + i < 4; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }
  #writeByte(offset: number, value: number): void {
    if (offset === 3) {
      this.#control(value);
      return;
    }
    const c = this.#counters[offset]!;
    let count: number;
    if (c.access === 1) count = value;
    else if (c.access === 2) count = value << 8;
    else if (c.writeHalf === 0) {
      c.writeLow = value;
      c.writeHalf = 1;
      return;
    } else {
      c.writeHalf = 0;
      count = c.writeLow | (value << 8);
    }
    if (c.bcd !== 0) count = fromBcd(count);
    if (count === 0) count = this.#modulus(c);
    if (triggered(c)) {
      c.waiting = count;
      return;
    }
    c.reload = count;
    c.start = this.#clock.now();
    c.held = c.gate === 0 ? 0 : -1;
    if (offset === 0) this.#arm();
  }
  #control(value: number): void {
    const select = value >> 6;
    if (select === 3) {
      for (let i = 0; i < 3; i++) {
        if ((value & (2 << i)) === 0) continue;
        const c = this.#counters[i]!;
        if ((value & 0x20) === 0) this.#latch(c);
        if ((value & 0x10) === 0 && c.status < 0) c.status = (this.#output(c) ? 0x80 : 0) | (c.reload === 0 || c.waiting !== 0 ? 0x40 : 0) | (c.access << 4) | (c.mode << 1) | c.bcd;
      }
      return;
    }
    const c = this.#counters[select]!;
    const access = (value >> 4) & 3;
    if (access === 0) {
      this.#latch(c);
      return;
    }
    const mode = (value >> 1) & 7;
    Object.assign(c, { ...powerOn(c.gate), access, mode: mode > 5 ? mode - 4 : mode, bcd: value & 1 });
    if (select === 0) this.#timer.disarm();
  }
  #latch(c: Counter): void {
    if (c.latch < 0) c.latch = c.bcd !== 0 ? toBcd(this.#count(c)) : this.#count(c) & 0xffff;
  }

  /** The next rising edge of counter 0's output. */
  #arm(): void {
    const c = this.#counters[0]!;
    if (c.reload === 0) return;
    const periodic = c.mode === 2 || c.mode === 3;
    const ticks = this.#ticks(c);
    if (periodic) this.#timer.arm(c.start + ns((Math.floor(ticks / c.reload) + 1) * c.reload));
    else if (ticks < c.reload) this.#timer.arm(c.start + ns(c.reload + (c.mode >= 4 ? 1 : 0)));
  }
  #due(): void {
    this.#irq.pulse();
    const c = this.#counters[0]!;
    // Periods that a slow host missed are dropped; the phase is the counter's own.
    if (c.mode === 2 || c.mode === 3) this.#arm();
  }

  save(): Plain {
    return { counters: this.#counters.map((c) => ({ ...c })), speaker: this.#speaker, timer: this.#timer.deadline ?? null };
  }
  load(state: Plain, version: number): void {
    if (version !== 1 && version !== 2) throw new StateError(`pit: state version ${version} is unknown, expected 2`);
    const s = state as { [key: string]: Plain };
    const counters = s?.['counters'];
    if (!Array.isArray(counters) || counters.length !== 3) throw new StateError('pit: field counters must have 3 entries');
    const limits: Record<keyof Counter, readonly [number, number]> = {
      mode: [0, 5], access: [1, 3], bcd: [0, 1], reload: [0, 65536], waiting: [0, 65536], start: [0, Number.MAX_SAFE_INTEGER], writeLow: [0, 255], writeHalf: [0, 1], readHalf: [0, 1], latch: [-1, 65536], status: [-1, 255], gate: [0, 1], held: [-1, Number.MAX_SAFE_INTEGER],
    };
    const loaded = counters.map((entry: Plain) => {
      const out = powerOn(0);
      for (const key of Object.keys(limits) as (keyof Counter)[]) {
        // Version 1 knew no count that waits.
        const value = key === 'waiting' && version === 1 ? 0 : (entry as { [key: string]: Plain } | null)?.[key];
        if (typeof value !== 'number' || (key !== 'start' && key !== 'held' && !Number.isInteger(value)) || !(value >= limits[key][0] && value <= limits[key][1])) throw new StateError(`pit: field counters.${key} is damaged`);
        out[key] = value;
      }
      return out;
    });
    const timer = s['timer'];
    if (timer !== null && (typeof timer !== 'number' || !(timer >= 0))) throw new StateError('pit: field timer is damaged');
    if (s['speaker'] !== 0 && s['speaker'] !== 1) throw new StateError('pit: field speaker must be 0 or 1');
    loaded.forEach((c, i) => Object.assign(this.#counters[i]!, c));
    this.#speaker = s['speaker'];
    if (timer === null) this.#timer.disarm();
    else this.#timer.arm(timer);
  }
}

/** Modes 1 and 5 begin to count when their gate rises, not when the count is written. */
function triggered(c: Counter): boolean {
  return c.mode === 1 || c.mode === 5;
}

function toBcd(value: number): number {
  let out = 0;
  for (let i = 0, rest = value % 10000; i < 4; i++, rest = Math.floor(rest / 10)) out |= (rest % 10) << (4 * i);
  return out;
}
function fromBcd(value: number): number {
  let out = 0;
  for (let i = 3; i >= 0; i--) out = out * 10 + ((value >> (4 * i)) & 15);
  return out;
}
