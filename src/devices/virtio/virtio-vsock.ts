import type { Plain } from '../../base/plain.ts';
import type { ConnectionWish, SocketPort } from '../../host/sockets.ts';
import { StateFields } from '../state-fields.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';
import { ROOM, VsockConnection } from './vsock-connection.ts';
import type { Outgoing } from './vsock-connection.ts';
import { OPERATION, STREAM, VSOCK_HEADER_BYTES, readVsockHeader, writeVsockHeader } from './vsock-packet.ts';
import type { VsockHeader } from './vsock-packet.ts';

// Socket device (virtio 1.2, section 5.10), with streams.

const FEATURE_STREAM = 1n;
const QUEUE_SIZE = 128;
const RECEIVE = 0;
const TRANSMIT = 1;
const EVENT = 2;
const HOST_CID = 2n;
const MOST_CONNECTIONS = 1024;
/** Answers that wait for the driver's buffers; while there are so many it is not listened to. */
const MOST_ANSWERS = 256;
/** Ports that the host is said to have, of connections that its programs ask for. */
const FIRST_HOST_PORT = 2 ** 30;
const HOST_PORTS = 2 ** 30;
const TRANSPORT_RESET = 0;

export interface VirtioVsockOptions {
  /** The guest's address, 3 or more. */
  readonly cid: number;
  readonly sockets: SocketPort;
}

export class VirtioVsock implements VirtioDevice {
  readonly name = 'virtio-vsock';
  readonly type = 19;
  readonly classCode = 0x028000;
  readonly features = FEATURE_STREAM;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE];
  readonly config = new Uint8Array(8);
  readonly #cid: bigint;
  readonly #sockets: SocketPort;
  /** Those heard of last come last, so that each has its turn. */
  readonly #connections = new Map<string, VsockConnection>();
  readonly #wishes = new Map<VsockConnection, ConnectionWish>();
  #answers: VsockHeader[] = [];
  #queues: readonly (Virtqueue | undefined)[] = [];
  #lastPort = 0;
  /** Connections that the host is asked for: those that the guest has given up meanwhile are still on their way. */
  #asked = 0;
  /** The guest must learn that all its connections are gone. */
  #resetDue = false;
  /** There were too many answers to hear more. */
  #deaf = false;

  constructor({ cid, sockets }: VirtioVsockOptions) {
    this.#cid = BigInt(cid);
    this.#sockets = sockets;
    new DataView(this.config.buffer).setBigUint64(0, this.#cid, true);
    sockets.listen((wish) => this.#wished(wish));
  }

  writeConfig(): void {} // nothing in it is the driver's to write

  start(driver: DriverSide): void {
    this.#queues = driver.queues;
    if (driver.begins) this.#resetDue = false;
    // Connections ended with the machine that was stored. Later, for the state is just being taken up.
    else if (this.#resetDue) void Promise.resolve().then(() => this.#sendReset());
  }
  stop(): void {
    this.#resetDue ||= this.#connections.size > 0;
    this.#queues = [];
    this.#answers = [];
    this.#deaf = false;
    for (const connection of this.#connections.values()) connection.destroy();
    this.#connections.clear();
    for (const { socket } of this.#wishes.values()) socket.destroy();
    this.#wishes.clear();
  }

  notified(index: number): void {
    if (index === RECEIVE) this.#pump();
    else if (index === TRANSMIT) this.#hear();
    else if (index === EVENT) this.#sendReset();
  }

  #sendReset(): void {
    const queue = this.#queues[EVENT];
    const chain = this.#resetDue ? queue?.pop() : undefined;
    if (chain === undefined) return;
    this.#resetDue = false;
    queue!.push(chain, chain.writable.write(0, Uint8Array.of(TRANSPORT_RESET, 0, 0, 0)));
  }

  /** A program on the host wants to connect to the guest. */
  #wished(wish: ConnectionWish): void {
    if (this.#queues.length === 0 || this.#connections.size >= MOST_CONNECTIONS) {
      wish.socket.destroy();
      return;
    }
    let hostPort: number;
    do hostPort = FIRST_HOST_PORT + (this.#lastPort++ % HOST_PORTS);
    while (this.#connections.has(keyOf(hostPort, wish.port)));
    const connection = this.#add(hostPort, wish.port);
    this.#wishes.set(connection, wish);
    this.#answers.push(this.#header(connection, { operation: OPERATION.request }));
    this.#pump();
  }

  #add(hostPort: number, guestPort: number): VsockConnection {
    const connection = new VsockConnection(hostPort, guestPort, () => this.#pump());
    this.#connections.set(keyOf(hostPort, guestPort), connection);
    return connection;
  }
  #forget(connection: VsockConnection): void {
    this.#connections.delete(keyOf(connection.hostPort, connection.guestPort));
    this.#wishes.get(connection)?.socket.destroy();
    this.#wishes.delete(connection);
  }

  /** Takes packets of the guest. */
  #hear(): void {
    const queue = this.#queues[TRANSMIT];
    for (;;) {
      this.#deaf = this.#answers.length >= MOST_ANSWERS;
      const chain = this.#deaf ? undefined : queue?.pop();
      if (chain === undefined) break;
      const header = new Uint8Array(VSOCK_HEADER_BYTES);
      if (chain.readable.read(0, header) < VSOCK_HEADER_BYTES) return queue!.fail('a packet has no header');
      this.#packet(readVsockHeader(header), chain);
      queue!.push(chain, 0);
    }
    this.#pump();
  }

  #packet(packet: VsockHeader, chain: DescriptorChain): void {
    const { sourcePort, targetPort, operation } = packet;
    const connection = this.#connections.get(keyOf(targetPort, sourcePort));
    // Nobody else is to be reached: what is for others, or from others, gets no answer.
    if (packet.sourceCid !== this.#cid || packet.targetCid !== HOST_CID) return;
    if (packet.type !== STREAM) return this.#refuse(packet);
    connection?.heard(packet);
    if (operation === OPERATION.request) return connection === undefined ? this.#connect(packet) : this.#reset(connection, packet);
    if (connection === undefined) return operation === OPERATION.reset ? undefined : this.#refuse(packet);
    if (operation === OPERATION.reset) return this.#reset(connection);
    const wish = this.#wishes.get(connection);
    if (operation === OPERATION.response && wish !== undefined) {
      this.#wishes.delete(connection);
      wish.accepted(connection.hostPort);
      connection.attach(wish.socket);
      connection.established();
      return;
    }
    if (!connection.open) return this.#reset(connection, packet);
    switch (operation) {
      case OPERATION.data: {
        if (packet.length > ROOM || packet.length !== chain.readable.bytes - VSOCK_HEADER_BYTES) return this.#reset(connection, packet);
        const bytes = new Uint8Array(packet.length);
        chain.readable.read(VSOCK_HEADER_BYTES, bytes);
        if (!connection.receive(bytes)) this.#reset(connection, packet);
        return;
      }
      case OPERATION.shutdown:
        if (!connection.shutdown(packet.flags)) return;
        connection.finish();
        this.#forget(connection);
        this.#refuse(packet); // 5.10.6.6.1: that is how a clean end is answered
        return;
      case OPERATION.creditRequest: return connection.askedForCredit();
      case OPERATION.creditUpdate: return;
      default: return this.#reset(connection, packet);
    }
  }

  /** A program of the guest connects to the host. */
  #connect(packet: VsockHeader): void {
    if (Math.max(this.#connections.size, this.#asked) >= MOST_CONNECTIONS) return this.#refuse(packet);
    const connection = this.#add(packet.targetPort, packet.sourcePort);
    connection.heard(packet);
    this.#asked++;
    void this.#sockets.connect(packet.targetPort).then((socket) => {
      this.#asked--;
      // The guest may have given up, or begun anew.
      if (this.#connections.get(keyOf(packet.targetPort, packet.sourcePort)) !== connection) {
        socket?.destroy();
        return;
      }
      if (socket === undefined) this.#reset(connection, packet);
      else {
        connection.attach(socket);
        this.#answers.push(this.#header(connection, { operation: OPERATION.response }));
        connection.established();
      }
      this.#pump();
    });
  }

  /** Ends a connection at once; with a packet, says so to the guest. */
  #reset(connection: VsockConnection, packet?: VsockHeader): void {
    connection.destroy();
    this.#forget(connection);
    if (packet !== undefined) this.#refuse(packet);
  }
  #refuse({ sourcePort, targetPort, type }: VsockHeader): void {
    this.#answers.push({
      sourceCid: HOST_CID, targetCid: this.#cid, sourcePort: targetPort, targetPort: sourcePort, length: 0, type, operation: OPERATION.reset, flags: 0, room: 0, forwarded: 0,
    });
  }

  #header(connection: VsockConnection, { operation, flags = 0, bytes }: Outgoing): VsockHeader {
    return {
      sourceCid: HOST_CID, targetCid: this.#cid, sourcePort: connection.hostPort, targetPort: connection.guestPort, length: bytes?.length ?? 0, type: STREAM,
      operation, flags, ...connection.credit,
    };
  }

  /** Fills the guest's buffers: answers first, then each connection in turn. */
  #pump(): void {
    const queue = this.#queues[RECEIVE];
    for (let sender = this.#sender(); queue !== undefined && sender !== undefined; sender = this.#sender()) {
      const chain = queue.pop();
      if (chain === undefined) return;
      if (chain.writable.bytes <= VSOCK_HEADER_BYTES) return queue.fail('a receive buffer has no room for a packet');
      queue.push(chain, this.#send(sender, chain));
    }
    if (!this.#deaf || this.#answers.length >= MOST_ANSWERS) return;
    this.#deaf = false;
    this.#hear();
  }

  #sender(): VsockConnection | 'answers' | undefined {
    if (this.#answers.length > 0) return 'answers';
    for (const connection of this.#connections.values()) if (connection.pending) return connection;
    return undefined;
  }

  /** Returns how many bytes were written. */
  #send(sender: VsockConnection | 'answers', { writable }: DescriptorChain): number {
    if (sender === 'answers') return writable.write(0, writeVsockHeader(this.#answers.shift()!));
    const packet = sender.next(writable.bytes - VSOCK_HEADER_BYTES);
    const key = keyOf(sender.hostPort, sender.guestPort);
    this.#connections.delete(key);
    this.#connections.set(key, sender);
    const header = writable.write(0, writeVsockHeader(this.#header(sender, packet)));
    return header + (packet.bytes === undefined ? 0 : writable.write(header, packet.bytes));
  }

  /** Connections are programs' of this host: they end with the machine, and one that goes on elsewhere learns that. */
  save(): Plain {
    return { reset: this.#resetDue || this.#connections.size > 0 };
  }
  load(state: Plain): void {
    this.#resetDue = new StateFields(this.name, state, 1, 1).boolean('reset');
  }
}

function keyOf(hostPort: number, guestPort: number): string {
  return `${hostPort} ${guestPort}`;
}
