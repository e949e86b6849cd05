import type { Plain } from '../base/plain.ts';
import type { VcpuRegisters } from '../cpu/vcpu.ts';
import { assertNever } from '../base/assert-never.ts';
import type { ByteSink } from '../host/bytes.ts';
import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { Entropy } from '../host/entropy.ts';
import type { Log } from '../host/log.ts';
import type { Scheduler } from '../host/scheduler.ts';
import { loadKernel } from '../firmware/kernel-image.ts';
import type { PortAccess } from '../buses/system-bus.ts';
import type { MachineConfiguration } from './configuration.ts';
import type { EngineFactory } from './engine-factory.ts';
import { buildPcBoard } from './pc/board.ts';
import type { Board } from './pc/board.ts';

/** Instructions between two looks at the timers: a fraction of a millisecond. */
const SLICE = 30_000;
/** How long the guest runs before the host's event loop gets a turn. */
const TURN_NS = 4e6;

/** Why a machine ended. */
export type MachineEnd =
  | { readonly kind: 'poweroff' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'debug-exit'; readonly value: number }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'died'; readonly reason: string; readonly registers: VcpuRegisters; readonly ports: readonly PortAccess[] };

/** What the guest boots: files' contents and how messages call them. */
export interface BootFiles {
  readonly kernel: Uint8Array;
  readonly kernelName: string;
  readonly initrd?: Uint8Array;
  readonly initrdName?: string;
}

export interface MachineOptions {
  readonly configuration: MachineConfiguration;
  readonly boot: BootFiles;
  readonly createVcpu: EngineFactory;
  readonly serial: ByteSink;
  readonly clock: MonotonicClock;
  readonly wallClock: WallClock;
  readonly scheduler: Scheduler;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly onReset?: () => void;
}

/** A machine's life: made, loaded, run in slices until the guest or the host ends it. */
export class Machine {
  readonly #options: MachineOptions;
  readonly #board: Board;
  #end: MachineEnd | undefined;
  #resetAsked = false;
  #running = false;
  #idleNs = 0;

  /** Loads the kernel at once, so that bad input shows here as a UserError. */
  constructor(options: MachineOptions) {
    this.#options = options;
    this.#board = buildPcBoard({
      memoryBytes: options.configuration.memoryBytes,
      debugExitPort: options.configuration.debugExitPort,
      serial: options.serial,
      clock: options.clock,
      wallClock: options.wallClock,
      entropy: options.entropy,
      log: options.log,
      createVcpu: options.createVcpu,
      events: {
        powerOff: () => this.#finish({ kind: 'poweroff' }),
        reset: () => {
          this.#resetAsked = true;
          this.#board.vcpu.requestExit();
        },
        debugExit: (value) => this.#finish({ kind: 'debug-exit', value }),
        kick: () => this.#options.scheduler.wake(),
      },
    });
    this.#boot();
  }

  #boot(): void {
    const { boot, configuration } = this.#options;
    const rsdp = this.#board.placeTables();
    const start = loadKernel({
      kernel: boot.kernel, kernelName: boot.kernelName, commandLine: configuration.append, memory: this.#board.memory, rsdp,
      ...(boot.initrd === undefined ? {} : { initrd: boot.initrd, initrdName: boot.initrdName ?? 'initrd' }),
    });
    this.#board.vcpu.start(start);
  }

  /** Runs until the end. Legal once. */
  async run(): Promise<MachineEnd> {
    if (this.#running) throw new Error('the machine has been run already');
    this.#running = true;
    const { clock, scheduler } = this.#options;
    for (;;) {
      const turnEnds = clock.now() + TURN_NS;
      let halted = false;
      do {
        halted = this.#slice();
        this.#board.com1.flush();
        if (this.#end !== undefined) return this.#end;
        if (this.#resetAsked) {
          this.#reset();
          if (this.#end !== undefined) return this.#end;
        }
      } while (!halted && clock.now() < turnEnds);
      if (!halted) await scheduler.yield();
      else await this.#sleep();
    }
  }

  /** One slice of guest execution; true when the processor sleeps and nothing is due. */
  #slice(): boolean {
    const { vcpu, timers } = this.#board;
    timers.runDue(this.#options.clock.now());
    const exit = vcpu.run(SLICE);
    switch (exit) {
      case 'budget':
      case 'requested':
      case 'debug':
        return false;
      case 'halt': {
        const next = timers.nextDeadline();
        return next === undefined || next > this.#options.clock.now();
      }
      case 'shutdown':
        this.#finish({ kind: 'died', reason: 'triple fault', registers: vcpu.registers(), ports: this.#board.recentPorts() });
        return false;
      default:
        return assertNever(exit);
    }
  }

  async #sleep(): Promise<void> {
    const { clock, scheduler } = this.#options;
    const began = clock.now();
    const next = this.#board.timers.nextDeadline();
    await scheduler.sleep(next === undefined ? undefined : next - began);
    this.#idleNs += clock.now() - began;
  }

  #reset(): void {
    this.#resetAsked = false;
    if (this.#options.configuration.noReboot) {
      this.#finish({ kind: 'reset' });
      return;
    }
    this.#options.onReset?.();
    this.#board.memory.clear();
    this.#board.reset();
    this.#boot();
  }

  #finish(end: MachineEnd): void {
    this.#end ??= end;
    this.#board.vcpu.requestExit();
    this.#options.scheduler.wake();
  }

  /** Ends the machine from the host's side. */
  stop(): void {
    this.#finish({ kind: 'stopped' });
  }
  /** Bytes typed on the serial console. */
  sendSerial(bytes: Uint8Array): void {
    this.#board.com1.receive(bytes);
    this.#options.scheduler.wake();
  }
  pressPowerButton(): void {
    this.#board.powerButton();
    this.#options.scheduler.wake();
  }

  get instructions(): number {
    return this.#board.vcpu.instructions;
  }
  exitCounts(): Readonly<Record<string, number>> {
    return this.#board.vcpu.exitCounts();
  }
  /** Time spent asleep because the guest was idle, in ns. */
  get idleNs(): number {
    return this.#idleNs;
  }

  /** State of every component. Legal while the machine is not inside `run`'s slices: from the host's event loop. */
  save(): Plain {
    return this.#board.save();
  }
  load(state: Plain): void {
    this.#board.load(state);
  }
}
