import { assertNever } from '../base/assert-never.ts';
import { StateError, UserError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import type { Profile } from '../engines/profile/profiler.ts';
import type { CallName, ConsoleName, Notice, Order, WireError } from '../host-browser/protocol.ts';
import type { BrowserReport, MachineRequest, RestoreRequest, SaveOptions, Shelf, Source } from '../host-browser/requests.ts';
import { Console } from '../library/console.ts';
import { Listeners } from '../library/events.ts';
import type { VirtualMachineEvents } from '../library/local-machine.ts';
import { Screenshot } from '../library/screenshot.ts';
import type { MediumKind } from '../machine/drives.ts';
import type { MachineEnd, Picture, TextCells } from '../machine/machine.ts';

interface PageOptions {
  /** Called with what is worth knowing while the machine runs, in one line. Default: the browser's console. */
  readonly onWarning?: (line: string) => void;
}
export type VirtualMachineOptions = MachineRequest & PageOptions;
/** What may be chosen when a stored machine goes on; its disks' images are to be given again, in their order. */
export type RestoreOptions = RestoreRequest & PageOptions;

function warnInConsole(line: string): void {
  console.warn(`polyvisor: ${line}`);
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * A virtual machine in a worker of this page. The same as in Node, but for one thing: what there is a value here is a
 * promise of it, as the machine is in another thread. `create` rejects with a UserError for a mistake in the options.
 */
export class VirtualMachine {
  /** The guest's serial console. */
  readonly console: Console;
  /** Its virtio console (`hvc0` in Linux), when the machine was made with one. */
  readonly virtioConsole: Console | undefined;
  /** Settles when the machine has ended, with the reason. Rejects when its worker has died. */
  readonly finished: Promise<MachineEnd>;
  /** Those that this machine may change to. */
  readonly engines: readonly string[];
  /** It has a display: `show`, `screenshot`. */
  readonly hasDisplay: boolean;
  /** It has a tablet, which `movePointer` moves. */
  readonly hasTablet: boolean;
  readonly #worker: Worker;
  readonly #warn: (line: string) => void;
  readonly #listeners = new Listeners<VirtualMachineEvents>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #settle: Waiting;
  #calls = 0;
  #engine: string;
  #ended = false;
  /** Why the worker is no more. */
  #dead: Error | undefined;

  /** Makes the worker, which fetches the files and loads the kernel. Rejects with a UserError. */
  static create({ onWarning = warnInConsole, ...options }: VirtualMachineOptions): Promise<VirtualMachine> {
    return VirtualMachine.#make({ kind: 'create', options }, onWarning);
  }

  /**
   * A machine that goes on where one was stored, once it is started: under that name with `saveFile`, or in a file, by a
   * browser or by Node. Its disks must be as they were then. Rejects with a UserError.
   */
  static restore(stored: string | Blob, { onWarning = warnInConsole, ...options }: RestoreOptions = {}): Promise<VirtualMachine> {
    return VirtualMachine.#make({ kind: 'restore', stored, options }, onWarning);
  }

  /** Names of what this page keeps in the browser's storage: changes of disks, or stored machines. Rejects with a UserError. */
  static kept(shelf: Shelf): Promise<readonly string[]> {
    return askKept({ kind: 'kept', shelf });
  }
  /** Removes something that is kept; no machine may use it. Rejects with a UserError. */
  static async forget(shelf: Shelf, name: string): Promise<void> {
    await askKept({ kind: 'kept', shelf, remove: name });
  }

  static async #make(order: Order, warn: (line: string) => void): Promise<VirtualMachine> {
    const worker = startWorker();
    try {
      const made = await firstNotice(worker, order, 'made', warn);
      return new VirtualMachine(worker, made, warn);
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  private constructor(worker: Worker, made: Notice & { readonly kind: 'made' }, warn: (line: string) => void) {
    this.#worker = worker;
    this.#warn = warn;
    this.#engine = made.engine;
    this.engines = made.engines;
    this.hasDisplay = made.display;
    this.hasTablet = made.tablet;
    const began = performance.now();
    const clock = { now: () => (performance.now() - began) * 1e6 };
    const open = (name: ConsoleName): Console => new Console(clock, { send: (bytes) => this.#order({ kind: 'type', console: name, bytes }), unread: () => 0 });
    this.console = open('serial');
    this.virtioConsole = made.virtioConsole ? open('virtio') : undefined;
    let settle: Waiting | undefined;
    this.finished = new Promise((resolve, reject) => (settle = { resolve: resolve as (value: unknown) => void, reject }));
    this.#settle = settle!;
    // Who does not wait for the end is not to be told of it as an error.
    this.finished.catch(() => {});
    worker.onmessage = ({ data }: MessageEvent<Notice>) => this.#hear(data);
    worker.onerror = (event) => {
      event.preventDefault();
      const why = event.message ?? 'the browser says no reason';
      this.#died(new Error(`the machine's worker has died (${why}); what the guest has flushed to its kept disks is there: start the machine again`));
    };
  }

  #hear(notice: Notice): void {
    switch (notice.kind) {
      case 'console':
        this.#show(notice.console, notice.bytes);
        break;
      case 'answer':
        this.#answered(notice.id)?.resolve(notice.value);
        break;
      case 'failure':
        this.#answered(notice.id)?.reject(errorOf(notice.error));
        break;
      case 'engine':
        this.#engine = notice.engine;
        break;
      case 'event':
        this.#listeners.emit(notice.name, ...(notice.arguments as never));
        if (notice.name === 'exit') this.#finish(notice.arguments[0] as MachineEnd);
        break;
      case 'warning':
        this.#warn(notice.text);
        break;
      case 'made': case 'refused': case 'kept':
        break;
      default:
        assertNever(notice);
    }
  }

  #show(name: ConsoleName, bytes: Uint8Array): void {
    const console = name === 'serial' ? this.console : this.virtioConsole;
    console?.received(bytes);
    if (name === 'serial') this.#listeners.emit('console', bytes);
    const seen = (): void => this.#order({ kind: 'seen', console: name, bytes: bytes.length });
    const behind = console?.ready();
    if (behind === undefined) seen();
    else void behind.then(seen);
  }

  #answered(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #finish(end: MachineEnd): void {
    this.#ended = true;
    this.console.close();
    this.virtioConsole?.close();
    this.#settle.resolve(end);
  }

  #died(error: Error): void {
    if (this.#dead !== undefined) return;
    this.#dead = error;
    this.#worker.terminate();
    this.console.close();
    this.virtioConsole?.close();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    // Has no effect where it has ended.
    this.#settle.reject(error);
  }

  #order(order: Order): void {
    this.#worker.postMessage(order);
  }

  #call(name: CallName, values: readonly unknown[] = [], transfer: Transferable[] = []): Promise<unknown> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    return new Promise((resolve, reject) => {
      const id = ++this.#calls;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ kind: 'call', id, name, arguments: values } satisfies Order, transfer);
    });
  }

  /** Starts the guest; returns `finished`. Calling it again has no effect. */
  start(): Promise<MachineEnd> {
    this.#call('start').catch(() => {});
    return this.finished;
  }
  /** Ends the machine at once, as pulling the plug does; settles when it has ended. Legal before `start` too. */
  stop(): Promise<MachineEnd> {
    if (!this.#ended) this.#call('stop').catch(() => {});
    return this.finished;
  }
  /** Ends the worker, and gives its memory back; a machine that has not ended dies with it. */
  dispose(): void {
    this.#died(new UserError('the machine was let go'));
  }

  /** Lets the guest and its clock stand still until `resume`; settles when they do. Rejects with a UserError before a run and after it. */
  async pause(): Promise<void> {
    await this.#call('pause');
  }
  /** Goes on after `pause`; else nothing happens. */
  async resume(): Promise<void> {
    await this.#call('resume');
  }
  /** Asks the guest to shut down, as a press of the power button does. */
  async pressPowerButton(): Promise<void> {
    await this.#call('pressPowerButton');
  }
  /** The reset button: the machine starts again as when it was switched on. */
  async pressReset(): Promise<void> {
    await this.#call('pressReset');
  }
  /** Types on the keyboard: a text, or a list of keys by name (`Escape`, `F12`, `Control+Alt+Delete`). Rejects with a UserError. */
  async sendKeys(keys: string | readonly string[]): Promise<void> {
    await this.#call('sendKeys', [keys]);
  }
  /** A key of the keyboard goes down or up, by its place (KeyboardEvent.code: `KeyA`). False: there is no such key. */
  moveKey(place: string, down: boolean): Promise<boolean> {
    return this.#call('moveKey', [place, down]) as Promise<boolean>;
  }
  /** Moves the PS/2 mouse: counts to the right and up, buttons (bit 0 left, 1 right, 2 middle), counts of the wheel upwards. */
  async moveMouse(dx: number, dy: number, buttons: number, wheel = 0): Promise<void> {
    await this.#call('moveMouse', [dx, dy, buttons, wheel]);
  }
  /** Puts the tablet's pointer at a place of the display, as fractions of its width and height. Rejects with a UserError on a machine without one. */
  async movePointer(x: number, y: number, buttons: number, wheel = 0): Promise<void> {
    await this.#call('movePointer', [x, y, buttons, wheel]);
  }
  /** A break on the serial line: Linux takes the next key as a SysRq command. */
  async sendBreak(): Promise<void> {
    await this.#call('sendBreak');
  }
  /** Paints what the display shows on a canvas, which nobody else has drawn on; once for each canvas. Rejects with a UserError. */
  async show(canvas: HTMLCanvasElement): Promise<void> {
    const surface = canvas.transferControlToOffscreen();
    await this.#call('show', [surface], [surface]);
  }
  /** What the display shows. Rejects with a UserError on a machine without one. */
  async screenshot(): Promise<Screenshot> {
    const { picture, cells } = (await this.#call('screen')) as { readonly picture: Picture; readonly cells: TextCells | undefined };
    return new Screenshot({ picture: () => picture, text: () => cells });
  }
  /** The characters on the display, in text modes. */
  async textScreen(): Promise<TextCells | undefined> {
    return this.hasDisplay ? (await this.screenshot()).cells : undefined;
  }
  /**
   * Puts an image into the CD-ROM or the floppy drive, in place of what is in it; without `source` the drive is empty then.
   * `force` pulls out what the guest has locked. Rejects with a UserError.
   */
  async changeMedium(kind: MediumKind, source?: Source, options: { readonly force?: boolean } = {}): Promise<void> {
    await this.#call('changeMedium', [kind, source, options]);
  }

  /** Returns what removes the listener again. */
  on<K extends keyof VirtualMachineEvents>(event: K, listener: (...args: VirtualMachineEvents[K]) => void): () => void {
    return this.#listeners.add(event, listener);
  }

  /** The engine that executes the guest now. */
  get engine(): string {
    return this.#engine;
  }
  /** Goes on with another engine; the guest does not notice. Rejects with a UserError. */
  async switchEngine(name: string): Promise<void> {
    await this.#call('switchEngine', [name]);
  }

  /** State of every component as plain data, RAM included. Legal before and during a run. */
  save(): Promise<Plain> {
    return this.#call('save') as Promise<Plain>;
  }
  /** Takes over the state of a machine made with the same options. Rejects with a StateError for what does not fit. */
  async load(state: Plain): Promise<void> {
    await this.#call('load', [state]);
  }
  /**
   * Stores the machine in the browser's storage under a name, for `restore`; settles with its length in bytes. The machine stands
   * still meanwhile, and goes on. Rejects with a UserError, for instance where the browser has no room.
   */
  saveFile(name: string, options: SaveOptions = {}): Promise<number> {
    return this.#call('saveFile', [name, options]) as Promise<number>;
  }
  /** The same as a file to download, compressed unless told otherwise: Node's `restore` takes it too. */
  saveBlob(options: SaveOptions = {}): Promise<Blob> {
    return this.#call('saveBlob', [options]) as Promise<Blob>;
  }
  /** A hard disk as it is now, with what the guest has written, as a raw image. */
  exportDisk(index = 0): Promise<Blob> {
    return this.#call('exportDisk', [index]) as Promise<Blob>;
  }
  report(): Promise<BrowserReport> {
    return this.#call('report') as Promise<BrowserReport>;
  }
  /** What the guest's time went to since it started. Undefined when no profile was asked for. */
  profile(): Promise<Profile | undefined> {
    return this.#call('profile') as Promise<Profile | undefined>;
  }
}

function startWorker(): Worker {
  return new Worker(new URL('./machine-worker.js', import.meta.url), { type: 'module', name: 'polyvisor' });
}

/** Gives a new worker its first order; settles with what it answers. Rejects with a UserError when it refuses. */
function firstNotice<K extends Notice['kind']>(worker: Worker, order: Order, kind: K, warn: (line: string) => void): Promise<Notice & { readonly kind: K }> {
  return new Promise((resolve, reject) => {
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new UserError(`the machine's worker cannot be started (${event.message ?? 'its script does not load'}); serve the whole folder of the browser's bundle from this page's origin`));
    };
    worker.onmessage = ({ data }: MessageEvent<Notice>) => {
      if (data.kind === kind) resolve(data as Notice & { readonly kind: K });
      else if (data.kind === 'refused') reject(errorOf(data.error));
      else if (data.kind === 'warning') warn(data.text);
    };
    worker.postMessage(order);
  });
}

async function askKept(order: Order): Promise<readonly string[]> {
  const worker = startWorker();
  try {
    return (await firstNotice(worker, order, 'kept', warnInConsole)).names;
  } finally {
    worker.terminate();
  }
}

function errorOf({ name, message }: WireError): Error {
  return name === 'UserError' ? new UserError(message) : name === 'StateError' ? new StateError(message) : new Error(message);
}
