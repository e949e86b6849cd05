import type { AccessSize } from '../base/addresses.ts';
import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { MonotonicClock } from '../host/clock.ts';
import type { Timer, Timers } from '../host/timers.ts';
import type { EdgeLine, LevelLine, MsiSink } from '../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';

// IA-PC HPET specification 1.0a. The main counter is a function of the clock: nothing runs while nobody looks.

const TICK_NS = 10;
const TIMERS = 3;
const FEMTOSECONDS = BigInt(TICK_NS) * 1_000_000n;
const VENDOR = 0x8086n;
/** Period, vendor, legacy replacement, 64 bits, number of timers less one, revision (2.3.4). */
export const HPET_CAPABILITIES = (FEMTOSECONDS << 32n) | (VENDOR << 16n) | 0xa000n | (BigInt(TIMERS - 1) << 8n) | 1n;

const ENABLE = 1n;
const LEGACY = 2n;

const LEVEL = 1n << 1n;
const INTERRUPT = 1n << 2n;
const PERIODIC = 1n << 3n;
const SET_VALUE = 1n << 6n;
const SHORT = 1n << 8n;
const ROUTE_SHIFT = 9n;
const MESSAGE = 1n << 14n;
const WRITABLE = LEVEL | INTERRUPT | PERIODIC | SHORT | (31n << ROUTE_SHIFT) | MESSAGE;
/** I/O APIC inputs that nothing else uses: 20 to 23; periodic, 64 bits, messages (2.3.8). */
const FIRST_ROUTE = 20;
const LAST_ROUTE = 23;
const TIMER_CAPABILITIES = (0x00f00000n << 32n) | (1n << 15n) | (1n << 5n) | (1n << 4n);

const ALL = 0xffffffffffffffffn;
const LOW = 0xffffffffn;
/** What is further away than this is never reached: three months. */
const FAR = 1n << 50n;

interface Comparator {
  config: bigint;
  value: bigint;
  period: bigint;
  message: bigint;
}

export interface HpetOptions {
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** In place of the interval timer's and the clock's interrupts, while legacy replacement is on. */
  readonly legacy: readonly [EdgeLine, EdgeLine];
  /** Legacy replacement is on, or off: the interval timer and the clock interrupt no more, or again. */
  readonly replaces: (on: boolean) => void;
  /** I/O APIC input 20 and up. */
  readonly inputs: (input: number) => { readonly level: LevelLine; readonly edge: EdgeLine };
  readonly messages: MsiSink;
}

/** 1 KiB of registers. Accesses of less than a doubleword read only. */
export class Hpet implements RegisterBlock, Stateful {
  readonly name = 'hpet';
  readonly length = 1024;
  readonly stateName = 'hpet';
  readonly stateVersion = 1;
  readonly #options: HpetOptions;
  readonly #inputs: readonly { readonly level: LevelLine; readonly edge: EdgeLine }[];
  readonly #timers: readonly Timer[];
  readonly #comparators: Comparator[] = Array.from({ length: TIMERS }, () => ({ config: 0n, value: ALL, period: 0n, message: 0n }));
  #config = 0n;
  #status = 0n;
  /** The main counter while it stands; while it runs, what is added to the clock's ticks. */
  #base = 0n;

  constructor(options: HpetOptions) {
    this.#options = options;
    this.#inputs = Array.from({ length: LAST_ROUTE - FIRST_ROUTE + 1 }, (_, i) => options.inputs(FIRST_ROUTE + i));
    this.#timers = this.#comparators.map((_, i) => options.timers.create(`hpet-${i}`, () => this.#due(i)));
  }

  reset(): void {
    this.#config = this.#status = this.#base = 0n;
    for (const comparator of this.#comparators) Object.assign(comparator, { config: 0n, value: ALL, period: 0n, message: 0n });
    this.#settle();
  }

  #ticks(): bigint {
    return BigInt(Math.floor(this.#options.clock.now() / TICK_NS));
  }
  #counter(): bigint {
    return (this.#config & ENABLE) === 0n ? this.#base : (this.#base + this.#ticks()) & ALL;
  }

  read(offset: number, size: AccessSize): number {
    const value = this.#register(offset & ~7) >> BigInt(8 * (offset & 7));
    return Number(value & (LOW >> BigInt(32 - 8 * size)));
  }

  #register(offset: number): bigint {
    switch (offset) {
      case 0x00: return HPET_CAPABILITIES;
      case 0x10: return this.#config;
      case 0x20: return this.#status;
      case 0xf0: return this.#counter();
    }
    const comparator = this.#comparators[(offset - 0x100) >> 5];
    if (offset < 0x100 || comparator === undefined) return 0n;
    return [comparator.config | TIMER_CAPABILITIES, comparator.value, comparator.message, 0n][(offset >> 3) & 3]!;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4 || offset % 4 !== 0) return;
    const shift = BigInt(8 * (offset & 4));
    const merge = (old: bigint): bigint => (old & ~(LOW << shift)) | (BigInt(value) << shift);
    const at = offset & ~7;
    if (at === 0x10) this.#configure(merge(this.#config));
    else if (at === 0x20) this.#clear(BigInt(value) << shift);
    else if (at === 0xf0) {
      // Writing while it runs is undefined (2.3.7): it has no effect.
      if ((this.#config & ENABLE) === 0n) this.#base = merge(this.#base);
    } else if (at >= 0x100) this.#writeTimer((at - 0x100) >> 5, (at >> 3) & 3, merge);
  }

  #configure(value: bigint): void {
    const next = value & (ENABLE | LEGACY);
    const changes = next ^ this.#config;
    if ((changes & ENABLE) !== 0n) {
      this.#base = (next & ENABLE) !== 0n ? (this.#base - this.#ticks()) & ALL : this.#counter();
    }
    this.#config = next;
    this.#settle();
  }

  #clear(bits: bigint): void {
    this.#status &= ~bits;
    this.#drive();
  }

  #writeTimer(index: number, register: number, merge: (old: bigint) => bigint): void {
    const timer = this.#comparators[index];
    if (timer === undefined) return;
    if (register === 0) {
      timer.config = merge(timer.config) & (WRITABLE | SET_VALUE);
      if ((timer.config & SHORT) !== 0n) timer.value &= LOW;
      if ((timer.config & LEVEL) === 0n) this.#status &= ~(1n << BigInt(index));
    } else if (register === 1) {
      const periodic = (timer.config & PERIODIC) !== 0n;
      const mask = (timer.config & SHORT) !== 0n ? LOW : ALL;
      if (!periodic || (timer.config & SET_VALUE) !== 0n) timer.value = merge(timer.value) & mask;
      if (periodic) timer.period = merge(timer.period) & mask;
      timer.config &= ~SET_VALUE;
    } else if (register === 2) timer.message = merge(timer.message);
    this.#settle();
  }

  /** Timers and lines as the registers say. */
  #settle(): void {
    this.#options.replaces((this.#config & LEGACY) !== 0n);
    for (let i = 0; i < TIMERS; i++) this.#arm(i, false);
    this.#drive();
  }

  /** `passed`: it has just matched, so the same value is a whole turn away. */
  #arm(index: number, passed: boolean): void {
    const { config, value } = this.#comparators[index]!;
    const turn = (config & SHORT) !== 0n ? LOW + 1n : ALL + 1n;
    const distance = (((value - this.#counter()) % turn) + turn) % turn;
    const left = distance === 0n && passed ? turn : distance;
    if ((this.#config & ENABLE) === 0n || (config & (INTERRUPT | LEVEL)) === 0n || left > FAR) this.#timers[index]!.disarm();
    else this.#timers[index]!.arm(Number(this.#ticks() + left) * TICK_NS);
  }

  #due(index: number): void {
    const timer = this.#comparators[index]!;
    if ((timer.config & PERIODIC) !== 0n && timer.period !== 0n) {
      const turn = (timer.config & SHORT) !== 0n ? LOW + 1n : ALL + 1n;
      const late = (((this.#counter() - timer.value) % turn) + turn) % turn;
      timer.value = (timer.value + (late / timer.period + 1n) * timer.period) % turn;
    }
    this.#arm(index, true);
    if ((timer.config & LEVEL) !== 0n) {
      this.#status |= 1n << BigInt(index);
      this.#drive();
    } else if ((timer.config & INTERRUPT) !== 0n) this.#pulse(index, timer);
  }

  #pulse(index: number, { config, message }: Comparator): void {
    if ((config & MESSAGE) !== 0n) this.#options.messages.send(Number(message >> 32n), Number(message & LOW));
    else if ((this.#config & LEGACY) !== 0n && index < 2) this.#options.legacy[index]!.pulse();
    else this.#inputs[this.#route(config)]?.edge.pulse();
  }
  #route(config: bigint): number {
    return Number((config >> ROUTE_SHIFT) & 31n) - FIRST_ROUTE;
  }

  /** Inputs are high for as long as a level-triggered timer that is routed there has its status set. */
  #drive(): void {
    const high = new Set<number>();
    this.#comparators.forEach(({ config }, i) => {
      if ((this.#status & (1n << BigInt(i))) !== 0n && (config & (LEVEL | INTERRUPT | MESSAGE)) === (LEVEL | INTERRUPT)) high.add(this.#route(config));
    });
    this.#inputs.forEach(({ level }, i) => level.set(high.has(i)));
  }

  save(): Plain {
    return { config: this.#config, status: this.#status, base: this.#base, timers: this.#comparators.map((comparator) => ({ ...comparator })) };
  }

  load(state: Plain, version: number): void {
    if (version !== this.stateVersion) throw new StateError(`hpet: state version ${version} is unknown, expected ${this.stateVersion}`);
    const number = (from: Plain | undefined, field: string): bigint => {
      const value = (from as { readonly [key: string]: Plain } | null | undefined)?.[field];
      if (typeof value !== 'bigint' || value < 0n || value > ALL) throw new StateError(`hpet: field ${field} must be a number of 64 bits`);
      return value;
    };
    const timers = (state as { readonly timers?: Plain } | null)?.timers;
    if (!Array.isArray(timers) || timers.length !== TIMERS) throw new StateError(`hpet: field timers must have ${TIMERS} entries`);
    const comparators = timers.map((timer: Plain) => ({
      config: number(timer, 'config') & (WRITABLE | SET_VALUE), value: number(timer, 'value'), period: number(timer, 'period'), message: number(timer, 'message'),
    }));
    const [config, status, base] = [number(state, 'config'), number(state, 'status'), number(state, 'base')];
    this.#config = config & (ENABLE | LEGACY);
    this.#status = status & ((1n << BigInt(TIMERS)) - 1n);
    this.#base = base;
    comparators.forEach((comparator, i) => Object.assign(this.#comparators[i]!, comparator));
    this.#settle();
  }
}
