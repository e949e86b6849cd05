import { assertNever } from '../base/assert-never.ts';
import { UserError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import type { PortAccess } from '../buses/system-bus.ts';
import type { EngineSwitch, TranslationFigures, VcpuExit, VcpuRegisters } from '../cpu/vcpu.ts';
import type { Display } from '../devices/display/vga.ts';
import { loadKernel } from '../firmware/kernel-image.ts';
import type { BlockPort } from '../host/blocks.ts';
import type { ByteSink } from '../host/bytes.ts';
import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { Decompressor } from '../host/decompressor.ts';
import type { Entropy } from '../host/entropy.ts';
import type { Log } from '../host/log.ts';
import type { ReleasePages } from '../host/pages.ts';
import type { Scheduler } from '../host/scheduler.ts';
import type { Board, BoardOptions } from './board.ts';
import type { BootFiles } from './boot-source.ts';
import type { LinearMemory } from '../memory/linear-memory.ts';
import type { MachineConfiguration, MachineName } from './configuration.ts';
import type { Drive, MediumKind } from './drives.ts';
import type { EngineFactory } from './engine-factory.ts';
import type { ProcessorThreads } from './processors/threaded-vcpus.ts';
import { DiskWork } from './disk-work.ts';
import { GuestClock } from './guest-clock.ts';
import { keystrokes, scancodeAt } from './keys.ts';
import type { Nic } from './nics.ts';
import { OutputQueue } from './output-queue.ts';
import type { Share } from './shares.ts';
import type { Vsock } from './vsock.ts';
import { buildMicrovmBoard } from './microvm/board.ts';
import { buildPcBoard } from './pc/board.ts';
import { loadSection, saveSection } from './sections.ts';
import { SliceLength } from './slice-length.ts';
import { Typist } from './typist.ts';

export type { Picture, TextCells } from '../devices/display/vga-screen.ts';
export type { Display } from '../devices/display/vga.ts';

/** How long the guest runs before the host's event loop gets a turn: short while the host brings something, as disks do. */
const LONGEST_TURN_NS = 4e6;
const SHORTEST_TURN_NS = 0.25e6;
/** How often the guest is told how long it has waited for the host: it accounts that by ticks of its own, and asking the host takes 30 us. */
const TELL_EVERY_NS = 16e6;
/** How much of a turn its length may differ by, or be left over at least, so that it ends with a timer of the guest's. */
const TURN_PLAY = 0.25;
/** What lies between two looks at what has happened meanwhile: time, as far as it is known how long instructions take. */
const SLICE_NS = 100_000;
const LONGEST_SLICE = 60_000;
/**
 * A guest's clock that is behind goes forward by steps of so much, each once the guest has nothing left to do, or has executed for that long (ADR 7). Linux
 * takes a processor for stuck after 20 s, systemd a service for dead that is 45 s late, and some clocks wrap in minutes.
 */
const LEAP_NS = 15e9;
const LEAP_EVERY_NS = 10e6;
const FLAG_IF = 0x200n;
const MEDIA = { cdrom: { drive: 'CD-ROM drive', option: '--cdrom' }, floppy: { drive: 'floppy drive', option: '--floppy' } } as const;

/** Why a machine ended. */
export type MachineEnd =
  | { readonly kind: 'poweroff' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'debug-exit'; readonly value: number }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'timeout' }
  | {
      readonly kind: 'died';
      /** `triple fault`, or what the engine complained of. */
      readonly reason: string;
      readonly registers: VcpuRegisters;
      /** The last port accesses, oldest first. */
      readonly ports: readonly PortAccess[];
      /** The engine's own error, where it was one. */
      readonly cause?: unknown;
    };

export interface MachineOptions {
  readonly configuration: MachineConfiguration;
  readonly boot: BootFiles;
  /** A stored machine comes next: no kernel is loaded, and RAM is zero. */
  readonly blank?: boolean;
  /** Their block ports are the caller's to close, when `run` has settled. */
  readonly drives?: readonly Drive[];
  readonly nics?: readonly Nic[];
  /** As the drives' ports. */
  readonly shares?: readonly Share[];
  readonly vsock?: Vsock;
  readonly createVcpu: EngineFactory;
  /** Several processors, each in a thread; missing: one, which `createVcpu` makes. */
  readonly processors?: ProcessorThreads;
  /** Rate of the guest's time stamp counter; missing: 1 GHz. */
  readonly tscKhz?: number | undefined;
  /** Gets the serial port's output, between slices only. */
  readonly serial: ByteSink;
  /** Gets the virtio console's output, if the machine has one, between slices only. */
  readonly virtioConsole?: ByteSink;
  /** Get what the guest writes to the console ports, by their names, between slices only. */
  readonly ports?: Readonly<Record<string, ByteSink>>;
  /** Gets what is printed on the parallel port, if the machine has one, between slices only. */
  readonly parallel?: ByteSink;
  /** The host's clock; the guest's stands still while the machine does not run. */
  readonly clock: MonotonicClock;
  /** How long this thread has wanted to execute and could not, in ns, in all; missing: the host does not say. */
  readonly waitedNs?: (() => number) | undefined;
  readonly wallClock: WallClock;
  readonly scheduler: Scheduler;
  readonly entropy: Entropy;
  /** For memory that a guest gives back; missing: it stays with the machine. */
  readonly releasePages?: ReleasePages;
  /** Unpacks kernels; missing: they do it themselves. */
  readonly decompressor?: Decompressor;
  readonly log: Log;
  /** The guest has reset and starts again. */
  readonly onReset?: () => void;
  /** The processor sleeps with interrupts off: it will do nothing more by itself. Once for each such sleep. */
  readonly onHalted?: () => void;
}

const BOARDS: Readonly<Record<MachineName, (options: BoardOptions) => Board>> = { pc: buildPcBoard, microvm: buildMicrovmBoard };

/** A machine's life: made, loaded, run in slices until the guest or the host ends it. */
export class Machine {
  readonly #options: MachineOptions;
  readonly #board: Board;
  readonly #clock: GuestClock;
  readonly #typist: Typist;
  /** What the guest has put out since the last slice. */
  readonly #output = new OutputQueue();
  /** What waits for the machine to stand still. */
  readonly #atRest: (() => Promise<void>)[] = [];
  #state: 'new' | 'running' | 'ended' = 'new';
  #end: MachineEnd | undefined;
  #resetAsked = false;
  #executing = false;
  #asleep = false;
  /** Something has happened since the last slice for which a sleeping processor may have to be looked at. */
  #awaited = false;
  #haltReported = false;
  /** Ends a wait for the console's sink. */
  #endWait: (() => void) | undefined;
  /** Network cards have to look for frames. */
  #framesWait = false;
  #idleNs = 0;
  /** What of the thread's waiting the guest knows of, and when it is to be told next. */
  #waitedNs = 0;
  #tellAt = 0;
  /** When the guest's clock went forward last. */
  #leaptAt = 0;
  readonly #diskWork = new DiskWork();
  readonly #sliceLength = new SliceLength(LONGEST_SLICE);
  /** When the slice that is executed will probably end. */
  #sliceEnds = 0;
  /** Guest time at which the host's event loop gets its turn. */
  #turnEnds = 0;
  #turnNs = LONGEST_TURN_NS;
  /** When a slice should end at the latest: a turn waits a little for a timer, so that an engine which is dear to leave is left once for both. */
  readonly #until = (): number => {
    const next = this.#board.timers.nextDeadline() ?? Number.POSITIVE_INFINITY;
    return next < this.#turnEnds + this.#turnNs * TURN_PLAY ? next : this.#turnEnds;
  };
  #resets = 0;

  /** Loads the kernel at once, so that bad input shows here as a UserError. */
  constructor(options: MachineOptions) {
    this.#options = options;
    this.#clock = new GuestClock(options.clock, options.wallClock, options.tscKhz);
    this.#board = BOARDS[options.configuration.machine]({
      memoryBytes: options.configuration.memoryBytes,
      debugExitPort: options.configuration.debugExitPort,
      drives: (options.drives ?? []).map((drive) => (drive.block === undefined ? drive : { ...drive, block: this.#diskWork.watch(drive.block) })),
      nics: options.nics ?? [],
      shares: options.shares ?? [],
      ...(options.configuration.input === true ? { input: true } : {}),
      ...(options.vsock === undefined ? {} : { vsock: options.vsock }),
      firmware: 'firmware' in options.boot ? options.boot : undefined,
      testDevice: options.configuration.testDevice ?? false,
      rng: options.configuration.rng ?? false,
      display: options.configuration.display ?? false,
      ...(options.configuration.virtioConsole === true ? { virtioConsole: this.#between(options.virtioConsole, true) } : {}),
      ports: (options.configuration.ports ?? []).map((name) => ({ name, sink: this.#between(options.ports?.[name], true) })),
      ...(options.configuration.balloon === true ? { balloon: options.releasePages ?? (() => {}) } : {}),
      ...(options.configuration.parallel === true ? { parallel: this.#between(options.parallel) } : {}),
      serial: this.#between(options.serial),
      clock: this.#clock,
      tscKhz: () => this.#clock.tscKhz,
      wallClock: options.wallClock,
      entropy: options.entropy,
      log: options.log,
      paravirt: options.configuration.paravirt !== false,
      createVcpu: options.createVcpu,
      ...(options.processors === undefined ? {} : { processors: options.processors }),
      events: {
        powerOff: () => this.#finish({ kind: 'poweroff' }),
        reset: () => {
          this.#resetAsked = true;
          this.#interruptSlice();
        },
        debugExit: (value) => this.#finish({ kind: 'debug-exit', value }),
        kick: () => {
          this.#interruptSlice();
          this.#wake();
        },
      },
    });
    for (const { port } of options.nics ?? []) port?.listen(() => this.#frameArrived());
    // A device has set a timer that is due before the slice's end.
    this.#board.timers.onArmed = (deadline) => {
      if (deadline < this.#sliceEnds) this.#interruptSlice();
    };
    this.#typist = new Typist(this.#board.timers, this.#clock, (scancodes) => this.#board.keyboard?.(scancodes));
    if (options.blank !== true) this.#boot();
  }

  #boot(): void {
    const { boot, configuration, decompressor, entropy } = this.#options;
    if ('firmware' in boot) return; // it is at the reset vector
    const rsdp = this.#board.placeTables();
    const start = loadKernel({
      kernel: boot.kernel.read(), kernelName: boot.kernel.name, commandLine: configuration.append, memory: this.#board.memory, rsdp, entropy, frameBuffer: this.#board.frameBuffer,
      ...(decompressor === undefined ? {} : { decompressor }),
      ...(boot.initrd === undefined ? {} : { initrd: boot.initrd.read(), initrdName: boot.initrd.name }),
    });
    this.#board.vcpu.start(start);
  }

  /** Runs until the end. Legal once. Rejects only with what a listener or the console's sink has thrown. */
  async run(): Promise<MachineEnd> {
    if (this.#state !== 'new') throw new Error('the machine has been run already');
    this.#state = 'running';
    this.#clock.start();
    this.#ignoreWaiting();
    try {
      return await this.#loop();
    } finally {
      this.#board.vcpu.pause?.();
      this.#clock.stop();
      this.#board.halt();
      this.#state = 'ended';
      for (const work of this.#atRest.splice(0)) void work();
    }
  }

  async #loop(): Promise<MachineEnd> {
    const { scheduler, serial } = this.#options;
    for (let halted = false; ; ) {
      if (this.#framesWait) this.#receiveFrames();
      if (this.#clock.behind > 0) this.#catchUp(halted && !this.#awaited);
      this.#turnEnds = this.#clock.now() + this.#turnNs;
      halted = false;
      while (this.#end === undefined && !halted) {
        halted = this.#slice();
        if (this.#resetAsked) this.#reset();
        if (this.#turnIsOver()) break;
        // What devices have asked for and got at once is answered now.
        await undefined;
        if (this.#awaited) halted = false;
      }
      this.#deliverOutput();
      this.#tellWaiting();
      if (this.#atRest.length > 0) await this.#rest();
      if (this.#end !== undefined) return this.#end;
      const blocked = serial.ready?.() ?? this.#options.virtioConsole?.ready?.();
      if (blocked !== undefined) await this.#waitFor(blocked);
      // Listeners may have typed an answer, and what was done at rest may have changed everything.
      else if (halted && !this.#awaited && !this.#mayLeap(halted)) await this.#sleep();
      else {
        this.#awaited = false;
        await scheduler.yield();
        this.#turnNs = this.#awaited || this.#clock.behind > 0 ? SHORTEST_TURN_NS : Math.min(2 * this.#turnNs, LONGEST_TURN_NS);
      }
    }
  }

  /** The same the other way round: it ends early with a timer, before the guest is about what that brings. */
  #turnIsOver(): boolean {
    const now = this.#clock.now();
    return now >= this.#turnEnds || (now > this.#turnEnds - this.#turnNs * (1 - TURN_PLAY) && (this.#board.timers.nextDeadline() ?? Number.POSITIVE_INFINITY) <= now);
  }

  /** One slice of guest execution; true when the processor sleeps and nothing is due. */
  #slice(): boolean {
    const { timers } = this.#board;
    const began = this.#clock.now();
    timers.runDue(began);
    const budget = this.#sliceLength.forTime(Math.min(SLICE_NS, this.#until() - began));
    this.#sliceEnds = began + this.#sliceLength.timeOf(budget);
    const exit = this.#execute(budget);
    if (exit === 'budget') this.#sliceLength.measured(budget, this.#clock.now() - began);
    this.#awaited = false;
    switch (exit) {
      case 'budget':
      case 'time':
      case 'requested':
      case 'debug':
        return false;
      case 'halt': {
        const next = timers.nextDeadline();
        return next === undefined || next > this.#clock.now();
      }
      case 'shutdown':
        this.fail('triple fault');
        return false;
      default:
        return assertNever(exit);
    }
  }

  #execute(budget: number): VcpuExit {
    const { vcpu } = this.#board;
    this.#executing = true;
    try {
      return vcpu.run(budget, this.#until);
    } catch (cause) {
      // A mistake of ours that this guest has run into: it ends this machine, not the process around it.
      this.fail(`engine failure: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      return 'requested';
    } finally {
      this.#executing = false;
    }
  }

  /** A sink that gets its bytes when the guest does not execute. `waking`: of a device that may write while the processor sleeps. */
  #between(sink: ByteSink | undefined, waking = false): ByteSink {
    return this.#output.before(sink, () => {
      if (waking) this.#wake();
    });
  }
  #deliverOutput(): void {
    this.#board.com1.flush();
    this.#output.handOn();
  }

  #frameArrived(): void {
    this.#framesWait = true;
    this.#wake();
  }
  #receiveFrames(): void {
    this.#framesWait = false;
    for (const card of this.#board.cards) if (card.arrived()) this.#frameArrived();
  }

  /** The guest's clock is behind, and nothing is in the way of a step. While a disk works its driver would take it for dead. */
  #mayLeap(halted: boolean): boolean {
    if (this.#clock.behind === 0 || this.#diskWork.underWay > 0) return false;
    return (halted && this.#board.vcpu.halted) || this.#clock.now() - this.#leaptAt >= LEAP_EVERY_NS;
  }
  /** Puts the guest's clock forward by a step, if it is time for one. */
  #catchUp(halted: boolean): void {
    if (!this.#mayLeap(halted)) return;
    if (this.#board.vcpu.heldBack?.() !== true) {
      this.#options.log.trace('machine', 'the guest has no paravirtual clock; its time of day stays behind');
      this.#clock.stayBehind();
      return;
    }
    this.#clock.leap(LEAP_NS);
    this.#leaptAt = this.#clock.now();
  }

  async #sleep(): Promise<void> {
    const { scheduler } = this.#options;
    this.#reportHalt();
    // Who was told may have typed, or ended the machine.
    if (this.#awaited) return;
    // Processors in threads of their own may be at work meanwhile.
    const idle = this.#board.vcpu.halted;
    const began = this.#clock.now();
    const next = this.#board.timers.nextDeadline();
    this.#asleep = true;
    const until = this.#clock.behind > 0 ? Math.min(next ?? Number.POSITIVE_INFINITY, began + LEAP_EVERY_NS) : next;
    await scheduler.sleep(until === undefined ? undefined : Math.max(0, until - began));
    this.#asleep = false;
    if (idle) this.#idleNs += this.#clock.now() - began;
  }

  #reportHalt(): void {
    const { vcpu } = this.#board;
    const stuck = vcpu.halted && (vcpu.registers().rflags & FLAG_IF) === 0n;
    if (stuck && !this.#haltReported) {
      this.#options.log.trace('machine', 'the processor has halted with interrupts off');
      this.#options.onHalted?.();
    }
    this.#haltReported = stuck;
  }

  /** What it has waited until now was not the guest's. */
  #ignoreWaiting(): void {
    this.#waitedNs = this.#options.waitedNs?.() ?? 0;
  }
  /** Tells the guest of one processor, which executes in this thread, how long that has waited for the host. */
  #tellWaiting(): void {
    const { clock, waitedNs } = this.#options;
    const now = clock.now();
    if (waitedNs === undefined || now < this.#tellAt) return;
    this.#tellAt = now + TELL_EVERY_NS;
    const waited = waitedNs();
    if (waited > this.#waitedNs) this.#board.vcpu.addStolenTime?.(waited - this.#waitedNs);
    this.#waitedNs = waited;
  }

  /** Waits for the console's sink, or the end. */
  async #waitFor(blocked: Promise<void>): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#endWait = resolve;
      blocked.then(resolve, resolve);
    });
    this.#endWait = undefined;
  }

  async #rest(): Promise<void> {
    this.#board.vcpu.pause?.();
    this.#clock.stop();
    while (this.#atRest.length > 0) await this.#atRest.shift()!();
    this.#clock.start();
    this.#ignoreWaiting();
  }

  /**
   * Does some work while the machine stands still and its clock too; settles as the work does. Legal at any time; in a
   * listener, which the machine waits for itself, the promise must not be waited for.
   */
  atRest<T>(work: () => Promise<T>): Promise<T> {
    if (this.#state !== 'running') return work();
    return new Promise<T>((resolve, reject) => {
      this.#atRest.push(() => work().then(resolve, reject));
      this.#interruptSlice();
      this.#wake();
      this.#endWait?.();
    });
  }

  #reset(): void {
    this.#resetAsked = false;
    if (this.#end !== undefined) return;
    this.#options.log.trace('machine', 'reset');
    // Who starts asks for the time of day.
    this.#clock.stayBehind();
    if (this.#options.configuration.noReboot) {
      this.#finish({ kind: 'reset' });
      return;
    }
    this.#resets++;
    this.#haltReported = false;
    this.#deliverOutput();
    this.#options.onReset?.();
    this.#board.reset();
    try {
      this.#boot();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.fail(error.message);
    }
  }

  #finish(end: MachineEnd): void {
    if (this.#end !== undefined) return;
    this.#options.log.trace('machine', `end: ${end.kind}`);
    this.#end = end;
    this.#interruptSlice();
    this.#wake();
    this.#endWait?.();
  }
  #interruptSlice(): void {
    if (this.#executing) this.#board.vcpu.requestExit();
  }
  #wake(): void {
    this.#awaited = true;
    if (this.#asleep) this.#options.scheduler.wake();
  }

  /** Ends the machine from the host's side. Legal at any time; the first end counts. */
  stop(kind: 'stopped' | 'timeout' = 'stopped'): void {
    this.#finish({ kind });
  }
  /** Ends the machine because it cannot go on. Legal whenever the guest does not execute; the first end counts. */
  fail(reason: string, more: { readonly cause?: unknown } = {}): void {
    this.#finish({ kind: 'died', reason, registers: this.#board.vcpu.registers(), ports: this.#board.recentPorts(), ...more });
  }
  /** Bytes typed on the serial console. */
  sendSerial(bytes: Uint8Array): void {
    this.#board.com1.receive(bytes);
    this.#wake();
  }
  /** How many of them the guest has not read yet. */
  get unreadSerial(): number {
    return this.#board.com1.unread;
  }
  /** Whether the guest waits for them. */
  get serialListens(): boolean {
    return this.#board.com1.listening;
  }
  /** Bytes typed on a console port of that name, or on the virtio console, if the machine has it. */
  sendPort(bytes: Uint8Array, name?: string): void {
    this.#board.virtioConsole?.receive(bytes, name);
    this.#wake();
  }
  /** How many of them the guest has not read yet. */
  unreadPort(name?: string): number {
    return this.#board.virtioConsole?.unread(name) ?? 0;
  }
  /** Whether a program in the guest has it open. */
  portOpen(name: string): boolean {
    return this.#board.virtioConsole?.guestOpen(name) ?? false;
  }
  /** Somebody on the host has opened a console port, or closed it. */
  setPortOpen(name: string, open: boolean): void {
    this.#board.virtioConsole?.setHostOpen(name, open);
    this.#wake();
  }
  /** Asks the guest to get along with so many bytes of memory. Throws UserError. */
  askForMemory(bytes: number): void {
    const { balloon, memory } = this.#board;
    if (balloon === undefined) throw new UserError('the machine has no balloon; give it one: --balloon');
    if (!(bytes >= 0 && bytes <= memory.bytes)) throw new UserError(`the guest has ${memory.bytes} bytes of memory; ask for that or less`);
    balloon.target = memory.bytes - bytes;
    this.#wake();
  }
  /** What the guest says that it has given back so, in bytes. */
  get memoryGivenBack(): number {
    return this.#board.balloon?.actual ?? 0;
  }
  /** A break on the serial line: Linux takes the next key as a SysRq command. */
  sendBreak(): void {
    this.#board.com1.receiveBreak();
    this.#wake();
  }
  /** Keys on the keyboard, as `keystrokes` takes them. Throws UserError. */
  sendKeys(keys: string | readonly string[]): void {
    if (this.#board.keyboard === undefined) throw new UserError('the machine has no keyboard; type on its console, or give it the board pc, or --input');
    this.#typist.type(keystrokes(keys));
    this.#wake();
  }
  /** A key goes down or up, by its place on the keyboard (`KeyA`). False: the machine has no keyboard, or it has no such key. */
  moveKey(place: string, down: boolean): boolean {
    const scancode = this.#board.keyboard === undefined ? undefined : scancodeAt(place, down);
    if (scancode === undefined) return false;
    this.#typist.type([scancode]);
    this.#wake();
    return true;
  }
  /** Moves the mouse; see `Board.mouse`. Without one nothing happens. */
  moveMouse(dx: number, dy: number, buttons: number, wheel: number): void {
    this.#board.mouse?.(dx, dy, buttons, wheel);
    this.#wake();
  }
  get hasTablet(): boolean {
    return this.#board.pointer !== undefined;
  }
  /** Puts the tablet's pointer somewhere; see `Board.pointer`. Throws UserError on a machine without one. */
  movePointer(x: number, y: number, buttons: number, wheel: number): void {
    if (this.#board.pointer === undefined) throw new UserError('the machine has no tablet; give it one: --input');
    this.#board.pointer(x, y, buttons, wheel);
    this.#wake();
  }
  /** The reset button. */
  pressReset(): void {
    this.#resetAsked = true;
    this.#interruptSlice();
    this.#wake();
  }
  /**
   * Puts another medium into a drive, or takes it out. Legal whenever the guest does not execute. Throws UserError where that
   * cannot be, and while the guest uses the medium: it is asked to let it go, and `force` does not wait for that.
   */
  changeMedium(kind: MediumKind, block: BlockPort | undefined, force: boolean): void {
    const drive = this.#board.removable?.[kind];
    if (drive === undefined) throw new UserError(`the machine has no ${MEDIA[kind].drive}; start it with ${MEDIA[kind].option} FILE, or ${MEDIA[kind].option} none`);
    if (drive.locked && !force) {
      drive.pressEject();
      this.#wake();
      throw new UserError(`the guest uses what is in the ${MEDIA[kind].drive}, and was asked to let it go; unmount it there and try again, or force it`);
    }
    drive.change(block);
    this.#wake();
  }
  /** Undefined on a machine without one. */
  get display(): Display | undefined {
    return this.#board.display;
  }
  pressPowerButton(): void {
    this.#board.powerButton();
    this.#wake();
  }

  /** The engines of this machine, and what each has done; undefined: it has one for good. */
  get engines(): EngineSwitch | undefined {
    return this.#board.vcpu.engines;
  }
  /** Goes on with another engine. Legal as `save` is. Throws UserError when that one cannot take the guest. */
  switchEngine(name: string): void {
    if (this.#executing) throw new Error('the engine cannot be changed from inside a device access');
    const { engines } = this.#board.vcpu;
    if (engines === undefined) throw new UserError('this machine has one engine for good');
    engines.switchTo(name);
    this.#options.log.trace('machine', `engine ${name}`);
  }
  get instructions(): number {
    return this.#board.vcpu.instructions;
  }
  exitCounts(): Readonly<Record<string, number>> {
    return this.#board.vcpu.exitCounts();
  }
  /** Undefined where the engine does not translate. */
  translation(): TranslationFigures | undefined {
    return this.#board.vcpu.translation?.();
  }
  /** Time spent asleep because the guest was idle, in ns. */
  get idleNs(): number {
    return this.#idleNs;
  }
  /** How often the guest has reset and started again. */
  get resets(): number {
    return this.#resets;
  }

  /**
   * State of every component, RAM included, as one plain tree. Legal whenever the guest does not execute: from
   * listeners and from the host's event loop.
   */
  save(): Plain {
    this.#board.vcpu.pause?.();
    return Object.fromEntries([saveSection(this.#board.memory), ...Object.entries(this.saveDevices())]);
  }
  /** The same without RAM. */
  saveDevices(): Readonly<Record<string, Plain>> {
    if (this.#executing) throw new Error('a machine cannot be saved from inside a device access');
    this.#board.vcpu.pause?.();
    return Object.fromEntries([saveSection(this.#clock), ...Object.entries(this.#board.save())]);
  }
  /** Settles when nothing is under way in shared folders. To be asked at rest. */
  async sharesIdle(): Promise<void> {
    await Promise.all(this.#board.shares.map((share) => share.idle()));
  }
  /** For who stores it. Legal as `save` is. */
  get ram(): Pick<LinearMemory, 'bytes' | 'runs' | 'view'> {
    return this.#board.memory;
  }
  /**
   * From now on (or no longer) `takeWritten` tells which pages of RAM, counted from its start, processors and devices have written since
   * it was called last. Legal as `save` is, both of them.
   */
  logWrites(on: boolean): void {
    this.#stand();
    this.#board.memory.logWrites(on);
  }
  takeWritten(): number[] {
    this.#stand();
    return this.#board.memory.takeWritten();
  }
  #stand(): void {
    if (this.#executing) throw new Error('the log of writes cannot be taken from inside a device access');
    this.#board.vcpu.pause?.();
  }
  /**
   * Takes over a stored state. Throws StateError for what does not fit this machine; the machine is of no further use
   * then. Legal as `save` is.
   */
  load(state: Plain): void {
    if (this.#executing) throw new Error('a machine cannot be loaded from inside a device access');
    this.#board.vcpu.pause?.();
    loadSection(state, this.#board.memory);
    this.loadDevices(state);
  }
  /** The same without RAM, which has its contents already. */
  loadDevices(state: Plain): void {
    this.#board.vcpu.pause?.();
    loadSection(state, this.#clock);
    this.#board.load(state);
    this.#haltReported = false;
    this.#framesWait = true;
    this.#wake();
  }
}
