import { StateError } from '../base/errors.ts';
import type { AccessSize } from '../base/addresses.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { Timer, Timers } from '../host/timers.ts';
import type { LevelLine } from '../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';

// Motorola MC146818A data sheet. Time comes from the wall clock plus what the guest set; alarms and periodic interrupts
// are timers. 128 bytes of CMOS RAM behind the clock registers.

const SECONDS = 0;
const MINUTES = 2;
const HOURS = 4;
const WEEKDAY = 6;
const DAY = 7;
const MONTH = 8;
const YEAR = 9;
const A = 10;
const B = 11;
const C = 12;
const D = 13;
const CENTURY = 0x32;

const B_24H = 2;
const B_BINARY = 4;
const B_UPDATE = 0x10;
const B_ALARM = 0x20;
const B_PERIODIC = 0x40;
const B_SET = 0x80;
/** How long register A announces an update: 244 us ahead and the cycle of 1984 us (32.768 kHz time base). */
const UPDATE_NS = 2_228_000;
const SECONDS_OF_A_DAY = 86400;

/** Ports 70h (index) and 71h (data). */
export class Rtc implements RegisterBlock, Stateful {
  readonly name = 'rtc';
  readonly length = 2;
  readonly stateName = 'rtc';
  readonly stateVersion = 2;
  readonly #wall: WallClock;
  readonly #clock: MonotonicClock;
  readonly #line: LevelLine;
  readonly #second: Timer;
  readonly #periodic: Timer;
  readonly #ram = new Uint8Array(128);
  #index = 0;
  /** Added to the wall clock, in ms: what the guest set the clock to. */
  #offset = 0;
  /** When register C was last read: by this clock in ms, and by the machine's in ns. */
  #seen = { time: 0, now: 0 };

  constructor(options: { wall: WallClock; clock: MonotonicClock; timers: Timers; line: LevelLine }) {
    this.#wall = options.wall;
    this.#clock = options.clock;
    this.#line = options.line;
    this.#second = options.timers.create('rtc-second', () => this.#secondPassed());
    this.#periodic = options.timers.create('rtc-periodic', () => this.#periodicDue());
    this.#ram[A] = 0x26;
    this.#ram[B] = B_24H;
    this.#look();
  }

  /** Sets a byte of CMOS RAM, as firmware's set-up would have: memory size, boot order. */
  setByte(index: number, value: number): void {
    this.#ram[index] = value;
  }
  reset(): void {
    // The clock is on a battery: only interrupts are switched off.
    this.#ram[B]! &= ~(B_UPDATE | B_ALARM | B_PERIODIC);
    this.#ram[C] = 0;
    this.#index = 0;
    this.#line.set(false);
    this.#schedule();
  }

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= (offset + i === 1 ? this.#readRegister(this.#index) : 0xff) << (8 * i);
    return value >>> 0;
  }
  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      const byte = (value >>> (8 * i)) & 0xff;
      if (offset + i === 0) this.#index = byte & 0x7f;
      else if (offset + i === 1) this.#writeRegister(this.#index, byte);
    }
  }

  #time(): Date {
    return new Date(this.#wall.now() + this.#offset);
  }
  #code(value: number): number {
    return (this.#ram[B]! & B_BINARY) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }
  #decode(value: number): number {
    return (this.#ram[B]! & B_BINARY) !== 0 ? value : (value >> 4) * 10 + (value & 15);
  }
  #codeHour(hour: number): number {
    if ((this.#ram[B]! & B_24H) !== 0) return this.#code(hour);
    return this.#code(hour % 12 === 0 ? 12 : hour % 12) | (hour >= 12 ? 0x80 : 0);
  }
  #decodeHour(value: number): number {
    if ((this.#ram[B]! & B_24H) !== 0) return this.#decode(value);
    return (this.#decode(value & 0x7f) % 12) + ((value & 0x80) !== 0 ? 12 : 0);
  }
  #readRegister(index: number): number {
    const set = (this.#ram[B]! & B_SET) !== 0;
    const t = this.#time();
    switch (index) {
      case SECONDS: return set ? this.#ram[index]! : this.#code(t.getUTCSeconds());
      case MINUTES: return set ? this.#ram[index]! : this.#code(t.getUTCMinutes());
      case HOURS: return set ? this.#ram[index]! : this.#codeHour(t.getUTCHours());
      case WEEKDAY: return set ? this.#ram[index]! : this.#code(t.getUTCDay() + 1);
      case DAY: return set ? this.#ram[index]! : this.#code(t.getUTCDate());
      case MONTH: return set ? this.#ram[index]! : this.#code(t.getUTCMonth() + 1);
      case YEAR: return set ? this.#ram[index]! : this.#code(t.getUTCFullYear() % 100);
      case CENTURY: return set ? this.#ram[index]! : this.#code(Math.floor(t.getUTCFullYear() / 100));
      case A: {
        // The update cycle is the last stretch of every second.
        const updating = !set && (1000 - t.getUTCMilliseconds()) * 1e6 <= UPDATE_NS;
        return (this.#ram[A]! & 0x7f) | (updating ? 0x80 : 0);
      }
      case C: {
        this.#catchUp();
        const flags = this.#ram[C]!;
        this.#ram[C] = 0;
        this.#line.set(false);
        return flags;
      }
      case D: return 0x80; // battery good
      default: return this.#ram[index]!;
    }
  }
  #writeRegister(index: number, value: number): void {
    if (index === C || index === D) return;
    if (index === A) {
      if (((value ^ this.#ram[A]!) & 15) !== 0) this.#periodic.disarm();
      this.#ram[A] = value & 0x7f;
      this.#schedule();
      return;
    }
    if (index === B) {
      const starting = (value & B_SET) !== 0 && (this.#ram[B]! & B_SET) === 0;
      const ending = (value & B_SET) === 0 && (this.#ram[B]! & B_SET) !== 0;
      if (starting) for (const i of [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY]) this.#ram[i] = this.#readRegister(i);
      this.#ram[B] = starting ? value & ~B_UPDATE : value; // SET clears UIE
      if (ending) this.#setTime();
      this.#raise(0);
      this.#schedule();
      return;
    }
    const clockRegister = index === CENTURY || index <= YEAR && index !== 1 && index !== 3 && index !== 5;
    if (clockRegister && (this.#ram[B]! & B_SET) === 0) {
      for (const i of [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY]) this.#ram[i] = this.#readRegister(i);
      this.#ram[index] = value;
      this.#setTime();
      return;
    }
    this.#ram[index] = value;
  }
  #setTime(): void {
    const r = (i: number): number => this.#decode(this.#ram[i]!);
    const time = Date.UTC(r(CENTURY) * 100 + r(YEAR), r(MONTH) - 1, r(DAY), this.#decodeHour(this.#ram[HOURS]!), r(MINUTES), r(SECONDS));
    if (!Number.isFinite(time)) return;
    this.#offset = time - this.#wall.now();
    this.#look();
    // Seconds begin elsewhere now.
    this.#second.disarm();
    this.#schedule();
  }

  #look(): void {
    this.#seen = { time: this.#wall.now() + this.#offset, now: this.#clock.now() };
  }

  /** Flags come whether their interrupts are enabled or not. For those that are not no timer runs: who looks finds what has come. */
  #catchUp(): void {
    const { time, now } = this.#seen;
    this.#look();
    const b = this.#ram[B]!;
    const last = Math.floor(this.#seen.time / 1000);
    const seconds = Math.min(last - Math.floor(time / 1000), SECONDS_OF_A_DAY);
    let flags = 0;
    if ((b & B_SET) === 0 && seconds > 0) {
      flags |= B_UPDATE;
      for (let i = 0; i < seconds && (flags & B_ALARM) === 0; i++) if (this.#isAlarm(new Date((last - i) * 1000))) flags |= B_ALARM;
    }
    if ((this.#ram[A]! & 15) !== 0 && Math.floor(this.#seen.now / this.#period()) > Math.floor(now / this.#period())) flags |= B_PERIODIC;
    this.#ram[C]! |= flags & ~b;
  }

  /** Timers for what is enabled; none runs otherwise. */
  #schedule(): void {
    const b = this.#ram[B]!;
    if ((b & (B_UPDATE | B_ALARM)) !== 0 && (b & B_SET) === 0) {
      if (this.#second.deadline === undefined) this.#second.arm(this.#clock.now() + (1000 - this.#time().getUTCMilliseconds()) * 1e6);
    } else this.#second.disarm();
    const rate = this.#ram[A]! & 15;
    if ((b & B_PERIODIC) !== 0 && rate !== 0) {
      if (this.#periodic.deadline === undefined) {
        // The divider runs on: periods keep their phase however late the last one was seen.
        const period = this.#period();
        this.#periodic.arm((Math.floor(this.#clock.now() / period + 1e-6) + 1) * period);
      }
    } else this.#periodic.disarm();
  }
  #period(): number {
    const rate = this.#ram[A]! & 15;
    return (1e9 / 32768) * 2 ** ((rate < 3 ? rate + 7 : rate) - 1);
  }
  #secondPassed(): void {
    this.#raise(B_UPDATE | (this.#isAlarm(this.#time()) ? B_ALARM : 0));
    this.#schedule();
  }
  #isAlarm(t: Date): boolean {
    const matches = (register: number, value: number): boolean => this.#ram[register]! >= 0xc0 || this.#ram[register] === value;
    return matches(1, this.#code(t.getUTCSeconds())) && matches(3, this.#code(t.getUTCMinutes())) && matches(5, this.#codeHour(t.getUTCHours()));
  }
  #periodicDue(): void {
    this.#raise(B_PERIODIC);
    this.#schedule();
  }
  #raise(flags: number): void {
    this.#ram[C]! |= flags;
    const active = (this.#ram[C]! & this.#ram[B]! & (B_UPDATE | B_ALARM | B_PERIODIC)) !== 0;
    this.#ram[C] = (this.#ram[C]! & 0x7f) | (active ? 0x80 : 0);
    this.#line.set(active);
  }

  save(): Plain {
    return { ram: this.#ram.slice(), index: this.#index, offset: this.#offset, seen: { ...this.#seen }, second: this.#second.deadline ?? null, periodic: this.#periodic.deadline ?? null };
  }
  load(state: Plain, version: number): void {
    if (version !== 1 && version !== 2) throw new StateError(`rtc: state version ${version} is unknown, expected 1 or 2`);
    const s = state as { [key: string]: Plain };
    const ram = s?.['ram'];
    if (!(ram instanceof Uint8Array) || ram.length !== 128) throw new StateError('rtc: field ram must be 128 bytes');
    const { index, offset } = s;
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index > 127) throw new StateError('rtc: field index must be 0..127');
    if (typeof offset !== 'number' || !Number.isFinite(offset)) throw new StateError('rtc: field offset must be a number');
    const seen = version === 1 ? undefined : checkSeen(s['seen']);
    for (const key of ['second', 'periodic']) {
      const value = s[key];
      if (value !== null && (typeof value !== 'number' || !(value >= 0))) throw new StateError(`rtc: field ${key} is damaged`);
    }
    this.#ram.set(ram);
    this.#index = index;
    this.#offset = offset;
    if (seen === undefined) this.#look();
    else this.#seen = seen;
    this.#second.disarm();
    this.#periodic.disarm();
    if (s['second'] !== null) this.#second.arm(s['second'] as number);
    if (s['periodic'] !== null) this.#periodic.arm(s['periodic'] as number);
    this.#line.set((this.#ram[C]! & 0x80) !== 0);
  }
}

function checkSeen(state: Plain | undefined): { time: number; now: number } {
  const { time, now } = (state ?? {}) as { readonly time?: Plain; readonly now?: Plain };
  if (typeof time !== 'number' || !Number.isFinite(time) || typeof now !== 'number' || !Number.isFinite(now)) throw new StateError('rtc: field seen is damaged');
  return { time, now };
}
