import { readFileSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import type { Log } from '../host/log.ts';
import { DEFAULT_MEMORY, checkCpus, checkEngine, checkMemory, parseMemorySize } from '../machine/configuration.ts';
import type { EngineName } from '../machine/configuration.ts';
import { chooseEngine } from '../machine/engines.ts';
import { Machine } from '../machine/machine.ts';
import type { MachineEnd } from '../machine/machine.ts';
import { Console } from './console.ts';
import { loadEngineModules } from './engine-modules.ts';
import { catalogue } from './guests/catalogue.ts';
import { NodeClock, NodeScheduler, nodeEntropy, nodeWallClock } from './ports.ts';

export interface VirtualMachineOptions {
  /** Name of a guest of the catalogue; gives kernel, initrd and command line unless they are given too. */
  readonly guest?: string;
  /** A file's path, or its contents. */
  readonly kernel?: string | Uint8Array;
  readonly initrd?: string | Uint8Array;
  /** Kernel command line. */
  readonly append?: string;
  /** Bytes, or a text like '512M' (the default). */
  readonly memory?: number | string;
  readonly cpus?: number;
  readonly engine?: EngineName;
  /** Stop instead of starting again when the guest resets. */
  readonly noReboot?: boolean;
  /** I/O port whose writes end the machine with a value. */
  readonly debugExitPort?: number;
  /** Called with progress lines while a guest is fetched. */
  readonly onProgress?: (line: string) => void;
  readonly log?: Log;
}

/** Figures about a run; see docs/report.md. */
export interface Report {
  readonly wallSeconds: number;
  readonly firstConsoleByteSeconds: number | null;
  readonly powerOffSeconds: number | null;
  readonly idleSeconds: number;
  readonly end: string | null;
  readonly engine: string;
  readonly instructions: Readonly<Record<string, number>>;
  readonly exits: Readonly<Record<string, number>>;
  readonly memory: { readonly guestBytes: number; readonly residentBytes: number };
}

const silent: Log = { warn: () => {}, tracing: () => false, trace: () => {} };

/**
 * A virtual machine in this process. `create` reads and checks everything and throws a UserError for a mistake in the
 * options; `start` runs the guest; `finished` settles when it has ended. Machines share nothing with one another.
 */
export class VirtualMachine {
  /** The guest's serial console. */
  readonly console: Console;
  readonly #machine: Machine;
  readonly #clock: NodeClock;
  readonly #engine: string;
  readonly #memoryBytes: number;
  readonly #listeners: { readonly [K in keyof Events]: ((...args: Events[K]) => void)[] } = { exit: [], reset: [] };
  #finished: Promise<MachineEnd> | undefined;
  #end: MachineEnd | undefined;
  #startedAt = 0;
  #endedAt: number | undefined;

  private constructor(parts: { machine: Machine; console: Console; clock: NodeClock; engine: string; memoryBytes: number }) {
    this.#machine = parts.machine;
    this.console = parts.console;
    this.#clock = parts.clock;
    this.#engine = parts.engine;
    this.#memoryBytes = parts.memoryBytes;
  }

  static async create(options: VirtualMachineOptions): Promise<VirtualMachine> {
    const memoryBytes = options.memory === undefined ? DEFAULT_MEMORY : typeof options.memory === 'number' ? checkMemory(options.memory) : parseMemorySize(options.memory);
    const cpus = checkCpus(options.cpus ?? 1);
    const engine = checkEngine(options.engine ?? 'auto');
    const files = await bootFiles(options);
    const clock = new NodeClock();
    const scheduler = new NodeScheduler();
    const chosen = chooseEngine(engine, loadEngineModules());
    const console = new Console(clock, (bytes) => machine.sendSerial(bytes));
    let vm: VirtualMachine | undefined;
    const machine: Machine = new Machine({
      configuration: {
        memoryBytes, cpus, engine, append: files.append, noReboot: options.noReboot ?? false,
        ...(options.debugExitPort === undefined ? {} : { debugExitPort: options.debugExitPort }),
      },
      boot: files,
      createVcpu: chosen.create,
      serial: { write: (bytes) => console.received(bytes) },
      clock,
      wallClock: nodeWallClock,
      scheduler,
      entropy: nodeEntropy,
      log: options.log ?? silent,
      onReset: () => vm?.emit('reset'),
    });
    vm = new VirtualMachine({ machine, console, clock, engine: chosen.name, memoryBytes });
    return vm;
  }

  /** Starts the guest. Calling it again has no effect. */
  start(): void {
    if (this.#finished !== undefined) return;
    this.#startedAt = this.#clock.now();
    this.#finished = this.#machine.run().then((end) => {
      this.#end = end;
      this.#endedAt = this.#clock.now();
      this.console.close();
      this.emit('exit', end);
      return end;
    });
  }

  /** Settles when the machine has ended, with the reason. Starts the machine if that has not been done. */
  get finished(): Promise<MachineEnd> {
    this.start();
    return this.#finished!;
  }

  /** Ends the machine at once, as pulling the plug; settles when it has ended. */
  async stop(): Promise<MachineEnd> {
    this.#machine.stop();
    return this.finished;
  }

  /** Asks the guest to shut down, as a press of the power button does. */
  pressPowerButton(): void {
    this.#machine.pressPowerButton();
  }

  on<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this {
    this.#listeners[event].push(listener);
    return this;
  }
  emit<K extends keyof Events>(event: K, ...args: Events[K]): void {
    for (const listener of this.#listeners[event]) listener(...args);
  }

  /** State of every component as plain data. Legal while the caller has the event loop, before or during a run. */
  save(): Plain {
    return this.#machine.save();
  }

  report(): Report {
    const seconds = (ns: number): number => Math.round(ns / 1e3) / 1e6;
    const now = this.#endedAt ?? this.#clock.now();
    const first = this.console.firstByteAt;
    return {
      wallSeconds: seconds(now - this.#startedAt),
      firstConsoleByteSeconds: first === undefined ? null : seconds(first - this.#startedAt),
      powerOffSeconds: this.#end?.kind === 'poweroff' ? seconds(now - this.#startedAt) : null,
      idleSeconds: seconds(this.#machine.idleNs),
      end: this.#end?.kind ?? null,
      engine: this.#engine,
      instructions: { [this.#engine]: this.#machine.instructions },
      exits: this.#machine.exitCounts(),
      memory: { guestBytes: this.#memoryBytes, residentBytes: process.memoryUsage().rss },
    };
  }
}

/** Events of a virtual machine. */
export interface Events {
  /** The machine has ended. */
  exit: [end: MachineEnd];
  /** The guest has reset and starts again. */
  reset: [];
}

interface Files {
  readonly kernel: Uint8Array;
  readonly kernelName: string;
  readonly initrd?: Uint8Array;
  readonly initrdName?: string;
  readonly append: string;
}

async function bootFiles(options: VirtualMachineOptions): Promise<Files> {
  let { kernel, initrd, append } = options;
  if (kernel === undefined) {
    const name = options.guest ?? 'linux';
    const entry = catalogue.find((candidate) => candidate.name === name);
    if (entry === undefined) throw new UserError(`guest "${name}" is unknown; give one of ${catalogue.map((candidate) => candidate.name).join(', ')}, or a kernel with --kernel`);
    const fetched = await entry.fetch(options.onProgress ?? (() => {}));
    kernel = fetched.kernel as string | Uint8Array;
    initrd ??= fetched.initrd;
    append ??= fetched.append;
  }
  return {
    kernel: readInput('kernel', kernel),
    kernelName: typeof kernel === 'string' ? kernel : 'kernel',
    ...(initrd === undefined ? {} : { initrd: readInput('initrd', initrd), initrdName: typeof initrd === 'string' ? initrd : 'initrd' }),
    append: append ?? 'console=ttyS0',
  };
}

function readInput(what: string, input: string | Uint8Array): Uint8Array {
  if (typeof input !== 'string') return input;
  try {
    return new Uint8Array(readFileSync(input));
  } catch (error) {
    const reason = { ENOENT: 'does not exist', EISDIR: 'is a folder', EACCES: 'may not be read' }[(error as NodeJS.ErrnoException).code ?? ''] ?? `cannot be read (${(error as Error).message})`;
    throw new UserError(`${what} ${input} ${reason}; give the path of a readable file`);
  }
}
