import { assertNever } from '../base/assert-never.ts';
import { UserError } from '../base/errors.ts';
import { seconds } from '../base/seconds.ts';
import type { Plain } from '../base/plain.ts';
import type { Profile, Profiler } from '../engines/profile/profiler.ts';
import type { EngineModules } from '../engines/modules.ts';
import type { RegionCompiler } from '../engines/translator/region-builder.ts';
import type { BlockPort } from '../host/blocks.ts';
import type { ByteSink } from '../host/bytes.ts';
import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { Decompressor } from '../host/decompressor.ts';
import type { Entropy } from '../host/entropy.ts';
import type { Log } from '../host/log.ts';
import type { ReleasePages } from '../host/pages.ts';
import type { Scheduler } from '../host/scheduler.ts';
import type { ThreadHost } from '../host/threads.ts';
import { RamDisk } from '../disk/ram-disk.ts';
import { closeBootFiles } from '../machine/boot-source.ts';
import type { BootFiles } from '../machine/boot-source.ts';
import type { MachineConfiguration } from '../machine/configuration.ts';
import type { Drive, MediumKind } from '../machine/drives.ts';
import type { Nic } from '../machine/nics.ts';
import type { Share } from '../machine/shares.ts';
import type { Vsock } from '../machine/vsock.ts';
import { engineFactory, hiddenFor, tscKhzFor } from '../machine/engines.ts';
import type { EngineSet, KvmParts, RunningEngine } from '../machine/engines.ts';
import { Machine } from '../machine/machine.ts';
import type { Display, MachineEnd, TextCells } from '../machine/machine.ts';
import { processorCount } from '../machine/topology.ts';
import { threadEngine, threadEngines } from '../machine/processors/thread-engine.ts';
import type { ProcessorThreads } from '../machine/processors/threaded-vcpus.ts';
import type { VcpuOrder } from '../machine/processors/vcpu-thread.ts';
import { loadSection, saveSection } from '../machine/sections.ts';
import type { Check } from '../snapshot/container.ts';
import type { MachineParts, StoredMachine } from '../snapshot/stored-machine.ts';
import { Console } from './console.ts';
import { Listeners } from './events.ts';
import { GuestPort } from './guest-port.ts';
import type { MachineReport } from './machine-report.ts';
import { Screenshot } from './screenshot.ts';
import { bootFilesOf, describeMachine } from './stored-configuration.ts';

/** What a host lends a machine. */
export interface MachineHost {
  readonly clock: MonotonicClock;
  /** See MachineOptions. */
  readonly waitedNs?: (() => number) | undefined;
  readonly wallClock: WallClock;
  readonly scheduler: Scheduler;
  readonly entropy: Entropy;
  /** Missing: kernels unpack themselves. */
  readonly decompressor?: Decompressor;
  /** Missing: memory that a guest gives back stays with the machine. */
  readonly releasePages?: ReleasePages;
  readonly modules: EngineModules;
  /** The machine's own: closed when it has ended. */
  readonly compiler: RegionCompiler & { readonly busyNs: number; close(): void };
  /** For machines with several processors; missing: it has none such. */
  readonly vcpuThreads?: ThreadHost<VcpuOrder>;
  /** The program's version. */
  readonly version: string;
}

/** The engine that a machine begins on, and KVM where it may change to it. */
export interface EngineChoice {
  readonly first: RunningEngine;
  readonly lockstep?: EngineSet['lockstep'];
  readonly kvm?: KvmParts;
  /** See ExecutionOptions. */
  readonly switchable?: boolean;
  /** Of an automatic choice: one line. */
  readonly why?: string;
}

/** What it is run with: the guest sees none of it. */
export interface LocalOptions {
  /** Make a profile: `profile()`. The guest runs slower then. */
  readonly profile?: boolean;
  /** Where the console's bytes go besides `console`; the machine waits while it is not ready. */
  readonly output?: ByteSink;
  /** Where what is printed on the parallel port goes. */
  readonly parallel?: ByteSink;
  readonly log: Log;
}

/** Events of a virtual machine. Listeners run while the guest stands still, so they may call anything but `start`. */
export interface VirtualMachineEvents {
  /** The guest wrote to its console. */
  console: [bytes: Uint8Array];
  /** The guest has reset and starts again. */
  reset: [];
  /** The processor sleeps with interrupts off: nothing will happen any more by itself. */
  halted: [];
  poweroff: [];
  died: [end: MachineEnd & { readonly kind: 'died' }];
  /** The machine has ended, whatever the reason; comes last. */
  exit: [end: MachineEnd];
}

/** All that a machine is made of. */
export interface LocalParts {
  readonly configuration: MachineConfiguration;
  readonly files: BootFiles & { readonly guest: string | null };
  drives: readonly Drive[];
  readonly nics: readonly Nic[];
  readonly shares: readonly Share[];
  readonly vsock?: Vsock;
  readonly timeout: number | undefined;
  readonly engine: EngineChoice;
  /** A stored machine comes next: nothing is loaded. */
  readonly blank: boolean;
}

interface Settle {
  resolve(end: MachineEnd): void;
  reject(error: unknown): void;
}

/**
 * A virtual machine in this thread: what is the same on every host. `start` runs the guest; `finished` settles when it has
 * ended. Machines share nothing with one another.
 */
export class LocalMachine {
  /** The guest's serial console. */
  readonly console: Console;
  /** Its virtio console (`hvc0` in Linux), when the machine was made with one. */
  readonly virtioConsole: Console | undefined;
  /** Settles when the machine has ended, with the reason. Rejects only with what a listener has thrown. */
  readonly finished: Promise<MachineEnd>;
  protected readonly parts: LocalParts;
  readonly #host: MachineHost;
  readonly #ports: ReadonlyMap<string, GuestPort>;
  readonly #settle: Settle;
  #profiler: Profiler | undefined;
  readonly #listeners = new Listeners<VirtualMachineEvents>();
  readonly #machine: Machine;
  #startedAt: number | undefined;
  #endedAt: number | undefined;
  #end: MachineEnd | undefined;
  /** Ends a pause. */
  #resume: (() => void) | undefined;

  /** Loads the kernel. Throws UserError. */
  protected constructor(host: MachineHost, options: LocalOptions, parts: LocalParts) {
    const { configuration, files, drives, nics, shares, engine } = parts;
    const { output } = options;
    this.#host = host;
    this.parts = parts;
    let settle: Settle | undefined;
    this.finished = new Promise((resolve, reject) => (settle = { resolve, reject }));
    this.#settle = settle!;
    this.console = new Console(host.clock, { send: (bytes) => this.#machine.sendSerial(bytes), unread: () => this.#machine.unreadSerial, listening: () => this.#machine.serialListens });
    this.virtioConsole = configuration.virtioConsole
      ? new Console(host.clock, { send: (bytes) => this.#machine.sendPort(bytes), unread: () => this.#machine.unreadPort() })
      : undefined;
    this.#ports = new Map((configuration.ports ?? []).map((name) => [name, new GuestPort(host.clock, {
      send: (bytes) => this.#machine.sendPort(bytes, name), unread: () => this.#machine.unreadPort(name),
      guestOpen: () => this.#machine.portOpen(name), setHostOpen: (open) => this.#machine.setPortOpen(name, open),
    })]));
    this.#machine = new Machine({
      configuration,
      boot: files,
      blank: parts.blank,
      drives,
      nics,
      shares,
      ...(parts.vsock === undefined ? {} : { vsock: parts.vsock }),
      createVcpu: engineFactory({
        ...engine, modules: host.modules, translation: { compiler: host.compiler, cacheBytes: configuration.translationCacheBytes },
        profile: options.profile === true ? (profiler) => (this.#profiler = profiler) : undefined,
      }),
      ...(processorCount(configuration.cpus) === 1 ? {} : { processors: processorsOf(host, configuration, engine) }),
      tscKhz: tscKhzFor(engine.kvm),
      serial: {
        write: (bytes) => {
          output?.write(bytes);
          this.console.received(bytes);
          this.#listeners.emit('console', bytes);
        },
        ready: () => output?.ready?.() ?? this.console.ready(),
      },
      ...(options.parallel === undefined ? {} : { parallel: options.parallel }),
      virtioConsole: { write: (bytes) => this.virtioConsole?.received(bytes), ready: () => this.virtioConsole?.ready() },
      ports: Object.fromEntries([...this.#ports].map(([name, port]) => [name, { write: (bytes: Uint8Array) => port.received(bytes), ready: () => port.ready() }])),
      clock: host.clock,
      waitedNs: host.waitedNs,
      wallClock: host.wallClock,
      scheduler: host.scheduler,
      entropy: host.entropy,
      ...(host.releasePages === undefined ? {} : { releasePages: host.releasePages }),
      ...(host.decompressor === undefined ? {} : { decompressor: host.decompressor }),
      log: options.log,
      onReset: () => this.#listeners.emit('reset'),
      onHalted: () => this.#listeners.emit('halted'),
    });
  }

  /** Starts the guest; returns `finished`. Calling it again has no effect. */
  start(): Promise<MachineEnd> {
    if (this.#startedAt === undefined) {
      this.#startedAt = this.#host.clock.now();
      this.#run().then(this.#settle.resolve, this.#settle.reject);
    }
    return this.finished;
  }

  async #run(): Promise<MachineEnd> {
    const { timeout } = this.parts;
    const timer = timeout === undefined ? undefined : setTimeout(() => this.#stop('timeout'), timeout * 1000);
    try {
      const end = await this.#machine.run();
      this.#endedAt = this.#host.clock.now();
      await this.closeFiles();
      this.#end = end;
      this.#closeConsoles();
      this.#announce(end);
      return end;
    } finally {
      clearTimeout(timer);
      this.#host.compiler.close();
      this.#endedAt ??= this.#host.clock.now();
      this.#closeConsoles();
      await this.closeFiles();
    }
  }

  #closeConsoles(): void {
    for (const console of [this.console, this.virtioConsole, ...this.#ports.values()]) console?.close();
  }

  /** The host's end of a named console port. Throws UserError where there is none of that name. */
  port(name: string): GuestPort {
    const port = this.#ports.get(name);
    if (port === undefined) throw new UserError(`the machine has no console port ${name}; ${this.#ports.size === 0 ? 'it has none' : `it has ${[...this.#ports.keys()].join(', ')}`}`);
    return port;
  }

  /** Lets go what the machine holds open. Legal again and again. */
  protected async closeFiles(): Promise<void> {
    for (const { port } of this.parts.nics) port?.close();
    this.parts.vsock?.sockets.close();
    await Promise.all([...this.parts.drives.map((drive) => drive.block?.close()), ...this.parts.shares.map(({ folder }) => folder.close())]);
    closeBootFiles(this.parts.files);
  }

  #announce(end: MachineEnd): void {
    switch (end.kind) {
      case 'poweroff':
        this.#listeners.emit('poweroff');
        break;
      case 'died':
        this.#listeners.emit('died', end);
        break;
      case 'reset': case 'debug-exit': case 'stopped': case 'timeout':
        break;
      default:
        assertNever(end);
    }
    this.#listeners.emit('exit', end);
  }

  /** Ends the machine at once, as pulling the plug does; settles when it has ended. Legal before `start` too. */
  stop(): Promise<MachineEnd> {
    this.#stop('stopped');
    return this.start();
  }
  #stop(kind: 'stopped' | 'timeout'): void {
    this.#machine.stop(kind);
    this.resume();
  }

  /**
   * Lets the guest and its clock stand still until `resume`, behind which the clock of one that can be told catches up (ADR 7); settles when they do.
   * Throws UserError before a run and after it.
   */
  async pause(): Promise<void> {
    if (this.#startedAt === undefined || this.#endedAt !== undefined) throw new UserError('the machine does not run; only one that runs can pause');
    if (this.#resume !== undefined) return;
    await new Promise<void>((still) => {
      void this.#machine.atRest(() => {
        still();
        return this.#end === undefined ? new Promise<void>((resume) => (this.#resume = resume)) : Promise.resolve();
      });
    });
  }
  /** Goes on after `pause`; else nothing happens. */
  resume(): void {
    this.#resume?.();
    this.#resume = undefined;
  }
  get paused(): boolean {
    return this.#resume !== undefined;
  }

  /** The reset button: the machine starts again as when it was switched on. */
  pressReset(): void {
    this.#machine.pressReset();
  }

  /** Asks the guest to shut down, as a press of the power button does. */
  pressPowerButton(): void {
    this.#machine.pressPowerButton();
  }
  /** Types on the keyboard: a text, or a list of keys by name (`Escape`, `F12`, `Control+Alt+Delete`). Throws UserError. */
  sendKeys(keys: string | readonly string[]): void {
    this.#machine.sendKeys(keys);
  }
  /** A key of the keyboard goes down or up, by its place (KeyboardEvent.code: `KeyA`). False: there is no such key. */
  moveKey(place: string, down: boolean): boolean {
    return this.#machine.moveKey(place, down);
  }
  /** Moves the PS/2 mouse: counts to the right and up, buttons (bit 0 left, 1 right, 2 middle), counts of the wheel upwards. */
  moveMouse(dx: number, dy: number, buttons: number, wheel = 0): void {
    this.#machine.moveMouse(dx, dy, buttons, wheel);
  }
  /**
   * Puts the tablet's pointer at a place of the display, as fractions of its width and height; buttons and wheel as the mouse has them.
   * Throws UserError on a machine without one.
   */
  movePointer(x: number, y: number, buttons: number, wheel = 0): void {
    this.#machine.movePointer(x, y, buttons, wheel);
  }
  /** It has a tablet, which `movePointer` moves. */
  get hasTablet(): boolean {
    return this.#machine.hasTablet;
  }
  get hasDisplay(): boolean {
    return this.#machine.display !== undefined;
  }
  /** What the display shows. Throws UserError on a machine without one. */
  screenshot(): Screenshot {
    return new Screenshot(this.display());
  }
  protected display(): Display {
    const { display } = this.#machine;
    if (display === undefined) throw new UserError('the machine has no display; start it in firmware, or a kernel with display: true');
    return display;
  }
  /** The characters on the display, in text modes. */
  textScreen(): TextCells | undefined {
    return this.#machine.display?.text();
  }
  /** Puts another medium into a drive, or takes it out; what was in it is closed, and so is `block` when that cannot be. */
  protected async exchangeMedium(kind: MediumKind, block: BlockPort | undefined, force: boolean): Promise<void> {
    const before = this.parts.drives.find((drive) => drive.kind === kind)?.block;
    try {
      this.#machine.changeMedium(kind, block, force);
    } catch (error) {
      await block?.close();
      throw error;
    }
    this.parts.drives = this.parts.drives.map((drive) => (drive.kind === kind ? { kind, block } : drive));
    await before?.close();
  }
  /** Asks a guest with a balloon to get along with so many bytes of its memory. Throws UserError. */
  askForMemory(bytes: number): void {
    this.#machine.askForMemory(bytes);
  }
  /** What it says that it has given back so, in bytes. */
  get memoryGivenBack(): number {
    return this.#machine.memoryGivenBack;
  }
  /** A break on the serial line: Linux takes the next key as a SysRq command. */
  sendBreak(): void {
    this.#machine.sendBreak();
  }

  /** Returns what removes the listener again. */
  on<K extends keyof VirtualMachineEvents>(event: K, listener: (...args: VirtualMachineEvents[K]) => void): () => void {
    return this.#listeners.add(event, listener);
  }

  /** The engine that executes the guest now. */
  get engine(): string {
    return this.#machine.engines!.current;
  }
  /** Those that this machine may change to. */
  get engines(): readonly string[] {
    return this.#machine.engines!.available;
  }
  /**
   * Goes on with another engine; the guest does not notice. Legal before, during and after a run. Throws UserError when that
   * engine cannot take the guest, which then goes on as it was.
   */
  switchEngine(name: string): void {
    this.#machine.switchEngine(name);
  }

  /** State of every component as plain data, RAM included. Legal before, during and after a run. */
  save(): Plain {
    return { ...(this.#machine.save() as Readonly<Record<string, Plain>>), ...this.#saveDisks() };
  }
  /** Disks in memory are part of the machine. */
  #saveDisks(): Readonly<Record<string, Plain>> {
    return Object.fromEntries(this.#disksInMemory().map(saveSection));
  }
  #loadDisks(state: Plain): void {
    for (const disk of this.#disksInMemory()) loadSection(state, disk);
  }
  /** Their contents are nowhere else. */
  #disksInMemory(): readonly RamDisk[] {
    return this.parts.drives.map(({ block }) => block).filter((block) => block instanceof RamDisk);
  }
  /**
   * Takes over the state of a machine made with the same options; legal before and during a run. Throws StateError for
   * what does not fit; the machine is of no further use then.
   */
  load(state: Plain): void {
    this.#loadDisks(state);
    this.#machine.load(state);
  }

  /** The same of a stored machine, into one that was made blank. Throws StateError. Returns the checks that are still to be made. */
  protected fill(stored: StoredMachine): Check[] {
    const unchecked = stored.fillRam(this.#machine.ram);
    const devices = stored.devices();
    this.#loadDisks(devices);
    this.#machine.loadDevices(devices);
    return unchecked;
  }
  /** Ends the machine for what the host has found. Without effect on one that has ended. */
  protected fail(reason: string): void {
    this.#machine.fail(reason);
  }
  protected get ended(): boolean {
    return this.#endedAt !== undefined;
  }

  /**
   * Calls `write` with all that is to be stored, while the machine stands still; settles as it does. `describeDrives`: what the
   * description says of them, asked when they are at rest. Throws UserError. A listener must not wait for it.
   */
  protected store<T>(describeDrives: () => unknown, write: (parts: MachineParts) => T | Promise<T>): Promise<T> {
    const { configuration, files, drives } = this.parts;
    if (this.#endedAt !== undefined) return Promise.reject(new UserError('the machine has ended; save it while it runs'));
    return this.atRest(async () => {
      await this.#machine.sharesIdle();
      // What is under way may ask for more when it has arrived.
      for (let i = 0; i < 2; i++) await Promise.all(drives.map((drive) => drive.block?.flush()));
      return write({
        description: describeMachine(configuration, files, files.guest, describeDrives()),
        devices: { ...this.#machine.saveDevices(), ...this.#saveDisks() },
        ram: { bytes: configuration.memoryBytes, runs: this.#machine.ram.runs() },
        files: bootFilesOf(files),
      });
    });
  }

  /** Does some work while the machine stands still. */
  protected atRest<T>(work: () => Promise<T>): Promise<T> {
    return this.paused ? work() : this.#machine.atRest(work);
  }

  /** What the guest's time went to since it started, on the translator and the interpreter. Undefined when none was asked for. */
  profile(): Profile | undefined {
    return this.#profiler?.profile();
  }

  report(): MachineReport {
    const { clock, compiler, version } = this.#host;
    const started = this.#startedAt;
    const since = (at: number | undefined): number | null => (started === undefined || at === undefined ? null : seconds(at - started));
    const translation = this.#machine.translation();
    const engines = this.#machine.engines!;
    const usage = engines.usage();
    return {
      reportVersion: 1,
      polyvisor: version,
      guest: this.parts.files.guest,
      engine: this.engine,
      cpus: processorCount(this.parts.configuration.cpus),
      end: this.#end?.kind ?? null,
      wallSeconds: since(this.#endedAt ?? clock.now()) ?? 0,
      firstConsoleByteSeconds: since(this.console.firstByteAt),
      powerOffSeconds: this.#end?.kind === 'poweroff' ? since(this.#endedAt) : null,
      idleSeconds: seconds(this.#machine.idleNs),
      resets: this.#machine.resets,
      instructions: Object.fromEntries(Object.entries(usage).map(([name, { instructions }]) => [name, instructions])),
      engines: usage,
      switches: { count: engines.switches.count, longestMs: engines.switches.longestMs },
      exits: this.#machine.exitCounts(),
      console: { bytesOut: this.console.bytesOut, bytesIn: this.console.bytesIn },
      memory: { guestBytes: this.parts.configuration.memoryBytes },
      translation: translation === undefined ? null : { ...translation, threadSeconds: seconds(compiler.busyNs) },
    };
  }
}

function processorsOf({ modules, vcpuThreads }: MachineHost, { cpus, translationCacheBytes }: MachineConfiguration, { first, kvm, switchable = false }: EngineChoice): ProcessorThreads {
  const count = processorCount(cpus);
  if (vcpuThreads === undefined) throw new UserError(`${count} processors are asked for, but here a machine has one so far; give 1`);
  const engine = threadEngine(first, count);
  const engines = threadEngines(engine, kvm?.capabilities, switchable);
  return { topology: cpus, engine, engines, hidden: hiddenFor({ first, kvm, switchable }), modules, kvm, cacheBytes: translationCacheBytes, host: vcpuThreads };
}
