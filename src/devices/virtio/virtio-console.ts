import { StateError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import type { ByteSink } from '../../host/bytes.ts';
import { StateFields } from '../state-fields.ts';
import { ConsolePort } from './console-port.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

// Console device (virtio 1.2, section 5.3).

const QUEUE_SIZE = 64;
const MULTIPORT = 2n;
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;
const CONTROL_BYTES = 8;

/** Events of the control queues (5.3.6.2). */
const DEVICE_READY = 0;
const DEVICE_ADD = 1;
const PORT_READY = 3;
const CONSOLE_PORT = 4;
const PORT_OPEN = 6;
const PORT_NAME = 7;
/** Messages that wait for the driver's buffers; while there are so many it is not listened to. */
const MOST_MESSAGES = 64;
const LONGEST_MESSAGE = CONTROL_BYTES + 64;

export interface VirtioConsoleOptions {
  /** Where the console's bytes go; missing: there are named ports only. */
  readonly console?: ByteSink;
  /** Further ports by name, which Linux has under /dev/virtio-ports. ASCII. */
  readonly ports?: readonly { readonly name: string; readonly sink: ByteSink }[];
}

export class VirtioConsole implements VirtioDevice {
  readonly name = 'virtio-console';
  readonly type = 3;
  readonly classCode = 0x078000;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  /** Size of the terminal (unknown), number of ports. */
  readonly config = new Uint8Array(12);
  /** The console is port 0, others come behind it, be there one or not: port 0 is what drivers use that know of one only. */
  readonly #ports: readonly ConsolePort[];
  readonly #named: boolean;
  #queues: readonly (Virtqueue | undefined)[] = [];
  #multiport = false;
  #messages: Uint8Array[] = [];

  constructor({ console, ports = [] }: VirtioConsoleOptions) {
    this.#named = ports.length > 0;
    this.#ports = [...(console === undefined ? [] : [new ConsolePort(0, undefined, console)]), ...ports.map(({ name, sink }, i) => new ConsolePort(i + 1, name, sink))];
    this.features = this.#named ? MULTIPORT : 0n;
    this.queueSizes = new Array<number>(this.#named ? 4 + 2 * ports.length : 2).fill(QUEUE_SIZE);
    if (this.#named) new DataView(this.config.buffer).setUint32(4, ports.length + 1, true);
  }

  /** A port by its name; undefined: the console. */
  #find(name: string | undefined): ConsolePort | undefined {
    return this.#ports.find((port) => port.name === name);
  }
  /** Bytes typed; they wait until the guest has room for them. */
  receive(bytes: Uint8Array, name?: string): void {
    this.#find(name)?.type(bytes);
  }
  unread(name?: string): number {
    return this.#find(name)?.unread ?? 0;
  }
  guestOpen(name: string): boolean {
    return this.#find(name)?.guestOpen ?? false;
  }
  /** Somebody on the host has opened a port, or closed it. */
  setHostOpen(name: string, open: boolean): void {
    const port = this.#find(name);
    if (port === undefined) return;
    port.hostOpen = open;
    this.#tell(port);
  }

  writeConfig(): void {} // nothing in it is the driver's to write

  start(driver: DriverSide): void {
    this.#queues = driver.queues;
    this.#multiport = (driver.features & MULTIPORT) !== 0n;
    if (driver.begins) this.#messages = [];
    for (const port of this.#ports) {
      // 5.3.2: queues 0 and 1, then those of control, then two for each further port.
      const first = port.id === 0 ? 0 : 2 * port.id + 2;
      const used = port.id === 0 || this.#multiport;
      port.attach(used ? driver.queues[first] : undefined, used ? driver.queues[first + 1] : undefined);
      if (driver.begins) port.begin(!this.#multiport);
      else this.#tell(port);
    }
  }
  stop(): void {
    this.#queues = [];
    for (const port of this.#ports) port.attach(undefined, undefined);
  }

  notified(index: number): void {
    if (this.#multiport && index === CONTROL_RECEIVE) this.#sendMessages();
    else if (this.#multiport && index === CONTROL_TRANSMIT) this.#control();
    else {
      const port = this.#ports.find(({ id }) => id === Math.max(0, (index >> 1) - 1));
      if (index % 2 === 0) port?.deliver();
      else port?.transmit();
    }
  }

  #control(): void {
    const queue = this.#queues[CONTROL_TRANSMIT];
    while (queue !== undefined && this.#messages.length < MOST_MESSAGES) {
      const chain = queue.pop();
      if (chain === undefined) return;
      const bytes = new Uint8Array(CONTROL_BYTES);
      if (chain.readable.read(0, bytes) < CONTROL_BYTES) return queue.fail('a control message is too short');
      queue.push(chain, 0);
      const view = new DataView(bytes.buffer);
      this.#hear(view.getUint32(0, true), view.getUint16(4, true), view.getUint16(6, true));
    }
  }

  #hear(id: number, event: number, value: number): void {
    const port = this.#ports.find((one) => one.id === id);
    switch (event) {
      case DEVICE_READY:
        if (value === 1) for (const { id: added } of this.#ports) this.#send(added, DEVICE_ADD, 1);
        return;
      case PORT_READY:
        if (port === undefined || value !== 1) return;
        if (port.name === undefined) this.#send(id, CONSOLE_PORT, 1);
        else this.#send(id, PORT_NAME, 1, port.name);
        port.ready = true;
        port.told = false;
        this.#tell(port);
        return;
      case PORT_OPEN:
        if (port === undefined) return;
        port.guestOpen = value !== 0;
        port.deliver();
        return;
    }
  }

  /** Whether somebody on the host is there. */
  #tell(port: ConsolePort): void {
    if (!port.ready || this.#queues.length === 0 || port.told === port.hostOpen) return;
    port.told = port.hostOpen;
    this.#send(port.id, PORT_OPEN, port.hostOpen ? 1 : 0);
  }

  #send(id: number, event: number, value: number, text = ''): void {
    const message = new Uint8Array(CONTROL_BYTES + text.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, id, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    for (let i = 0; i < text.length; i++) message[CONTROL_BYTES + i] = text.charCodeAt(i);
    this.#messages.push(message);
    this.#sendMessages();
  }
  #sendMessages(): void {
    const queue = this.#queues[CONTROL_RECEIVE];
    while (this.#messages.length > 0) {
      const chain = queue?.pop();
      if (chain === undefined) return;
      queue!.push(chain, chain.writable.write(0, this.#messages.shift()!));
    }
    this.#control();
  }

  save(): Plain {
    const [console] = this.#ports;
    if (!this.#named) return { waiting: console!.save()['waiting']! };
    return { ports: this.#ports.map((port) => port.save()), messages: this.#messages };
  }
  load(state: Plain): void {
    const fields = new StateFields(this.name, state, 1, 1);
    if (!this.#named) {
      this.#ports[0]!.load(new StateFields(this.name, { waiting: fields.nested('waiting'), guestOpen: true, ready: false, told: false }, 1, 1));
      return;
    }
    const ports = fields.list('ports', this.#ports.length);
    if (ports.length !== this.#ports.length) throw new StateError(`${this.name}: the stored device has other ports`);
    const messages = fields.list('messages', 4 * MOST_MESSAGES + this.#ports.length).map((bytes) => new StateFields(this.name, { bytes }, 1, 1).bytes('bytes', LONGEST_MESSAGE));
    this.#ports.forEach((port, i) => port.load(new StateFields(this.name, ports[i]!, 1, 1)));
    this.#messages = messages;
  }
}
