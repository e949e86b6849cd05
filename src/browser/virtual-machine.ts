import { assertNever } from '../base/assert-never.ts';
import { StateError, UserError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import type { Profile } from '../engines/profile/profiler.ts';
import type { BrowserReport } from '../host-browser/browser-machine.ts';
import type { CallName, ConsoleName, MachineRequest, Notice, Order, WireError } from '../host-browser/protocol.ts';
import { Console } from '../library/console.ts';
import { Listeners } from '../library/events.ts';
import type { VirtualMachineEvents } from '../library/local-machine.ts';
import type { MachineEnd, TextCells } from '../machine/machine.ts';

export interface VirtualMachineOptions extends MachineRequest {
  /** Called with what is worth knowing while the machine runs, in one line. */
  readonly onWarning?: (line: string) => void;
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
  readonly #worker: Worker;
  readonly #warn: (line: string) => void;
  readonly #listeners = new Listeners<VirtualMachineEvents>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #settle: Waiting;
  #calls = 0;
  #engine: string;
  #ended = false;

  /** Makes the worker, which fetches the files and loads the kernel. Rejects with a UserError. */
  static async create(options: VirtualMachineOptions): Promise<VirtualMachine> {
    const { onWarning = (line) => console.warn(line), ...request } = options;
    return VirtualMachine.#make({ kind: 'create', options: request }, onWarning);
  }

  static async #make(order: Order, warn: (line: string) => void): Promise<VirtualMachine> {
    const worker = new Worker(new URL('./machine-worker.js', import.meta.url), { type: 'module', name: 'polyvisor' });
    try {
      const made = await new Promise<Notice & { readonly kind: 'made' }>((resolve, reject) => {
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new UserError(`the machine's worker cannot be started (${event.message ?? 'its script does not load'}); serve the whole folder of the browser's bundle from this page's origin`));
        };
        worker.onmessage = ({ data }: MessageEvent<Notice>) => {
          if (data.kind === 'made') resolve(data);
          else if (data.kind === 'refused') reject(errorOf(data.error));
          else if (data.kind === 'warning') warn(data.text);
        };
        worker.postMessage(order);
      });
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
      this.#died(event.message ?? 'for no known reason');
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
      case 'made': case 'refused':
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

  #died(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#worker.terminate();
    const error = new Error(`the machine's worker has died (${why}); what the guest had flushed to its disks is kept: start the machine again`);
    this.console.close();
    this.virtioConsole?.close();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#settle.reject(error);
  }

  #order(order: Order): void {
    this.#worker.postMessage(order);
  }

  #call(name: CallName, ...values: readonly unknown[]): Promise<unknown> {
    if (this.#ended && name !== 'report') return Promise.reject(new UserError('the machine has ended'));
    return new Promise((resolve, reject) => {
      const id = ++this.#calls;
      this.#waiting.set(id, { resolve, reject });
      this.#order({ kind: 'call', id, name, arguments: values });
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
  /** Lets the worker go, with all that it holds; the machine, if it has not ended, dies with it. */
  dispose(): void {
    this.#died('it was let go');
    this.#worker.terminate();
  }

  /** Asks the guest to shut down, as a press of the power button does. */
  async pressPowerButton(): Promise<void> {
    await this.#call('pressPowerButton');
  }
  /** Types on the PS/2 keyboard: a text, or a list of keys by name (`Escape`, `F12`, `Control+Alt+Delete`). Rejects with a UserError. */
  async sendKeys(keys: string | readonly string[]): Promise<void> {
    await this.#call('sendKeys', keys);
  }
  /** A break on the serial line: Linux takes the next key as a SysRq command. */
  async sendBreak(): Promise<void> {
    await this.#call('sendBreak');
  }
  /** The characters on the display, in text modes. */
  textScreen(): Promise<TextCells | undefined> {
    return this.#call('textScreen') as Promise<TextCells | undefined>;
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
    await this.#call('switchEngine', name);
  }

  /** State of every component as plain data, RAM included. Legal before and during a run. */
  save(): Promise<Plain> {
    return this.#call('save') as Promise<Plain>;
  }
  /** Takes over the state of a machine made with the same options. Rejects with a StateError for what does not fit. */
  async load(state: Plain): Promise<void> {
    await this.#call('load', state);
  }
  report(): Promise<BrowserReport> {
    return this.#call('report') as Promise<BrowserReport>;
  }
  /** What the guest's time went to since it started. Undefined when no profile was asked for. */
  profile(): Promise<Profile | undefined> {
    return this.#call('profile') as Promise<Profile | undefined>;
  }
}

function errorOf({ name, message }: WireError): Error {
  return name === 'UserError' ? new UserError(message) : name === 'StateError' ? new StateError(message) : new Error(message);
}
