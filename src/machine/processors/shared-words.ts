import { MACHINE_THREADS, MACHINE_WORDS, VCPU_APIC, VCPU_BASE, VCPU_CHANNEL, VCPU_DIRECT, VCPU_RUNS, VCPU_SHADOW_POSTED, VCPU_STRIDE } from '../../memory/layout.ts';
import { apicStore } from '../../interrupts/apic-store.ts';
import type { ApicStore } from '../../interrupts/apic-store.ts';
import { THREAD_ENGINES } from './thread-engine.ts';
import type { ThreadEngine } from './thread-engine.ts';

// Words in the linear memory that the machine's thread and those of its vCPUs have in common. All are read and written
// with Atomics, but for what belongs to whoever the status of a vCPU says.

// What a vCPU's thread does. Of the block the vCPU's thread is the owner but while it stands: then the machine's is, until that makes the status RUNNING.
/** It stands, also before the first run. */
export const STOPPED = 0;
export const RUNNING = 1;
/** It waits for the machine's thread to serve a request. */
export const REQUESTING = 2;
/** The processor sleeps after HLT, or has not been started. */
export const HALTED = 3;
/** It stands behind a triple fault. */
export const SHUT_DOWN = 4;
/** An error of ours: its text is where `failure` finds it. */
export const FAILED = 5;
/** It stands, for its engine cannot go on; another one may: the same. */
export const GAVE_UP = 6;

/** What it is to do. */
export const COMMAND_STOP = 0;
export const COMMAND_RUN = 1;
export const COMMAND_END = 2;
/** As COMMAND_STOP; the machine's engine has changed meanwhile. */
export const COMMAND_CHANGE = 3;

// What it asks of the machine's thread.
export const READ_PORT = 0;
export const WRITE_PORT = 1;
export const READ_MMIO = 2;
export const WRITE_MMIO = 3;
/** Acknowledges the interrupt of the 8259 pair. */
export const ACKNOWLEDGE_PIC = 4;
/** End of a level-triggered interrupt. */
export const END_OF_INTERRUPT = 5;
export const NUMERIC_ERROR = 6;

// What others tell it, besides interrupts: bits of `events`.
export const EVENT_INIT = 2;
export const EVENT_START_UP = 4;
/** Physical addresses mean something else. */
export const EVENT_MAP = 8;
/** Its block has been changed. */
export const EVENT_REFRESH = 16;
/** It goes on behind its HLT, or does not stop at the next one. */
export const EVENT_WAKE = 32;
/** A machine that was not stored is about to execute its first instruction. */
export const EVENT_BEGIN = 64;
/** Guest time has gone forward at once. */
export const EVENT_HELD_BACK = 128;

/** Offsets of words (u32) in a vCPU's channel. The first is VCPU_ATTENTION. */
const STATUS = 4;
const COMMAND = 8;
const WAKE = 12;
const OPERATION = 16;
const SIZE = 20;
const VALUE = 24;
const EVENTS = 28;
const START_UP = 32;
const NMIS = 36;
/** f64: of a device's register; time at work. */
const ADDRESS = 40;
/** Interrupt requests: one bit a vector; and whether they are level-triggered. */
const REQUESTS = 64;
const LEVELS = 96;
/** Behind VCPU_RUNS: the host's number of its thread while that is in KVM_RUN or about to be, else 0. */
const KVM_THREAD = 132;
/** Calls of the paravirtual interface: that wake, that send interrupts, and how many writes to the local APIC these have saved. */
const KICKS = 136;
const SENDING_CALLS = 140;
const SAVED_WRITES = 144;
/** VCPU_DIRECT and VCPU_SHADOW_POSTED are the next; then regions of its translator, and those of them that had been made for others. */
const REGIONS = 156;
const SHARED_REGIONS = 160;
const FAILURE = 0x200;
const FAILURE_BYTES = 0x200;

/** Offsets in the machine's words. */
const DOORBELL = 8;
const ASLEEP = 12;
const PIC = 16;
const A20 = 20;
/** Behind MACHINE_SPLIT_LOCK. */
const ENGINE = 28;
/** f64: what to add to the host's time for the guest's; rate of the time stamp counter; time of day at the guest's zero. */
const CLOCK = 64;
/** i64: CounterLead. */
const LEAD = 88;
const LEAD_UNKNOWN = -(1n << 63n);

/** Words of the machine. */
export class MachineWords {
  readonly words: Int32Array;
  /** Where processors are on KVM: ends KVM_RUN of a thread. */
  readonly interrupt: (thread: number) => void;
  readonly #clock: Float64Array;
  readonly #lead: BigInt64Array;

  constructor(memory: WebAssembly.Memory, interrupt: (thread: number) => void = () => {}) {
    this.interrupt = interrupt;
    this.words = new Int32Array(memory.buffer);
    this.#clock = new Float64Array(memory.buffer, MACHINE_WORDS + CLOCK, 3);
    this.#lead = new BigInt64Array(memory.buffer, MACHINE_WORDS + LEAD, 1);
  }

  set threads(count: number) {
    Atomics.store(this.words, MACHINE_THREADS >> 2, count);
  }

  /** Counts what vCPUs have to tell the machine's thread. */
  get doorbell(): number {
    return Atomics.load(this.words, (MACHINE_WORDS + DOORBELL) >> 2);
  }
  /** Tells it; true when it sleeps in its event loop, and has to be told otherwise. */
  ring(): boolean {
    const at = (MACHINE_WORDS + DOORBELL) >> 2;
    Atomics.add(this.words, at, 1);
    Atomics.notify(this.words, at);
    return Atomics.exchange(this.words, (MACHINE_WORDS + ASLEEP) >> 2, 0) !== 0;
  }
  /** Waits until the doorbell is no longer `seen`, or `ms` have passed; looks at it `looks` times before the thread sleeps. */
  await(seen: number, ms: number, looks: number): void {
    for (let i = 0; i < looks && this.doorbell === seen; i++);
    Atomics.wait(this.words, (MACHINE_WORDS + DOORBELL) >> 2, seen, ms);
  }
  set asleep(asleep: boolean) {
    Atomics.store(this.words, (MACHINE_WORDS + ASLEEP) >> 2, asleep ? 1 : 0);
  }

  /** Whether the 8259 pair asks for an interrupt. */
  get picPending(): boolean {
    return Atomics.load(this.words, (MACHINE_WORDS + PIC) >> 2) !== 0;
  }
  set picPending(pending: boolean) {
    Atomics.store(this.words, (MACHINE_WORDS + PIC) >> 2, pending ? 1 : 0);
  }
  /** Whether address line 20 is open. */
  get a20(): boolean {
    return Atomics.load(this.words, (MACHINE_WORDS + A20) >> 2) !== 0;
  }
  set a20(open: boolean) {
    Atomics.store(this.words, (MACHINE_WORDS + A20) >> 2, open ? 1 : 0);
  }

  /** The engine that all processors are on, of THREAD_ENGINES. Changes while all stand. */
  get engine(): ThreadEngine {
    return THREAD_ENGINES[Atomics.load(this.words, (MACHINE_WORDS + ENGINE) >> 2)]!;
  }
  set engine(engine: ThreadEngine) {
    Atomics.store(this.words, (MACHINE_WORDS + ENGINE) >> 2, THREAD_ENGINES.indexOf(engine));
  }

  // As CounterLead of engines/kvm wants it.
  get ticks(): bigint | undefined {
    const ticks = Atomics.load(this.#lead, 0);
    return ticks === LEAD_UNKNOWN ? undefined : ticks;
  }
  set ticks(ticks: bigint | undefined) {
    if (ticks === undefined) Atomics.store(this.#lead, 0, LEAD_UNKNOWN);
    else Atomics.compareExchange(this.#lead, 0, LEAD_UNKNOWN, ticks);
  }

  /** Guest time less host time, in ns. Changes while all vCPUs stand. */
  get clockOffset(): number {
    return this.#clock[0]!;
  }
  set clockOffset(ns: number) {
    this.#clock[0] = ns;
  }
  get tscKhz(): number {
    return this.#clock[1]!;
  }
  set tscKhz(khz: number) {
    this.#clock[1] = khz;
  }
  /** The time of day when the guest's clock was zero, in microseconds since 1970, as it was when the vCPUs went on last. */
  get bootTime(): number {
    return this.#clock[2]!;
  }
  set bootTime(us: number) {
    this.#clock[2] = us;
  }
}

/** Words of one vCPU. */
export class VcpuWords {
  readonly index: number;
  readonly apic: ApicStore;
  readonly #words: Int32Array;
  readonly #address: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #at: number;

  constructor(memory: WebAssembly.Memory, index: number) {
    const block = VCPU_BASE + index * VCPU_STRIDE;
    this.index = index;
    this.#at = block + VCPU_CHANNEL;
    this.#words = new Int32Array(memory.buffer);
    this.#address = new Float64Array(memory.buffer, this.#at + ADDRESS, 2);
    this.#bytes = new Uint8Array(memory.buffer, this.#at + FAILURE, FAILURE_BYTES);
    this.apic = apicStore(memory.buffer, block + VCPU_APIC);
  }

  get status(): number {
    return this.#load(STATUS);
  }
  /** Who waits for a change of it is woken. */
  set status(status: number) {
    this.#store(STATUS, status);
    Atomics.notify(this.#words, (this.#at + STATUS) >> 2);
  }
  /** Its thread waits until the machine's has made it run, or has ended it. */
  awaitHandOver(): void {
    for (let { status } = this; status !== RUNNING && this.command !== COMMAND_END; { status } = this) Atomics.wait(this.#words, (this.#at + STATUS) >> 2, status);
  }
  get command(): number {
    return this.#load(COMMAND);
  }
  set command(command: number) {
    this.#store(COMMAND, command);
  }

  // A request: written by the vCPU's thread before its status says so, answered by the machine's.
  get operation(): number {
    return this.#load(OPERATION);
  }
  get size(): number {
    return this.#load(SIZE);
  }
  get address(): number {
    return this.#address[0]!;
  }
  get value(): number {
    return this.#load(VALUE) >>> 0;
  }
  request(operation: number, size: number, address: number, value: number): void {
    this.#store(OPERATION, operation);
    this.#store(SIZE, size);
    this.#address[0] = address;
    this.#store(VALUE, value);
    this.#store(STATUS, REQUESTING);
  }
  answer(value: number): void {
    this.#store(VALUE, value);
    this.status = RUNNING;
  }
  /** Looks for the answer `turns` times, then sleeps until it is there. */
  awaitAnswer(turns: number): number {
    for (let i = 0; i < turns && this.status === REQUESTING; i++);
    while (this.status === REQUESTING) Atomics.wait(this.#words, (this.#at + STATUS) >> 2, REQUESTING);
    return this.value;
  }

  /** Time in which it executed the guest, in ns; its own thread counts. */
  get busyNs(): number {
    return this.#address[1]!;
  }
  set busyNs(ns: number) {
    this.#address[1] = ns;
  }

  // Its own thread counts; see HypercallCounts.
  countKick(): void {
    Atomics.add(this.#words, (this.#at + KICKS) >> 2, 1);
  }
  countInterrupts(sent: number): void {
    Atomics.add(this.#words, (this.#at + SENDING_CALLS) >> 2, 1);
    Atomics.add(this.#words, (this.#at + SAVED_WRITES) >> 2, Math.max(0, sent - 1));
  }
  get paravirtCounts(): Readonly<Record<string, number>> {
    return { paravirtKick: this.#load(KICKS) >>> 0, paravirtInterrupts: this.#load(SENDING_CALLS) >>> 0, paravirtSaved: this.#load(SAVED_WRITES) >>> 0 };
  }

  /** Its own thread says so now and then. */
  tellRegions({ made, shared }: { readonly made: number; readonly shared: number }): void {
    this.#store(REGIONS, made);
    this.#store(SHARED_REGIONS, shared);
  }
  get regionCounts(): Readonly<Record<string, number>> {
    return { regionsMade: this.#load(REGIONS) >>> 0, regionsShared: this.#load(SHARED_REGIONS) >>> 0 };
  }

  /** Whoever takes it is to interrupt the thread; 0: nobody need. */
  takeKvmThread(): number {
    return Atomics.exchange(this.#words, (this.#at + KVM_THREAD) >> 2, 0);
  }
  set kvmThread(thread: number) {
    this.#store(KVM_THREAD, thread);
  }

  /** It begins to execute, or ends it: stores of before have reached memory. */
  turn(): void {
    Atomics.add(this.#words, (this.#at + VCPU_RUNS - VCPU_CHANNEL) >> 2, 1);
  }
  /** The same of user code that runs directly. */
  turnDirect(): void {
    Atomics.add(this.#words, (this.#at + VCPU_DIRECT - VCPU_CHANNEL) >> 2, 1);
  }
  /** How often user code was entered to run directly, since the machine was made. */
  get directEntries(): number {
    return this.#load(VCPU_DIRECT - VCPU_CHANNEL) >>> 1;
  }
  /** Other vCPUs have posted something for its shadow tables. */
  get shadowPosted(): boolean {
    return Atomics.load(this.#words, (this.#at + VCPU_SHADOW_POSTED - VCPU_CHANNEL) >> 2) !== 0;
  }

  // What others have for it: first what it is, then that there is something.
  get attention(): boolean {
    return this.#load(0) !== 0;
  }
  attend(): void {
    this.#store(0, 0);
  }
  /** Makes it look; it may sleep. */
  alert(): void {
    this.#store(0, 1);
    this.wake();
  }
  get wakes(): number {
    return this.#load(WAKE);
  }
  wake(): void {
    Atomics.add(this.#words, (this.#at + WAKE) >> 2, 1);
    Atomics.notify(this.#words, (this.#at + WAKE) >> 2);
  }
  sleep(seen: number, ms: number): void {
    Atomics.wait(this.#words, (this.#at + WAKE) >> 2, seen, ms);
  }
  postEvents(events: number): void {
    Atomics.or(this.#words, (this.#at + EVENTS) >> 2, events);
  }
  takeEvents(): number {
    return Atomics.exchange(this.#words, (this.#at + EVENTS) >> 2, 0);
  }
  postNmi(): void {
    Atomics.add(this.#words, (this.#at + NMIS) >> 2, 1);
  }
  takeNmis(): number {
    return Atomics.exchange(this.#words, (this.#at + NMIS) >> 2, 0);
  }
  set startUpVector(vector: number) {
    this.#store(START_UP, vector);
  }
  get startUpVector(): number {
    return this.#load(START_UP);
  }
  postInterrupt(vector: number, level: boolean): void {
    const at = (this.#at + 4 * (vector >> 5)) >> 2;
    const bit = 1 << (vector & 31);
    if (level) Atomics.or(this.#words, at + (LEVELS >> 2), bit);
    Atomics.or(this.#words, at + (REQUESTS >> 2), bit);
  }
  /** Calls for every interrupt request that has come. */
  takeInterrupts(accept: (vector: number, level: boolean) => void): void {
    for (let word = 0; word < 8; word++) {
      const at = (this.#at >> 2) + word;
      if (Atomics.load(this.#words, at + (REQUESTS >> 2)) === 0) continue;
      const requests = Atomics.exchange(this.#words, at + (REQUESTS >> 2), 0);
      const levels = Atomics.and(this.#words, at + (LEVELS >> 2), ~requests);
      for (let bits = requests; bits !== 0; bits &= bits - 1) {
        const bit = bits & -bits;
        accept(32 * word + 31 - Math.clz32(bit), (levels & bit) !== 0);
      }
    }
  }

  get failure(): string {
    // TextDecoder does not take shared memory.
    return String.fromCharCode(...this.#bytes.slice(0, this.#bytes.indexOf(0)));
  }
  set failure(text: string) {
    this.#bytes.fill(0);
    for (let i = 0; i < Math.min(text.length, FAILURE_BYTES - 1); i++) this.#bytes[i] = text.charCodeAt(i) & 0x7f || 0x3f;
  }

  #load(offset: number): number {
    return Atomics.load(this.#words, (this.#at + offset) >> 2);
  }
  #store(offset: number, value: number): void {
    Atomics.store(this.#words, (this.#at + offset) >> 2, value);
  }
}
