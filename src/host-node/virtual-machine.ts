import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { UserError } from '../base/errors.ts';
import { once } from '../base/once.ts';
import type { EngineModules } from '../engines/modules.ts';
import type { ByteSink } from '../host/bytes.ts';
import type { Log } from '../host/log.ts';
import { configure, configureExecution } from '../library/hardware-options.ts';
import type { ExecutionOptions, HardwareOptions } from '../library/hardware-options.ts';
import { LocalMachine } from '../library/local-machine.ts';
import type { EngineChoice, LocalParts } from '../library/local-machine.ts';
import { WorkerCompiler } from '../library/worker-compiler.ts';
import { readConfiguration } from '../library/stored-configuration.ts';
import { closeBootFiles } from '../machine/boot-source.ts';
import { checkEngine, checkTimeout } from '../machine/configuration.ts';
import type { Drive, MediumKind } from '../machine/drives.ts';
import type { Nic, NicConfiguration } from '../machine/nics.ts';
import { processorCount } from '../machine/topology.ts';
import type { Share, ShareConfiguration } from '../machine/shares.ts';
import { checkVsock, parseVsock } from '../machine/vsock.ts';
import type { Vsock, VsockConfiguration } from '../machine/vsock.ts';
import { threadEngine } from '../machine/processors/thread-engine.ts';
import { silentLog } from '../machine/trace.ts';
import type { Check } from '../snapshot/container.ts';
import { readBootFiles } from './boot-files.ts';
import type { BootRequest } from './boot-files.ts';
import { CaptureFile } from './capture-file.ts';
import { closeDrives, openDrives, openMedium } from './drives.ts';
import type { DrivesRequest } from './drives.ts';
import { nodeDecompressor } from './decompressor.ts';
import { settleEngine } from './engine-choice.ts';
import { loadEngineModules } from './engine-modules.ts';
import { MirrorFiles } from './mirror-files.ts';
import { closeNics, configureNics, openNics } from './nics.ts';
import type { NicsRequest } from './nics.ts';
import { reopenNvram } from './nvram-file.ts';
import { PngScreenshot } from './png-screenshot.ts';
import { NodeClock, NodeScheduler, nodeEntropy, nodeWallClock } from './ports.ts';
import { releasePages } from './release-pages.ts';
import type { Report } from './report.ts';
import { closeShares, configureShares, openShares } from './shares.ts';
import type { SharesRequest } from './shares.ts';
import { StateFile, writeStateFile } from './state-file.ts';
import { checkStoredDrives, describeDrives, settleDrives } from './stored-drives.ts';
import { keptRegions, translationThreads } from './translation-thread.ts';
import { packageVersion } from './version.ts';
import { NodeVcpuThreads } from './vcpu-threads.ts';
import { VsockSockets } from './vsock-sockets.ts';
import { waitingTime } from './waiting-time.ts';

/** One for all machines of this thread. */
const waitedNs = once(waitingTime);

export type { VirtualMachineEvents } from '../library/local-machine.ts';

export interface VirtualMachineOptions extends BootRequest, DrivesRequest, NicsRequest, SharesRequest, Omit<HardwareOptions, 'append'> {
  /** For engine `auto`: measure this host again instead of taking what was found once. */
  readonly recalibrate?: boolean;
  /** Sockets between guest and host, as `parseVsock` takes them, or the same taken apart. */
  readonly vsock?: string | VsockConfiguration;
  /** Path of a file that gets what passes the network cards, in the pcapng format. */
  readonly capture?: string;
  /** A parallel port, and where what is printed goes. */
  readonly parallel?: ByteSink;
  /** Where the console's bytes go besides `console`; the machine waits while it is not ready. */
  readonly output?: ByteSink;
  /** Called with lines that say what is done while a guest is fetched. */
  readonly onProgress?: (line: string) => void;
  readonly log?: Log;
}

/** What may be chosen when a stored machine goes on; everything else is as it was. */
export type RestoreOptions = ExecutionOptions & Pick<VirtualMachineOptions, 'recalibrate' | 'output' | 'parallel' | 'capture' | 'onProgress' | 'log'>;

export interface SaveOptions {
  /** Smaller and slower. */
  readonly compress?: boolean;
}

/** What a machine in this process has besides. */
interface Parts extends LocalParts {
  /** As they are now. */
  drivesRequest: DrivesRequest;
  readonly capture: CaptureFile | undefined;
  /** Where the machine's state comes from: open while the machine lives. */
  readonly stored?: StateFile;
}

/**
 * A virtual machine in this process. `create` reads and checks everything and throws a UserError for a mistake in the
 * options; `start` runs the guest; `finished` settles when it has ended. Machines share nothing with one another.
 */
export class VirtualMachine extends LocalMachine {
  declare protected readonly parts: Parts;
  readonly #log: Log;
  /** RAM that a stored machine's file is shown as and nobody has looked at. */
  #unchecked: Check[] = [];

  /** Reads the files, fetches the guest where one is named, loads the kernel. Throws UserError. */
  static async create(options: VirtualMachineOptions = {}): Promise<VirtualMachine> {
    const configuration = { ...configure(options), ...nicsOf(options), ...sharesOf(options), ...vsockOf(options), ...(options.parallel === undefined ? {} : { parallel: true }) };
    const timeout = options.timeout === undefined ? undefined : checkTimeout(options.timeout);
    const engine = await settle(options, processorCount(configuration.cpus));
    if (options.bootOrder?.includes('n') === true && configuration.nics === undefined) throw new UserError('the boot order names the network (n), but the machine has no card; add --net tap:NAME or hub:NAME, or leave n out');
    // A kernel that is loaded directly needs no firmware that can read the disk: the fastest interface will do.
    const drivesRequest = settleDrives(options, options.firmware === undefined ? 'virtio' : 'ide');
    const files = await readBootFiles(options, options.onProgress ?? (() => {}), warnings(options));
    return VirtualMachine.#make(options, { configuration: { ...configuration, append: files.append }, files, drivesRequest, timeout, engine, blank: false });
  }

  /**
   * A machine that goes on where `saveFile` stored it, once it is started, on whatever engine. Its disks must be as they
   * were then. Throws UserError. RAM arrives from the file, and is checked, while the guest runs: one with damaged RAM dies.
   */
  static async restore(file: string, options: RestoreOptions = {}): Promise<VirtualMachine> {
    const timeout = options.timeout === undefined ? undefined : checkTimeout(options.timeout);
    const stored = new StateFile(file);
    let vm: VirtualMachine | undefined;
    try {
      const { configuration, files, drives } = readConfiguration({
        machine: stored.machine, tell: (work) => stored.tell(work), checkDrives: checkStoredDrives, reopenNvram: (path) => reopenNvram(path, warnings(options)),
      }, configureExecution(options));
      if (options.parallel !== undefined && configuration.parallel !== true) throw new UserError(`${file} is a machine without a parallel port; leave --parallel out`);
      const engine = await settle(options, processorCount(configuration.cpus));
      const made = vm = await VirtualMachine.#make(options, { configuration, files, drivesRequest: drives, timeout, engine, stored, blank: true });
      stored.tell(() => (made.#unchecked = made.fill(stored.machine)));
      void made.#checkMeanwhile();
      return made;
    } catch (error) {
      await vm?.stop();
      stored.close();
      throw error;
    }
  }

  /**
   * Looks at the RAM that the stored machine's file is shown as, a MiB in a turn of the event loop, while the guest runs. What is
   * damaged ends the machine.
   */
  async #checkMeanwhile(): Promise<void> {
    try {
      while (this.#unchecked.length > 0) {
        await setImmediate();
        // Saving has looked at all of it meanwhile.
        if (this.ended || this.#unchecked.length === 0) return;
        this.#check();
      }
    } catch (error) {
      if (!this.ended) this.fail((error as Error).message);
    }
  }
  /** What is damaged stays in the list, so that it is not saved. */
  #check(): void {
    this.parts.stored!.tell(this.#unchecked.at(-1)!);
    this.#unchecked.pop();
  }

  static async #make(options: RestoreOptions, parts: Omit<Parts, 'drives' | 'nics' | 'shares' | 'vsock' | 'capture'>): Promise<VirtualMachine> {
    const { log = silentLog } = options;
    const cards = parts.configuration.nics ?? [];
    let drives: readonly Drive[] = [];
    let nics: readonly Nic[] = [];
    let shares: readonly Share[] = [];
    let vsock: Vsock | undefined;
    let capture: CaptureFile | undefined;
    const modules = loadEngineModules();
    const compiler = new WorkerCompiler(modules.handlers, translationThreads(keptRegions(options)));
    try {
      // While there is a processor to spare: code is hot before the thread could begin.
      if (isTranslated(parts)) compiler.prepare();
      drives = await openDrives(parts.drivesRequest, 'virtio', log);
      capture = openCapture(options, cards);
      nics = await openNics(cards, log, (card) => capture?.observe(card));
      shares = await openShares(parts.configuration.shares ?? []);
      vsock = await openVsock(parts.configuration.vsock);
      const vm = new VirtualMachine(options, { ...parts, drives, nics, shares, ...(vsock === undefined ? {} : { vsock }), capture }, modules, compiler);
      if (parts.engine.why !== undefined) options.onProgress?.(parts.engine.why);
      return vm;
    } catch (error) {
      compiler.close();
      await closeDrives(drives);
      closeNics(nics);
      await closeShares(shares);
      vsock?.sockets.close();
      capture?.close();
      closeBootFiles(parts.files);
      throw roomFor(error, parts.configuration.memoryBytes);
    }
  }

  private constructor(options: RestoreOptions, parts: Parts, modules: EngineModules, compiler: WorkerCompiler) {
    const clock = new NodeClock();
    const host = {
      modules, clock, waitedNs: waitedNs(), vcpuThreads: new NodeVcpuThreads(clock, keptRegions(options)), wallClock: nodeWallClock, scheduler: new NodeScheduler(), entropy: nodeEntropy,
      decompressor: nodeDecompressor, releasePages, compiler, version: packageVersion(),
    };
    const log = options.log ?? silentLog;
    super(host, { ...options, log }, parts);
    this.#log = log;
  }

  protected override async closeFiles(): Promise<void> {
    await super.closeFiles();
    this.parts.capture?.close();
    this.parts.stored?.close();
  }

  override screenshot(): PngScreenshot {
    return new PngScreenshot(this.display());
  }

  /**
   * Puts an image into the CD-ROM or the floppy drive, in place of what is in it; without `file` the drive is empty then. While
   * the guest has locked the CD-ROM drive, as it does with a mounted disc, it is refused and the guest is asked to let the disc
   * go; `force` pulls it out. Throws UserError. Legal before and during a run.
   */
  async changeMedium(kind: MediumKind, file?: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const now = this.parts.drivesRequest[kind];
    const path = file === undefined ? null : resolve(file);
    // An image that is put in again cannot be opened twice.
    if (path !== null && path === now) await this.changeMedium(kind, undefined, { force });
    await this.exchangeMedium(kind, path === null ? undefined : await openMedium(kind, path, this.#log), force);
    this.parts.drivesRequest = { ...this.parts.drivesRequest, [kind]: path };
  }
  /** Opens the files of mirrored disks that have failed anew, and fills them while the guest runs; settles when they are up to date. Throws UserError. */
  async repairMirrors(): Promise<void> {
    const mirrors = this.parts.drives.map(({ block }) => block).filter((block) => block instanceof MirrorFiles);
    if (mirrors.length === 0) throw new UserError('the machine has no mirrored disk; give it one: --disk mirror:FILE,FILE');
    await Promise.all(mirrors.map((mirror) => mirror.repair()));
  }

  /**
   * Stores the machine in a file, from which `restore` goes on; returns the file's length in bytes. The machine stands
   * still meanwhile, and goes on. Of disk images the file holds the names only. Throws UserError. Legal before and during a
   * run; a listener must not wait for it.
   */
  saveFile(file: string, options: SaveOptions = {}): Promise<number> {
    return this.store(() => describeDrives(this.parts.drivesRequest), (parts) => {
      while (this.#unchecked.length > 0) this.#check();
      return writeStateFile(file, parts, options.compress ?? false);
    });
  }

  override report(): Report {
    const { memory, ...report } = super.report();
    return {
      ...report,
      host: { node: process.version, platform: process.platform, arch: process.arch },
      memory: { ...memory, residentBytes: process.memoryUsage().rss, peakResidentBytes: process.resourceUsage().maxRSS * 1024 },
    };
  }
}

/** A machine without cards says nothing of them. */
function nicsOf(options: NicsRequest): { readonly nics?: readonly NicConfiguration[] } {
  const nics = configureNics(options);
  return nics.length === 0 ? {} : { nics };
}

function sharesOf(options: SharesRequest): { readonly shares?: readonly ShareConfiguration[] } {
  const shares = configureShares(options);
  return shares.length === 0 ? {} : { shares };
}

function vsockOf({ vsock }: VirtualMachineOptions): { readonly vsock?: VsockConfiguration } {
  if (vsock === undefined) return {};
  const { cid, path } = typeof vsock === 'string' ? parseVsock(vsock) : checkVsock(vsock);
  return { vsock: { cid, path: resolve(path) } };
}
async function openVsock(vsock: VsockConfiguration | undefined): Promise<Vsock | undefined> {
  return vsock === undefined ? undefined : { cid: vsock.cid, sockets: await VsockSockets.open(vsock.path) };
}

function openCapture({ capture, log = silentLog }: RestoreOptions, cards: readonly NicConfiguration[]): CaptureFile | undefined {
  if (capture === undefined) return undefined;
  if (cards.length === 0) throw new UserError('there is no network card whose frames could be captured; give one, for instance --net hub:NAME, or leave --capture out');
  return new CaptureFile(capture, cards.map(({ model, mac }) => `${model} ${mac}`), log);
}

function warnings({ log = silentLog }: RestoreOptions): (line: string) => void {
  return (line) => log.warn(line);
}

/** Before anything is fetched, as the engine may be one that this host cannot have. */
async function settle({ engine = 'auto', recalibrate, profile, overcommit, switchable }: RestoreOptions, cpus: number): Promise<EngineChoice> {
  if (cpus > 1) {
    const here = availableParallelism();
    if (cpus > here && overcommit !== true) {
      throw new UserError(`${cpus} processors are asked for, but this host has ${here}, so that their threads would wait for each other; give --cpus ${here}, or --overcommit to have it all the same`);
    }
    if (profile === true) throw new UserError(`a profile is made of one processor, but ${cpus} are asked for; leave --profile out, or give --cpus 1`);
    if (engine !== 'auto') threadEngine(checkEngine(engine), cpus);
  }
  const choice = settleEngine(checkEngine(engine), recalibrate, { processors: cpus, profile: profile === true, switchable: switchable === true });
  return choice.first === 'lockstep' ? { ...choice, lockstep: (await import('../engines/lockstep/lockstep-vcpu.ts')).LockstepVcpu } : choice;
}

/** Whether it begins on an engine that translates, in this thread: the threads of several processors see to it themselves. */
function isTranslated({ configuration, engine: { first } }: Pick<Parts, 'configuration' | 'engine'>): boolean {
  return processorCount(configuration.cpus) === 1 && (first === 'translator' || first === 'hybrid' || first === 'lockstep');
}

/** V8 reserves address space for the whole memory at once; a limit on it (ulimit -v) shows when a machine is made. */
function roomFor(error: unknown, memoryBytes: number): unknown {
  if (!(error instanceof RangeError && error.message.includes('WebAssembly.Memory'))) return error;
  return new UserError(`the host has no room for a guest of ${memoryBytes >> 20} MiB (${error.message}); raise the limit on address space (ulimit -v) or give less memory`);
}
