import { UserError } from '../base/errors.ts';
import type { EngineModules } from '../engines/modules.ts';
import type { BlockPort } from '../host/blocks.ts';
import type { Log } from '../host/log.ts';
import { configure, configureExecution } from '../library/hardware-options.ts';
import type { ExecutionOptions } from '../library/hardware-options.ts';
import { LocalMachine } from '../library/local-machine.ts';
import type { EngineChoice, LocalParts } from '../library/local-machine.ts';
import { readConfiguration } from '../library/stored-configuration.ts';
import { WorkerCompiler } from '../library/worker-compiler.ts';
import { checkEngine, checkTimeout } from '../machine/configuration.ts';
import type { MediumKind } from '../machine/drives.ts';
import { parseMac } from '../machine/nics.ts';
import { processorCount } from '../machine/topology.ts';
import { threadEngine } from '../machine/processors/thread-engine.ts';
import { readBootFiles } from './boot-files.ts';
import { openDrives, openMedium } from './drives.ts';
import type { OpenDisk, OpenDrives } from './drives.ts';
import { checkName } from './opfs.ts';
import { BrowserClock, BrowserScheduler, browserEntropy, browserWallClock } from './ports.ts';
import type { BrowserReport, MachineRequest, RestoreRequest, SaveOptions, Source } from './requests.ts';
import { Screen } from './screen.ts';
import { nameOf } from './sources.ts';
import { StateFile, writeStateBlob, writeStateFile } from './state-file.ts';
import { checkStoredDrives, describeDrives } from './stored-drives.ts';
import { startTranslationThread } from './translation-thread.ts';
import { BrowserVcpuThreads } from './vcpu-threads.ts';

declare const POLYVISOR_VERSION: string;

/** Of a disk that is written to a file, pieces of it. */
const PIECE = 1 << 22;

interface Parts extends LocalParts {
  readonly disks: readonly OpenDisk[];
  media: OpenDrives['media'];
}

/** A machine in a worker of a page. */
export class BrowserMachine extends LocalMachine {
  declare protected readonly parts: Parts;
  readonly #log: Log;
  #screen: Screen | undefined;

  /** Fetches the files, loads the kernel. Throws UserError. */
  static async create(options: MachineRequest, modules: EngineModules, log: Log): Promise<BrowserMachine> {
    const configuration = configure(options);
    const engine = settleEngine(options, processorCount(configuration.cpus));
    const { append, ...files } = await readBootFiles(options);
    const drives = await openDrives(options, options.firmware === undefined ? 'virtio' : 'ide', log.warn);
    return BrowserMachine.#make(modules, options, log, { configuration: { ...configuration, append }, files: { ...files, guest: null }, engine, blank: false, ...drives });
  }

  /** A machine that goes on where one was stored, in a browser or by Node. Throws UserError. */
  static async restore(stored: string | Blob, options: RestoreRequest, modules: EngineModules, log: Log): Promise<BrowserMachine> {
    const file = await StateFile.open(stored);
    const { configuration, files, drives: expected } = readConfiguration({
      machine: file.machine, tell: (work) => file.tell(work), checkDrives: (described) => checkStoredDrives(described, options),
      // The variables go with the machine; the file is another host's.
      reopenNvram: () => ({}),
    }, configureExecution(options));
    const engine = settleEngine(options, processorCount(configuration.cpus));
    const drives = await openDrives(expected.request, 'virtio', log.warn);
    const made = await BrowserMachine.#make(modules, options, log, { configuration, files, engine, blank: true, ...drives });
    try {
      expected.check(drives);
      file.tell(() => made.fill(file.machine));
      return made;
    } catch (error) {
      await made.stop();
      throw error;
    }
  }

  static async #make(modules: EngineModules, options: ExecutionOptions, log: Log, parts: Omit<Parts, 'timeout' | 'nics' | 'shares' | 'vsock'>): Promise<BrowserMachine> {
    try {
      const timeout = options.timeout === undefined ? undefined : checkTimeout(options.timeout);
      // Cards of a machine that Node has stored: there is nothing here to plug them into.
      const nics = (parts.configuration.nics ?? []).map(({ model, mac }) => ({ model, mac: parseMac(mac), port: undefined }));
      if ((parts.configuration.shares ?? []).length > 0) throw new UserError('the machine shares folders of the host where it was stored, which a page has not; go on with it there');
      if (parts.configuration.vsock !== undefined) throw new UserError('the machine has sockets to programs of the host where it was stored, which a page has not; go on with it there');
      return new BrowserMachine(modules, { profile: options.profile ?? false, log }, { ...parts, timeout, nics, shares: [] });
    } catch (error) {
      await Promise.all(parts.drives.map(({ block }) => block?.close()));
      const { memoryBytes } = parts.configuration;
      if (error instanceof RangeError && error.message.includes('WebAssembly.Memory')) throw new UserError(`the browser has no room for a guest of ${memoryBytes >> 20} MiB (${error.message}); give less memory, or close other tabs`);
      throw error;
    }
  }

  private constructor(modules: EngineModules, options: { readonly profile: boolean; readonly log: Log }, parts: Parts) {
    const clock = new BrowserClock();
    const several = processorCount(parts.configuration.cpus) > 1;
    super({
      modules, clock, wallClock: browserWallClock, entropy: browserEntropy,
      scheduler: new BrowserScheduler(() => {
        // Processors in threads learn how far their clocks are from the machine's whenever they go on.
        if (clock.catchUp() && several) void this.atRest(() => Promise.resolve());
      }),
      // Their clocks know nothing of sleep.
      ...(crossOriginIsolated ? { vcpuThreads: new BrowserVcpuThreads(new BrowserClock(clock.origin)) } : {}),
      compiler: new WorkerCompiler(modules.handlers, startTranslationThread), version: POLYVISOR_VERSION,
    }, options, parts);
    this.#log = options.log;
  }

  protected override async closeFiles(): Promise<void> {
    this.#screen?.close();
    this.#screen = undefined;
    await super.closeFiles();
  }

  /** Paints what the display shows on a canvas, in place of an earlier one. Throws UserError on a machine without display. */
  show(canvas: OffscreenCanvas): void {
    const display = this.display();
    this.#screen?.close();
    this.#screen = new Screen(display, canvas);
  }

  /** Puts another image into the CD-ROM or the floppy drive; without one the drive is empty then. Throws UserError. */
  async changeMedium(kind: MediumKind, source?: Source, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const block: BlockPort | undefined = source === undefined ? undefined : await openMedium(kind, source, this.#log.warn);
    await this.exchangeMedium(kind, block, force);
    this.parts.media = { ...this.parts.media, [kind]: source === undefined ? null : nameOf(source, kind) };
  }

  /** Stores the machine in the browser's storage under a name; returns its length in bytes. The machine stands still meanwhile. Throws UserError. */
  saveFile(name: string, { compress = false }: SaveOptions = {}): Promise<number> {
    checkName(name);
    return this.store(() => describeDrives(this.parts), (parts) => writeStateFile(name, parts, compress));
  }
  /** The same as a file to download. */
  saveBlob({ compress = true }: SaveOptions = {}): Promise<Blob> {
    return this.store(() => describeDrives(this.parts), (parts) => writeStateBlob(parts, compress));
  }

  /** A hard disk as it is now, as a raw image. The machine stands still meanwhile. Throws UserError. */
  exportDisk(index = 0): Promise<Blob> {
    const disk = this.parts.disks[index];
    if (disk === undefined) return Promise.reject(new UserError(`the machine has no disk ${index}; it has ${this.parts.disks.length}, counted from 0`));
    return this.atRest(async () => {
      await disk.block.flush();
      const pieces: Blob[] = [];
      for (let at = 0; at < disk.block.bytes; at += PIECE) {
        const piece = new Uint8Array(Math.min(PIECE, disk.block.bytes - at));
        await disk.block.read(at, piece);
        // Blobs may lie on the device's disk.
        pieces.push(new Blob([piece]));
      }
      return new Blob(pieces, { type: 'application/octet-stream' });
    });
  }

  override report(): BrowserReport {
    return { ...super.report(), host: { browser: navigator.userAgent, isolated: crossOriginIsolated } };
  }
}

function settleEngine({ engine = 'auto', overcommit, profile }: ExecutionOptions, cpus: number): EngineChoice {
  checkEngine(engine);
  if (engine === 'kvm' || engine === 'hybrid') throw new UserError(`engine "${engine}": there is no KVM in a browser; give translator, interpreter or auto`);
  if (cpus === 1) return { first: engine === 'auto' ? 'translator' : engine };
  if (!crossOriginIsolated) {
    throw new UserError(`${cpus} processors are asked for, but this page is not isolated, so that threads cannot share memory; serve it with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, or give 1`);
  }
  const here = navigator.hardwareConcurrency;
  if (cpus > here && overcommit !== true) throw new UserError(`${cpus} processors are asked for, but this device has ${here}, so that their threads would wait for each other; give ${here}, or overcommit to have it all the same`);
  if (profile === true) throw new UserError(`a profile is made of one processor, but ${cpus} are asked for; leave profile out, or give 1`);
  return { first: threadEngine(engine, cpus) };
}
