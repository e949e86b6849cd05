import { StateError } from '../base/errors.ts';
import type { AccessSize } from '../base/addresses.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { MonotonicClock } from '../host/clock.ts';
import type { Timer, Timers } from '../host/timers.ts';
import type { InterruptInput, VcpuKick } from '../wiring/interrupt-input.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';
import { deliveryMode } from './apic-bus.ts';
import type { ApicBus, ApicTarget, DeliveryMode } from './apic-bus.ts';
import {
  BASE_ENABLED, BASE_X2APIC, CONTROL_BASE, CONTROL_ERRORS, CONTROL_NMI, DFR, ID, ISR, LDR, TIMES_COUNT_START, TIMES_WINDOW, TPR, apicStore, highestVector, isAddressed,
  processorPriority,
} from './apic-store.ts';
import type { ApicStore } from './apic-store.ts';

// Intel SDM 3A, chapter 11. Registers by their offset in the 4 KiB window; x2APIC MSR n is the one at (n - 800h) * 16.

const VERSION = 0x30;
const APR = 0x90;
const PPR = 0xa0;
const EOI = 0xb0;
const SVR = 0xf0;
const TMR = 0x180;
const IRR = 0x200;
const ESR = 0x280;
const ICR_LOW = 0x300;
const ICR_HIGH = 0x310;
const LVT_TIMER = 0x320;
const LVT_THERMAL = 0x330;
const LVT_PERFORMANCE = 0x340;
const LVT_LINT0 = 0x350;
const LVT_LINT1 = 0x360;
const LVT_ERROR = 0x370;
const INITIAL_COUNT = 0x380;
const CURRENT_COUNT = 0x390;
const DIVIDE = 0x3e0;
const SELF_IPI = 0x3f0;

/** Read-only as MSRs, or not there (SDM 3A, table 11-6); the ISR, TMR and IRR are too. */
const X2_READ_ONLY: ReadonlySet<number> = new Set([ID, VERSION, APR, PPR, LDR, DFR, ICR_HIGH, CURRENT_COUNT]);

const LVT_MASKED = 0x10000;
const SVR_ENABLED = 0x100;
/** Where the window is after a reset. */
export const LOCAL_APIC_WINDOW = 0xfee00000;
/** Bits of IA32_APIC_BASE that may be set: an address of 40 bits, the processor's MAXPHYADDR. */
const BASE_WRITABLE = 0xff_ffff_fd00n;
const BASE_BOOT = 0x100;
const MSR_APIC_BASE = 0x1b;
const MSR_TSC_DEADLINE = 0x6e0;
const ERROR_ILLEGAL_VECTOR = 0x40;
const ERROR_SEND_ILLEGAL = 0x20;

/** Non-maskable interrupts that wait at most. */
const NMIS_MAX = 2;

/** The timer's input: 1 GHz, so that a tick is a nanosecond. */
const BUS_NS = 1;

export interface LocalApicOptions {
  readonly id: number;
  readonly boot: boolean;
  readonly bus: ApicBus;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  readonly kick: VcpuKick;
  /** The time stamp counter before the guest's own offset, for the TSC-deadline timer; it derives from the clock. */
  readonly tsc: () => number;
  /** Its rate; missing: 1 GHz. */
  readonly tscKhz?: () => number;
  /** The 8259 pair behind LINT0. */
  readonly pic: { readonly pending: boolean; acknowledge(): number } | undefined;
  /** INIT and start-up messages for this processor. */
  readonly processor: {
    init(): void;
    startup(vector: number): void;
    /**
     * Whether it is in its NMI handler. If not it takes one at once and latches another one, though it looks only between blocks.
     * Missing: it looks at each.
     */
    blocksNmi?(): boolean;
  };
  /** The guest has given the window another physical address. */
  readonly windowMoved: (address: number) => void;
  /** Where its state lies, which stays as it is; missing: in memory of its own, as after a reset. */
  readonly store?: ApicStore;
}

export class LocalApic implements InterruptInput, ApicTarget, Stateful {
  readonly stateName: string;
  readonly stateVersion = 1;
  /** The window, at LOCAL_APIC_WINDOW until the guest moves it. */
  readonly registers: RegisterBlock;
  readonly #options: LocalApicOptions;
  readonly #timer: Timer;
  readonly #store: ApicStore;
  readonly #r: Uint32Array;
  /** Highest request that the priorities let through, or -1: what `pending` looks at. */
  #best = -1;
  /** Asks for what has become of the offer to leave out an EOI. While there is one, one interrupt is in service, and none requested. */
  #offer: (() => boolean) | undefined;

  constructor(options: LocalApicOptions) {
    this.#options = options;
    // The first one's name is that of machines with one processor.
    this.stateName = options.id === 0 ? 'local-apic' : `local-apic-${options.id}`;
    this.#store = options.store ?? apicStore();
    this.#r = this.#store.registers;
    this.#timer = options.timers.create(`local-apic-${options.id}`, () => this.#timerDue());
    this.registers = {
      name: 'local-apic',
      length: 4096,
      read: (offset, size) => this.#readWindow(offset, size),
      write: (offset, size, value) => {
        // Registers are written whole, at 16-byte boundaries (SDM 3A, 11.4.1).
        if (size === 4 && (offset & 15) === 0 && this.#enabled && !this.#x2) this.#write(offset, value);
      },
    };
    if (options.store !== undefined) return;
    this.#store.times[TIMES_WINDOW] = LOCAL_APIC_WINDOW;
    this.reset();
  }

  get #base(): number {
    return this.#store.control[CONTROL_BASE]!;
  }
  set #base(value: number) {
    this.#store.control[CONTROL_BASE] = value;
  }
  get #window(): number {
    return this.#store.times[TIMES_WINDOW]!;
  }
  get #nmi(): number {
    return this.#store.control[CONTROL_NMI]!;
  }
  set #nmi(value: number) {
    this.#store.control[CONTROL_NMI] = value;
  }
  get #pendingErrors(): number {
    return this.#store.control[CONTROL_ERRORS]!;
  }
  set #pendingErrors(value: number) {
    this.#store.control[CONTROL_ERRORS] = value;
  }
  get #countStart(): number {
    return this.#store.times[TIMES_COUNT_START]!;
  }
  set #countStart(value: number) {
    this.#store.times[TIMES_COUNT_START] = value;
  }
  get #deadlineTsc(): bigint {
    return this.#store.deadlineTsc[0]!;
  }
  set #deadlineTsc(value: bigint) {
    this.#store.deadlineTsc[0] = value;
  }

  reset(): void {
    this.#base = BASE_ENABLED | (this.#options.boot ? BASE_BOOT : 0);
    this.#moveWindow(LOCAL_APIC_WINDOW);
    this.#initialise();
    this.#r[ID >> 4] = this.#options.id << 24;
  }
  #initialise(): void {
    this.settleEoi();
    const id = this.#r[ID >> 4]!;
    this.#r.fill(0);
    this.#r[ID >> 4] = id;
    this.#r[DFR >> 4] = 0xffffffff;
    this.#r[SVR >> 4] = 0xff;
    for (const lvt of [LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR]) this.#r[lvt >> 4] = LVT_MASKED;
    this.#timer.disarm();
    this.#deadlineTsc = 0n;
    this.#nmi = 0;
    this.#pendingErrors = 0;
    this.#update();
  }

  /**
   * What firmware leaves behind (MultiProcessor Specification 1.4, 3.6.2.2, virtual wire mode): the 8259 behind LINT0,
   * NMI at LINT1. Without it a guest that knows no APIC never sees an interrupt. Legal after `reset`.
   */
  virtualWire(): void {
    this.#write(SVR, SVR_ENABLED | 0x0f);
    this.#write(LVT_LINT0, 0x700);
    this.#write(LVT_LINT1, 0x400);
  }

  get #x2(): boolean {
    return (this.#base & BASE_X2APIC) !== 0;
  }
  get #enabled(): boolean {
    return (this.#base & BASE_ENABLED) !== 0;
  }
  get #softwareEnabled(): boolean {
    return this.#enabled && (this.#r[SVR >> 4]! & SVR_ENABLED) !== 0;
  }
  /** Where the window is. */
  get window(): number {
    return this.#window;
  }
  /** The store has been changed by somebody else, or was there before. */
  resume(): void {
    this.#update();
  }
  get processorPriority(): number {
    this.settleEoi();
    return this.#ppr();
  }

  // InterruptInput.
  pending(): boolean {
    return this.#best >= 0 || (this.#options.pic?.pending === true && this.#acceptsPic());
  }
  acknowledge(): number {
    if (this.#best < 0) return this.#options.pic?.pending === true && this.#acceptsPic() ? this.#options.pic.acknowledge() : -1;
    const vector = this.#best;
    this.#clear(IRR, vector);
    this.#set(ISR, vector);
    this.#update();
    return vector;
  }
  takeNmi(): boolean {
    if (this.#nmi === 0) return false;
    this.#nmi--;
    return true;
  }
  giveBackNmi(): void {
    this.#nmi = Math.min(this.#nmi + 1, NMIS_MAX);
  }
  /** Only of an edge-triggered one which alone is in service: its end concerns no I/O APIC and lets nothing else through. */
  offerEoi(settle: () => boolean): boolean {
    this.settleEoi();
    const vector = this.#highest(ISR);
    if (vector < 0 || this.#test(TMR, vector) || this.#highest(IRR) >= 0) return false;
    this.#clear(ISR, vector);
    const alone = this.#highest(ISR) < 0;
    this.#set(ISR, vector);
    if (alone) this.#offer = settle;
    return alone;
  }
  settleEoi(): void {
    const settle = this.#offer;
    if (settle === undefined) return;
    this.#offer = undefined;
    if (settle()) this.#endOfInterrupt();
  }
  readTaskPriority(): number {
    return this.#r[TPR >> 4]! >> 4;
  }
  writeTaskPriority(value: number): void {
    this.#write(TPR, (value & 15) << 4);
  }

  readMsr(index: number): bigint | undefined {
    if (index === MSR_APIC_BASE) return BigInt(this.#window + this.#base);
    if (index === MSR_TSC_DEADLINE) return this.#deadlineTsc;
    if (!this.#x2) return undefined;
    const offset = (index - 0x800) << 4;
    if (offset === ICR_LOW) return (BigInt(this.#r[ICR_HIGH >> 4]!) << 32n) | BigInt(this.#r[ICR_LOW >> 4]!);
    if (offset === ID) return BigInt(this.#options.id);
    if (offset === LDR) return BigInt(((this.#options.id >> 4) << 16) | (1 << (this.#options.id & 15)));
    // Not in x2APIC mode, or write-only there (SDM 3A, table 11-6).
    if (offset === DFR || offset === ICR_HIGH || offset === APR || offset === EOI || !this.#exists(offset)) return undefined;
    return BigInt(this.#read(offset));
  }
  writeMsr(index: number, value: bigint): boolean {
    if (index === MSR_APIC_BASE) return this.#writeBase(value);
    if (index === MSR_TSC_DEADLINE) {
      this.#writeDeadline(value);
      return true;
    }
    if (!this.#x2) return false;
    const offset = (index - 0x800) << 4;
    if (offset === ICR_LOW) {
      this.#r[ICR_HIGH >> 4] = Number(value >> 32n);
      this.#write(ICR_LOW, Number(value & 0xffffffffn));
      return true;
    }
    if ((value >> 32n) !== 0n) return false;
    if (offset === SELF_IPI) {
      if (value > 0xffn) return false;
      this.accept('fixed', Number(value) & 0xff, false);
      return true;
    }
    if (X2_READ_ONLY.has(offset) || (offset >= ISR && offset < ESR) || !this.#exists(offset)) return false;
    if ((offset === EOI || offset === ESR) && value !== 0n) return false;
    this.#write(offset, Number(value));
    return true;
  }
  #writeBase(value: bigint): boolean {
    if ((value & ~BASE_WRITABLE) !== 0n) return false;
    const next = Number(value & 0xfffn);
    const was = this.#base & (BASE_ENABLED | BASE_X2APIC);
    const now = next & (BASE_ENABLED | BASE_X2APIC);
    // Transitions of SDM 3A, figure 11-27: x2APIC needs the APIC on, and is left only by way of off.
    if (now === BASE_X2APIC || (was === (BASE_ENABLED | BASE_X2APIC) && now === BASE_ENABLED) || (was === 0 && now === (BASE_ENABLED | BASE_X2APIC))) return false;
    this.#base = (next & ~BASE_BOOT) | (this.#options.boot ? BASE_BOOT : 0);
    this.#moveWindow(Number(value & ~0xfffn));
    if (now === 0) {
      this.#initialise();
      // As after power-on (SDM 3A, 11.4.3), unlike after INIT.
      this.#r[ID >> 4] = this.#options.id << 24;
    } else if (this.#x2) this.#r[ICR_HIGH >> 4] = 0;
    this.#update();
    return true;
  }

  #moveWindow(address: number): void {
    if (address === this.#window) return;
    this.#store.times[TIMES_WINDOW] = address;
    this.#options.windowMoved(address);
  }

  // Messages.
  matches(destination: number, logical: boolean): boolean {
    return isAddressed(this.#store, this.#options.id, destination, logical);
  }
  accept(mode: DeliveryMode, vector: number, level: boolean): void {
    switch (mode) {
      case 'fixed':
      case 'lowest':
        if (vector < 16) {
          this.#error(ERROR_ILLEGAL_VECTOR);
          return;
        }
        if (!this.#softwareEnabled) return;
        this.settleEoi();
        this.#set(IRR, vector);
        if (level) this.#set(TMR, vector);
        else this.#clear(TMR, vector);
        this.#update();
        return;
      case 'nmi':
        this.#nmi = Math.max(this.#nmi, Math.min(this.#nmi + 1, this.#options.processor.blocksNmi?.() === false ? NMIS_MAX : 1));
        this.#options.kick.kick();
        return;
      case 'init':
        this.#initialise();
        this.#options.processor.init();
        return;
      case 'startup':
        this.#options.processor.startup(vector);
        return;
      case 'smi':
      case 'extint':
        return; // no SMM; ExtINT reaches the processor through LINT0 only
    }
  }
  /** The 8259's INTR line changed. */
  picChanged(): void {
    if (this.#options.pic?.pending === true && this.#acceptsPic()) this.#options.kick.kick();
  }
  /** LINT0 as ExtINT, or the APIC off altogether. */
  #acceptsPic(): boolean {
    if (!this.#enabled) return true;
    const lint0 = this.#r[LVT_LINT0 >> 4]!;
    return (lint0 & LVT_MASKED) === 0 && ((lint0 >> 8) & 7) === 7;
  }
  /** LINT1, wired to NMI. */
  nmiLine(): void {
    const lint1 = this.#r[LVT_LINT1 >> 4]!;
    if (!this.#enabled || ((lint1 & LVT_MASKED) === 0 && ((lint1 >> 8) & 7) === 4)) this.accept('nmi', 0, false);
  }

  // Registers.
  #exists(offset: number): boolean {
    return (
      (offset >= ISR && offset < ESR) ||
      [ID, VERSION, TPR, APR, PPR, EOI, LDR, DFR, SVR, ESR, ICR_LOW, ICR_HIGH, LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, INITIAL_COUNT, CURRENT_COUNT, DIVIDE].includes(offset)
    );
  }
  #readWindow(offset: number, size: AccessSize): number {
    // Turned off, or reached by MSRs only, it is not on the bus.
    if (!this.#enabled || this.#x2) return size === 4 ? 0xffffffff : (1 << (8 * size)) - 1;
    const value = this.#read(offset & ~15);
    const shifted = (offset & 15) < 4 ? value >>> (8 * (offset & 3)) : 0;
    return size === 4 ? shifted >>> 0 : shifted & ((1 << (8 * size)) - 1);
  }
  #read(offset: number): number {
    if (offset === PPR || (offset >= ISR && offset < TMR)) this.settleEoi();
    switch (offset) {
      case VERSION: return 0x00050014; // 6 LVT entries, version 14h
      case PPR: return this.#ppr();
      case CURRENT_COUNT: return this.#currentCount();
      case EOI: return 0;
      default: return this.#r[offset >> 4]!;
    }
  }
  #write(offset: number, value: number): void {
    const r = this.#r;
    switch (offset) {
      case ID:
        r[ID >> 4] = value & 0xff000000;
        return;
      case TPR:
        r[TPR >> 4] = value & 0xff;
        this.#update();
        return;
      case EOI:
        this.#endOfInterrupt();
        return;
      case LDR:
        r[LDR >> 4] = value & 0xff000000;
        return;
      case DFR:
        r[DFR >> 4] = value | 0x0fffffff;
        return;
      case SVR:
        r[SVR >> 4] = value & 0x1ff;
        if ((value & SVR_ENABLED) === 0) {
          for (const lvt of [LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR]) r[lvt >> 4]! |= LVT_MASKED;
        }
        this.#update();
        return;
      case ESR:
        // A write latches what has happened since the last one.
        r[ESR >> 4] = this.#pendingErrors;
        this.#pendingErrors = 0;
        return;
      case ICR_LOW:
        r[ICR_LOW >> 4] = value & 0x000ccfff;
        this.#sendCommand(value);
        return;
      case ICR_HIGH:
        r[ICR_HIGH >> 4] = value & 0xff000000;
        return;
      case LVT_TIMER:
        this.#writeTimerMode(value & 0x700ff);
        return;
      case LVT_THERMAL: case LVT_PERFORMANCE:
        r[offset >> 4] = this.#lvt(value & 0x107ff);
        return;
      case LVT_LINT0: case LVT_LINT1:
        r[offset >> 4] = this.#lvt(value & 0x1a7ff);
        this.picChanged();
        return;
      case LVT_ERROR:
        r[offset >> 4] = this.#lvt(value & 0x100ff);
        return;
      case INITIAL_COUNT:
        if (this.#mode === 'deadline') return; // SDM 3A, 11.5.4.1: ignored
        r[INITIAL_COUNT >> 4] = value;
        this.#startTimer();
        return;
      case DIVIDE: {
        const left = this.#currentCount();
        r[DIVIDE >> 4] = value & 0xb;
        this.#rebase(left);
        return;
      }
    }
  }
  #lvt(value: number): number {
    return this.#softwareEnabled ? value : value | LVT_MASKED;
  }
  #sendCommand(value: number): void {
    const mode = deliveryMode(value >> 8);
    if (mode === undefined || mode === 'extint') return;
    const vector = value & 0xff;
    if ((mode === 'fixed' || mode === 'lowest') && vector < 16) {
      this.#error(ERROR_SEND_ILLEGAL);
      return;
    }
    // INIT level de-assert is for old processors only: nothing happens.
    if (mode === 'init' && (value & 0x8000) !== 0 && (value & 0x4000) === 0) return;
    const { bus } = this.#options;
    const high = this.#r[ICR_HIGH >> 4]!;
    const destination = this.#x2 ? high : high >>> 24;
    switch ((value >> 18) & 3) {
      case 0: bus.deliver({ mode, vector, level: false, logical: (value & 0x800) !== 0, destination }); return;
      case 1: this.accept(mode, vector, false); return;
      case 2: bus.deliverAll(mode, vector, false, undefined); return;
      default: bus.deliverAll(mode, vector, false, this);
    }
  }
  #endOfInterrupt(): void {
    this.settleEoi();
    const vector = this.#highest(ISR);
    if (vector < 0) return;
    this.#clear(ISR, vector);
    const level = this.#test(TMR, vector);
    this.#update();
    if (level) this.#options.bus.broadcastEoi(vector);
  }
  #error(bit: number): void {
    this.#pendingErrors |= bit;
    const lvt = this.#r[LVT_ERROR >> 4]!;
    if ((lvt & LVT_MASKED) === 0 && (lvt & 0xff) >= 16) this.accept('fixed', lvt & 0xff, false);
  }

  // The timer (SDM 3A, 11.5.4).
  get #mode(): 'one-shot' | 'periodic' | 'deadline' {
    const mode = (this.#r[LVT_TIMER >> 4]! >> 17) & 3;
    return mode === 1 ? 'periodic' : mode === 2 ? 'deadline' : 'one-shot';
  }
  get #tickNs(): number {
    const field = this.#r[DIVIDE >> 4]!;
    const shift = ((field & 3) | ((field >> 1) & 4)) + 1;
    return BUS_NS * (shift === 8 ? 1 : 2 ** shift);
  }
  #writeTimerMode(value: number): void {
    const was = this.#mode;
    // What was due before is the old mode's.
    this.#currentCount();
    this.#r[LVT_TIMER >> 4] = this.#lvt(value);
    if (was !== this.#mode && (was === 'deadline' || this.#mode === 'deadline')) {
      this.#timer.disarm();
      this.#deadlineTsc = 0n;
      this.#r[INITIAL_COUNT >> 4] = 0;
    }
  }
  #startTimer(): void {
    const count = this.#r[INITIAL_COUNT >> 4]!;
    if (count === 0) {
      this.#timer.disarm();
      return;
    }
    this.#countStart = this.#options.clock.now();
    this.#timer.arm(this.#countStart + count * this.#tickNs);
  }
  /** Goes on with `left` ticks after the divider changed. */
  #rebase(left: number): void {
    if (this.#timer.deadline === undefined || this.#mode === 'deadline') return;
    const now = this.#options.clock.now();
    this.#countStart = now - (this.#r[INITIAL_COUNT >> 4]! - left) * this.#tickNs;
    this.#timer.arm(now + left * this.#tickNs);
  }
  /** What was due by now happens here if the machine has not come to it: a guest that polls sees the counter begin anew at once. */
  #currentCount(): number {
    const now = this.#options.clock.now();
    if (this.#mode === 'deadline') return 0;
    if (this.#timer.deadline !== undefined && this.#timer.deadline <= now) {
      this.#timer.disarm();
      this.#timerDue();
    }
    const { deadline } = this.#timer;
    return deadline === undefined ? 0 : Math.max(0, Math.ceil((deadline - now) / this.#tickNs)) >>> 0;
  }
  #writeDeadline(value: bigint): void {
    if (this.#mode !== 'deadline') return;
    this.#deadlineTsc = value;
    if (value === 0n) {
      this.#timer.disarm();
      return;
    }
    const { clock, tsc, tscKhz = () => 1_000_000 } = this.#options;
    // The comparison is unsigned; a deadline beyond a double's exact range is as good as never.
    const wait = this.#deadlineTsc - BigInt(tsc());
    if (wait <= 0n) this.#timerDue();
    else this.#timer.arm(Math.min(Number.MAX_SAFE_INTEGER, clock.now() + (Number(wait) * 1e6) / tscKhz()));
  }
  #timerDue(): void {
    const lvt = this.#r[LVT_TIMER >> 4]!;
    if (this.#mode === 'deadline') this.#deadlineTsc = 0n;
    else if (this.#mode === 'periodic') {
      const period = this.#r[INITIAL_COUNT >> 4]! * this.#tickNs;
      const now = this.#options.clock.now();
      // Ticks that a slow host missed are one interrupt, but the phase is kept.
      if (period > 0) this.#timer.arm(now + period - ((now - this.#countStart) % period));
    }
    if ((lvt & LVT_MASKED) === 0) this.accept('fixed', lvt & 0xff, false);
  }

  // Vectors as bits of eight registers.
  #test(base: number, vector: number): boolean {
    return (this.#r[(base >> 4) + (vector >> 5)]! & (1 << (vector & 31))) !== 0;
  }
  #set(base: number, vector: number): void {
    this.#r[(base >> 4) + (vector >> 5)]! |= 1 << (vector & 31);
  }
  #clear(base: number, vector: number): void {
    this.#r[(base >> 4) + (vector >> 5)]! &= ~(1 << (vector & 31));
  }
  #highest(base: number): number {
    return highestVector(this.#r, base);
  }
  #ppr(): number {
    return processorPriority(this.#store);
  }
  #update(): void {
    const request = this.#highest(IRR);
    const before = this.#best;
    this.#best = request >= 0 && (request & 0xf0) > (this.#ppr() & 0xf0) && this.#softwareEnabled ? request : -1;
    if (this.#best >= 0 && this.#best !== before) this.#options.kick.kick();
  }

  save(): Plain {
    this.settleEoi();
    return {
      registers: new Uint8Array(this.#r.buffer, this.#r.byteOffset, 256).slice(), base: this.#window + this.#base, nmi: this.#nmi, errors: this.#pendingErrors,
      countStart: this.#countStart, deadlineTsc: this.#deadlineTsc, timer: this.#timer.deadline ?? null,
    };
  }
  load(state: Plain, version: number): void {
    if (version !== 1) throw new StateError(`${this.stateName}: state version ${version} is unknown, expected 1`);
    const s = state as { [key: string]: Plain };
    const refuse = (field: string): never => {
      throw new StateError(`${this.stateName}: field ${field} is damaged`);
    };
    const number = (key: string, max: number): number => {
      const value = s?.[key];
      return typeof value === 'number' && value >= 0 && value <= max ? value : refuse(key);
    };
    const registers = s?.['registers'];
    if (!(registers instanceof Uint8Array) || registers.length !== 256) refuse('registers');
    const deadlineTsc = s['deadlineTsc'];
    if (typeof deadlineTsc !== 'bigint' || deadlineTsc < 0n || deadlineTsc >> 64n !== 0n) refuse('deadlineTsc');
    const base = number('base', Number(BASE_WRITABLE));
    if (!Number.isInteger(base)) refuse('base');
    const nmi = number('nmi', NMIS_MAX);
    if (!Number.isInteger(nmi)) refuse('nmi');
    const errors = number('errors', 0xff);
    const countStart = number('countStart', Number.MAX_SAFE_INTEGER);
    const timer = s['timer'] === null ? undefined : number('timer', Number.MAX_SAFE_INTEGER);
    new Uint8Array(this.#r.buffer, this.#r.byteOffset, 256).set(registers as Uint8Array);
    this.#base = base % 4096;
    this.#moveWindow(base - this.#base);
    this.#nmi = nmi;
    this.#pendingErrors = errors;
    this.#countStart = countStart;
    this.#deadlineTsc = deadlineTsc as bigint;
    if (timer === undefined) this.#timer.disarm();
    else this.#timer.arm(timer);
    this.#update();
  }
}
