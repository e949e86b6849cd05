import { resolve } from 'node:path';
import { assertNever } from '../base/assert-never.ts';
import { UserError } from '../base/errors.ts';
import { seconds } from '../base/seconds.ts';
import type { Plain } from '../base/plain.ts';
import type { ByteSink } from '../host/bytes.ts';
import type { Log } from '../host/log.ts';
import {
  DEFAULT_MACHINE, DEFAULT_MEMORY, DEFAULT_TRANSLATION_CACHE, checkCpus, checkDebugExitPort, checkEngine, checkMachine, checkMemory, checkTimeout, checkTranslationCache, parseMemorySize, parseTranslationCache,
} from '../machine/configuration.ts';
import type { EngineName, ExecutionConfiguration, MachineConfiguration, MachineName } from '../machine/configuration.ts';
import type { Profile, Profiler } from '../engines/profile/profiler.ts';
import type { Drive, MediumKind } from '../machine/drives.ts';
import { engineFactory, tscKhzFor } from '../machine/engines.ts';
import { Machine } from '../machine/machine.ts';
import { loadSection, saveSection } from '../machine/sections.ts';
import type { MachineEnd, TextCells } from '../machine/machine.ts';
import { silentLog } from '../machine/trace.ts';
import type { BootFiles } from '../machine/boot-source.ts';
import { readBootFiles } from './boot-files.ts';
import type { BootRequest } from './boot-files.ts';
import { Console } from './console.ts';
import { closeDrives, disksInMemory, openDrives, openMedium } from './drives.ts';
import { MirrorFiles } from './mirror-files.ts';
import type { DrivesRequest } from './drives.ts';
import { describeDrives, settleDrives } from './stored-drives.ts';
import { bootFilesOf, describeMachine, readConfiguration } from './stored-configuration.ts';
import { StateFile, writeStateFile } from './state-file.ts';
import { loadEngineModules } from './engine-modules.ts';
import { settleEngine } from './engine-choice.ts';
import type { EngineChoice } from './engine-choice.ts';
import { Listeners } from './events.ts';
import { Screenshot } from './screenshot.ts';
import { NodeClock, NodeScheduler, nodeEntropy, nodeWallClock } from './ports.ts';
import type { Report } from './report.ts';
import { packageVersion } from './version.ts';
import { WorkerCompiler } from './worker-compiler.ts';

export interface VirtualMachineOptions extends BootRequest, DrivesRequest {
  /** Bytes, or a text like '512M' (the default). */
  readonly memory?: number | string;
  readonly cpus?: number;
  /** The board: `pc` (the default), or `microvm`, which boots kernels directly and has virtio devices only. */
  readonly machine?: MachineName;
  readonly engine?: EngineName;
  /** For engine `auto`: measure this host again instead of taking what was found once. */
  readonly recalibrate?: boolean;
  /** Bound on the memory that translated code takes: bytes, or a text like '128M' (the default). */
  readonly translationCache?: number | string;
  /** Make a profile: `VirtualMachine.profile()`. The guest runs slower then. */
  readonly profile?: boolean;
  /** End instead of starting again when the guest resets. */
  readonly noReboot?: boolean;
  /** A virtio entropy device. */
  readonly rng?: boolean;
  /** A virtio console besides the serial port: `VirtualMachine.virtioConsole`. */
  readonly virtioConsole?: boolean;
  /** A parallel port, and where what is printed goes. */
  readonly parallel?: ByteSink;
  /** I/O port whose writes end the machine with a value. */
  readonly debugExitPort?: number;
  /** A device that public processor tests expect, as QEMU's pc-testdev. */
  readonly testDevice?: boolean;
  /** Seconds after which a started machine is ended. */
  readonly timeout?: number;
  /** Where the console's bytes go besides `console`; the machine waits while it is not ready. */
  readonly output?: ByteSink;
  /** Called with lines that say what is done while a guest is fetched. */
  readonly onProgress?: (line: string) => void;
  readonly log?: Log;
}

/** What may be chosen when a stored machine goes on; everything else is as it was. */
export type RestoreOptions = Pick<VirtualMachineOptions, 'engine' | 'recalibrate' | 'translationCache' | 'profile' | 'timeout' | 'output' | 'parallel' | 'onProgress' | 'log'>;

export interface SaveOptions {
  /** Smaller and slower. */
  readonly compress?: boolean;
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
interface Parts {
  readonly configuration: MachineConfiguration;
  readonly files: BootFiles & { readonly guest: string | null };
  drives: readonly Drive[];
  /** As they are now. */
  drivesRequest: DrivesRequest;
  readonly timeout: number | undefined;
  readonly engine: EngineChoice;
  /** Where the machine's state comes from: open while the machine lives. */
  readonly stored?: StateFile;
}

interface Settle {
  resolve(end: MachineEnd): void;
  reject(error: unknown): void;
}

/**
 * A virtual machine in this process. `create` reads and checks everything and throws a UserError for a mistake in the
 * options; `start` runs the guest; `finished` settles when it has ended. Machines share nothing with one another.
 */
export class VirtualMachine {
  /** The guest's serial console. */
  readonly console: Console;
  /** Its virtio console (`hvc0` in Linux), when the machine was made with one. */
  readonly virtioConsole: Console | undefined;
  /** Settles when the machine has ended, with the reason. Rejects only with what a listener has thrown. */
  readonly finished: Promise<MachineEnd>;
  readonly #settle: Settle;
  #profiler: Profiler | undefined;
  readonly #listeners = new Listeners<VirtualMachineEvents>();
  readonly #machine: Machine;
  readonly #clock: NodeClock;
  readonly #compiler: WorkerCompiler;
  readonly #parts: Parts;
  readonly #log: Log;
  #startedAt: number | undefined;
  #endedAt: number | undefined;
  #end: MachineEnd | undefined;

  /** Reads the files, fetches the guest where one is named, loads the kernel. Throws UserError. */
  static async create(options: VirtualMachineOptions = {}): Promise<VirtualMachine> {
    const configuration = configure(options);
    const timeout = options.timeout === undefined ? undefined : checkTimeout(options.timeout);
    const engine = settle(options);
    // A kernel that is loaded directly needs no firmware that can read the disk: the fastest interface will do.
    const drivesRequest = settleDrives(options, options.firmware === undefined ? 'virtio' : 'ide');
    const files = await readBootFiles(options, options.onProgress ?? (() => {}), warnings(options));
    return VirtualMachine.#make(options, { configuration: { ...configuration, append: files.append }, files, drivesRequest, timeout, engine });
  }

  /**
   * A machine that goes on where `saveFile` stored it, once it is started, on whatever engine. Its disks must be as they
   * were then. Throws UserError.
   */
  static async restore(file: string, options: RestoreOptions = {}): Promise<VirtualMachine> {
    const timeout = options.timeout === undefined ? undefined : checkTimeout(options.timeout);
    const engine = settle(options);
    const stored = new StateFile(file);
    let vm: VirtualMachine | undefined;
    try {
      const { configuration, files, drives } = readConfiguration(stored, configureExecution(options), warnings(options));
      if (options.parallel !== undefined && configuration.parallel !== true) throw new UserError(`${file} is a machine without a parallel port; leave --parallel out`);
      const made = vm = await VirtualMachine.#make(options, { configuration, files, drivesRequest: drives, timeout, engine, stored });
      stored.tell(() => {
        stored.machine.fillRam(made.#machine.ram);
        const devices = stored.machine.devices();
        made.#loadDisks(devices);
        made.#machine.loadDevices(devices);
      });
      return made;
    } catch (error) {
      await vm?.stop();
      stored.close();
      throw error;
    }
  }

  static async #make(options: RestoreOptions, parts: Omit<Parts, 'drives'>): Promise<VirtualMachine> {
    let drives: readonly Drive[] = [];
    try {
      drives = await openDrives(parts.drivesRequest, 'virtio', options.log ?? silentLog);
      return new VirtualMachine(options, { ...parts, drives });
    } catch (error) {
      await closeDrives(drives);
      closeNvram(parts.files);
      throw error;
    }
  }

  private constructor(options: RestoreOptions, parts: Parts) {
    const { configuration, files, drives } = parts;
    const { engine } = parts;
    const modules = loadEngineModules();
    this.#compiler = new WorkerCompiler(modules.handlers);
    this.#parts = parts;
    this.#log = options.log ?? silentLog;
    this.#clock = new NodeClock();
    let settle: Settle | undefined;
    this.finished = new Promise((resolve, reject) => (settle = { resolve, reject }));
    this.#settle = settle!;
    this.console = new Console(this.#clock, { send: (bytes) => this.#machine.sendSerial(bytes), unread: () => this.#machine.unreadSerial });
    this.virtioConsole = configuration.virtioConsole
      ? new Console(this.#clock, { send: (bytes) => this.#machine.sendVirtioConsole(bytes), unread: () => this.#machine.unreadVirtioConsole })
      : undefined;
    const { output } = options;
    this.#machine = makeMachine({
      configuration,
      boot: files,
      blank: parts.stored !== undefined,
      drives,
      createVcpu: engineFactory({
        ...engine, modules, translation: { compiler: this.#compiler, cacheBytes: configuration.translationCacheBytes },
        profile: options.profile === true ? (profiler) => (this.#profiler = profiler) : undefined,
      }),
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
      clock: this.#clock,
      wallClock: nodeWallClock,
      scheduler: new NodeScheduler(),
      entropy: nodeEntropy,
      log: this.#log,
      onReset: () => this.#listeners.emit('reset'),
      onHalted: () => this.#listeners.emit('halted'),
    });
  }

  /** Starts the guest; returns `finished`. Calling it again has no effect. */
  start(): Promise<MachineEnd> {
    if (this.#startedAt === undefined) {
      this.#startedAt = this.#clock.now();
      this.#run().then(this.#settle.resolve, this.#settle.reject);
    }
    return this.finished;
  }

  async #run(): Promise<MachineEnd> {
    const { timeout } = this.#parts;
    const timer = timeout === undefined ? undefined : setTimeout(() => this.#machine.stop('timeout'), timeout * 1000);
    try {
      const end = await this.#machine.run();
      this.#endedAt = this.#clock.now();
      await this.#closeFiles();
      this.#end = end;
      this.console.close();
      this.virtioConsole?.close();
      this.#announce(end);
      return end;
    } finally {
      clearTimeout(timer);
      this.#compiler.close();
      this.#endedAt ??= this.#clock.now();
      this.console.close();
      this.virtioConsole?.close();
      await this.#closeFiles();
      this.#parts.stored?.close();
    }
  }

  async #closeFiles(): Promise<void> {
    await closeDrives(this.#parts.drives);
    closeNvram(this.#parts.files);
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
    this.#machine.stop();
    return this.start();
  }

  /** Asks the guest to shut down, as a press of the power button does. */
  pressPowerButton(): void {
    this.#machine.pressPowerButton();
  }
  /** Types on the PS/2 keyboard: a text, or a list of keys by name (`Escape`, `F12`, `Control+Alt+Delete`). Throws UserError. */
  sendKeys(keys: string | readonly string[]): void {
    this.#machine.sendKeys(keys);
  }
  /** What the display shows. Throws UserError on a machine without one. */
  screenshot(): Screenshot {
    const { display } = this.#machine;
    if (display === undefined) throw new UserError('the machine has no display; machines that start in firmware have one');
    return new Screenshot(display);
  }
  /** The characters on the display, in text modes. */
  textScreen(): TextCells | undefined {
    return this.#machine.display?.text();
  }
  /**
   * Puts an image into the CD-ROM or the floppy drive, in place of what is in it; without `file` the drive is empty then. While
   * the guest has locked the CD-ROM drive, as it does with a mounted disc, it is refused and the guest is asked to let the disc
   * go; `force` pulls it out. Throws UserError. Legal before and during a run.
   */
  async changeMedium(kind: MediumKind, file?: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const now = this.#parts.drivesRequest[kind];
    const path = file === undefined ? null : resolve(file);
    // An image that is put in again cannot be opened twice.
    if (path !== null && path === now) await this.changeMedium(kind, undefined, { force });
    const block = path === null ? undefined : await openMedium(kind, path, this.#log);
    const before = this.#parts.drives.find((drive) => drive.kind === kind)?.block;
    try {
      this.#machine.changeMedium(kind, block, force);
    } catch (error) {
      await block?.close();
      throw error;
    }
    this.#parts.drives = this.#parts.drives.map((drive) => (drive.kind === kind ? { kind, block } : drive));
    this.#parts.drivesRequest = { ...this.#parts.drivesRequest, [kind]: path };
    await before?.close();
  }
  /** Opens the files of mirrored disks that have failed anew, and fills them while the guest runs; settles when they are up to date. Throws UserError. */
  async repairMirrors(): Promise<void> {
    const mirrors = this.#parts.drives.map(({ block }) => block).filter((block) => block instanceof MirrorFiles);
    if (mirrors.length === 0) throw new UserError('the machine has no mirrored disk; give it one: --disk mirror:FILE,FILE');
    await Promise.all(mirrors.map((mirror) => mirror.repair()));
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
    return Object.fromEntries(disksInMemory(this.#parts.drives).map(saveSection));
  }
  #loadDisks(state: Plain): void {
    for (const disk of disksInMemory(this.#parts.drives)) loadSection(state, disk);
  }
  /**
   * Takes over the state of a machine made with the same options; legal before and during a run. Throws StateError for
   * what does not fit; the machine is of no further use then.
   */
  load(state: Plain): void {
    this.#loadDisks(state);
    this.#machine.load(state);
  }

  /**
   * Stores the machine in a file, from which `restore` goes on; returns the file's length in bytes. The machine stands
   * still meanwhile, and goes on. Of disk images the file holds the names only. Throws UserError. Legal before and during a
   * run; a listener must not wait for it.
   */
  saveFile(file: string, options: SaveOptions = {}): Promise<number> {
    const { configuration, files, drives, drivesRequest } = this.#parts;
    if (this.#endedAt !== undefined) return Promise.reject(new UserError('the machine has ended; save it while it runs'));
    return this.#machine.atRest(async () => {
      // What is under way may ask for more when it has arrived.
      for (let i = 0; i < 2; i++) await Promise.all(drives.map((drive) => drive.block?.flush()));
      return writeStateFile(file, {
        description: describeMachine(configuration, files, files.guest, describeDrives(drivesRequest)),
        devices: { ...this.#machine.saveDevices(), ...this.#saveDisks() },
        ram: { bytes: configuration.memoryBytes, runs: this.#machine.ram.runs() },
        files: bootFilesOf(files),
      }, options.compress ?? false);
    });
  }

  /** What the guest's time went to since it started, on the translator and the interpreter. Undefined when none was asked for. */
  profile(): Profile | undefined {
    return this.#profiler?.profile();
  }

  report(): Report {
    const started = this.#startedAt;
    const since = (at: number | undefined): number | null => (started === undefined || at === undefined ? null : seconds(at - started));
    const translation = this.#machine.translation();
    const engines = this.#machine.engines!;
    const usage = engines.usage();
    return {
      reportVersion: 1,
      polyvisor: packageVersion(),
      host: { node: process.version, platform: process.platform, arch: process.arch },
      guest: this.#parts.files.guest,
      engine: this.engine,
      cpus: this.#parts.configuration.cpus,
      end: this.#end?.kind ?? null,
      wallSeconds: since(this.#endedAt ?? this.#clock.now()) ?? 0,
      firstConsoleByteSeconds: since(this.console.firstByteAt),
      powerOffSeconds: this.#end?.kind === 'poweroff' ? since(this.#endedAt) : null,
      idleSeconds: seconds(this.#machine.idleNs),
      resets: this.#machine.resets,
      instructions: Object.fromEntries(Object.entries(usage).map(([name, { instructions }]) => [name, instructions])),
      engines: usage,
      switches: { count: engines.switches.count, longestMs: engines.switches.longestMs },
      exits: this.#machine.exitCounts(),
      console: { bytesOut: this.console.bytesOut, bytesIn: this.console.bytesIn },
      memory: {
        guestBytes: this.#parts.configuration.memoryBytes,
        residentBytes: process.memoryUsage().rss,
        peakResidentBytes: process.resourceUsage().maxRSS * 1024,
      },
      translation: translation === undefined ? null : { ...translation, threadSeconds: seconds(this.#compiler.busyNs) },
    };
  }
}

function closeNvram(files: BootFiles): void {
  if ('firmware' in files) files.nvram?.close?.();
}

function configure(options: VirtualMachineOptions): MachineConfiguration {
  const { memory } = options;
  return {
    memoryBytes: memory === undefined ? DEFAULT_MEMORY : typeof memory === 'number' ? checkMemory(memory) : parseMemorySize(memory),
    cpus: checkCpus(options.cpus ?? 1),
    machine: checkMachine(options.machine ?? DEFAULT_MACHINE),
    ...configureExecution(options),
    append: options.append ?? '',
    noReboot: options.noReboot ?? false,
    rng: options.rng ?? false,
    virtioConsole: options.virtioConsole ?? false,
    ...(options.debugExitPort === undefined ? {} : { debugExitPort: checkDebugExitPort(options.debugExitPort) }),
    ...(options.testDevice === true ? { testDevice: true } : {}),
    ...(options.parallel === undefined ? {} : { parallel: true }),
  };
}

function warnings({ log = silentLog }: RestoreOptions): (line: string) => void {
  return (line) => log.warn(line);
}

function configureExecution({ engine = 'auto', translationCache = DEFAULT_TRANSLATION_CACHE }: RestoreOptions): ExecutionConfiguration {
  return {
    engine: checkEngine(engine),
    translationCacheBytes: typeof translationCache === 'number' ? checkTranslationCache(translationCache) : parseTranslationCache(translationCache),
  };
}

/** Before anything is fetched, as the engine may be one that this host cannot have. */
function settle({ engine = 'auto', recalibrate, onProgress }: RestoreOptions): EngineChoice {
  const choice = settleEngine(checkEngine(engine), recalibrate);
  if (choice.why !== undefined) onProgress?.(choice.why);
  return choice;
}

function makeMachine(options: ConstructorParameters<typeof Machine>[0]): Machine {
  try {
    return new Machine(options);
  } catch (error) {
    // V8 reserves address space for the whole memory at once; a limit on it (ulimit -v) shows here.
    if (error instanceof RangeError && error.message.includes('WebAssembly.Memory')) {
      throw new UserError(`the host has no room for a guest of ${options.configuration.memoryBytes >> 20} MiB (${error.message}); raise the limit on address space (ulimit -v) or give less memory`);
    }
    throw error;
  }
}
