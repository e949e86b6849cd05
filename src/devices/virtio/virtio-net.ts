import type { Plain } from '../../base/plain.ts';
import { LONGEST_FRAME } from '../../host/packets.ts';
import { VIRTIO_NET_HEADER_BYTES, readVirtioNetHeader, writeVirtioNetHeader } from '../../host/virtio-net-header.ts';
import type { Frame, Offload, PacketPort } from '../../host/packets.ts';
import type { MacAddress, NetworkCard } from '../network/network-card.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { FlowTable } from './net-flows.ts';
import { NetSettings } from './net-settings.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

// Network device (virtio 1.2, section 5.1).

/** Pairs of queues; a driver uses one until it says otherwise. */
const PAIRS = 4;
const QUEUE_SIZE = 256;
const CONTROL_SIZE = 64;
/** Frames of one turn: others want theirs. */
const MOST_AT_ONCE = 1024;
const LEAST_FRAME = 14;

const feature = (bit: number): bigint => 1n << BigInt(bit);
const CSUM = feature(0);
const GUEST_CSUM = feature(1);
const CTRL_GUEST_OFFLOADS = feature(2);
const MTU = feature(3);
const MAC = feature(5);
const GUEST_TSO4 = feature(7);
const GUEST_TSO6 = feature(8);
const GUEST_ECN = feature(9);
const HOST_TSO4 = feature(11);
const HOST_TSO6 = feature(12);
const HOST_ECN = feature(13);
const MERGEABLE = feature(15);
const STATUS = feature(16);
const CTRL_VQ = feature(17);
const CTRL_RX = feature(18);
const CTRL_VLAN = feature(19);
const MULTIQUEUE = feature(22);
const CTRL_MAC_ADDR = feature(23);
const SPEED_DUPLEX = feature(63);
const GUEST_OFFLOADS = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN;

/** With the count of buffers. */
const HEADER_BYTES = VIRTIO_NET_HEADER_BYTES + 2;

export interface VirtioNetOptions {
  readonly mac: MacAddress;
  /** Missing: no cable is plugged in. */
  readonly port: PacketPort | undefined;
}

export class VirtioNet implements VirtioDevice, NetworkCard {
  readonly name = 'virtio-net';
  readonly type = 1;
  readonly classCode = 0x020000;
  readonly features = CSUM | GUEST_OFFLOADS | CTRL_GUEST_OFFLOADS | MTU | MAC | HOST_TSO4 | HOST_TSO6 | HOST_ECN | MERGEABLE | STATUS | CTRL_VQ | CTRL_RX |
    CTRL_VLAN | MULTIQUEUE | CTRL_MAC_ADDR | SPEED_DUPLEX;
  readonly queueSizes: readonly number[] = [...Array.from({ length: 2 * PAIRS }, () => QUEUE_SIZE), CONTROL_SIZE];
  readonly config: Uint8Array;
  readonly #port: PacketPort | undefined;
  readonly #settings: NetSettings;
  readonly #flows = new FlowTable();
  readonly #sending = new Uint8Array(HEADER_BYTES + LONGEST_FRAME);
  readonly #header = new Uint8Array(HEADER_BYTES);
  #queues: readonly (Virtqueue | undefined)[] = [];
  #agreed = 0n;
  /** Receive buffers that were taken and wait for frames, by pair. */
  #room: DescriptorChain[][] = [];
  /** A frame that waits for room. */
  #held: Frame | undefined;

  constructor({ mac, port }: VirtioNetOptions) {
    this.#port = port;
    this.#settings = new NetSettings(mac, { pairs: PAIRS, offloads: GUEST_OFFLOADS });
    this.config = describe(mac, port !== undefined);
  }

  writeConfig(): void {} // with VERSION_1 nothing in it is the driver's to write

  start(driver: DriverSide): void {
    this.#queues = driver.queues;
    this.#agreed = driver.features;
    if (driver.begins) {
      this.#settings.reset(driver.features, this.#has(CTRL_VLAN));
      this.#flows.clear();
    }
    this.#room = Array.from({ length: PAIRS }, (_, pair) => (this.#kind(2 * pair) === 'receive' ? [...(driver.queues[2 * pair]?.inFlight ?? [])] : []));
    this.#accept();
  }

  stop(): void {
    this.#queues = [];
    this.#room = [];
    this.#held = undefined;
  }

  #has(bit: bigint): boolean {
    return (this.#agreed & bit) !== 0n;
  }

  /** 5.1.2: receive and transmit queues alternate, the control queue comes behind those that the driver knows. */
  #kind(queue: number): 'receive' | 'transmit' | 'control' | 'none' {
    const pairs = this.#has(MULTIQUEUE) ? PAIRS : 1;
    if (queue < 2 * pairs) return queue % 2 === 0 ? 'receive' : 'transmit';
    return queue === 2 * pairs && this.#has(CTRL_VQ) ? 'control' : 'none';
  }

  #accept(): void {
    const has = (bit: bigint): boolean => (this.#settings.offloads & bit) !== 0n;
    this.#port?.accept({ checksum: has(GUEST_CSUM), tcp4: has(GUEST_TSO4), tcp6: has(GUEST_TSO6), ecn: has(GUEST_ECN) });
  }

  notified(index: number): void {
    switch (this.#kind(index)) {
      case 'receive': this.arrived(); return;
      case 'transmit': this.#transmit(index); return;
      case 'control': this.#control(this.#queues[index]); return;
      case 'none': return;
    }
  }

  #control(queue: Virtqueue | undefined): void {
    for (let chain = queue?.pop(); chain !== undefined; chain = queue!.pop()) {
      if (chain.writable.bytes < 1) return queue!.fail('a control command has no room for its answer');
      const done = this.#settings.execute(chain.readable, this.#agreed);
      chain.writable.write(chain.writable.bytes - 1, Uint8Array.of(done ? 0 : 1));
      queue!.push(chain, chain.writable.bytes);
      if (done) this.#accept();
    }
  }

  #transmit(index: number): void {
    const queue = this.#queues[index];
    for (let chain = queue?.pop(); chain !== undefined; chain = queue!.pop()) {
      const bytes = chain.readable.read(0, this.#sending);
      if (chain.readable.bytes === bytes && bytes >= HEADER_BYTES + LEAST_FRAME) this.#send(this.#sending.subarray(0, bytes), index >> 1);
      queue!.push(chain, 0);
    }
  }

  #send(sending: Uint8Array, pair: number): void {
    const bytes = sending.subarray(HEADER_BYTES);
    if (this.#settings.pairs > 1) this.#flows.sent(bytes, pair);
    this.#port?.send({ bytes, ...this.#readOffload(sending) });
  }

  /** Work that the driver has not agreed to leave is none. */
  #readOffload(sending: Uint8Array): Pick<Frame, 'offload'> {
    const { checksum, segments } = readVirtioNetHeader(sending).offload ?? {};
    if (checksum === undefined || !this.#has(CSUM)) return {};
    const cuts = segments !== undefined && this.#has(segments.kind === 'tcp4' ? HOST_TSO4 : HOST_TSO6);
    return { offload: { checksum, ...(cuts ? { segments } : {}) } };
  }

  arrived(): boolean {
    for (let i = 0; i < MOST_AT_ONCE; i++) {
      if (this.#queues.length === 0) return false;
      const frame = this.#held ?? this.#port?.receive();
      if (frame === undefined) return false;
      const again = this.#held !== undefined;
      this.#held = undefined;
      if (!this.#settings.filter.accepts(frame.bytes, this.#settings.address)) continue;
      const pair = this.#settings.pairs > 1 ? this.#flows.pairOf(frame.bytes) % this.#settings.pairs : 0;
      if (this.#deliver(pair, frame, again)) continue;
      this.#held = frame;
      return false;
    }
    return true;
  }

  /** False when there is no room yet. `again`: it has been held already. */
  #deliver(pair: number, frame: Frame, again: boolean): boolean {
    const queue = this.#queues[2 * pair];
    const room = this.#room[pair];
    if (queue === undefined || room === undefined) return true; // lost, as nobody will ever take it
    const needed = HEADER_BYTES + frame.bytes.length;
    const mergeable = this.#has(MERGEABLE);
    let bytes = room.reduce((sum, chain) => sum + chain.writable.bytes, 0);
    const before = room.length;
    while (bytes < needed && (mergeable || room.length === 0)) {
      const chain = queue.pop();
      // A driver whose buffers cannot hold it, however long one waits, loses it.
      if (chain === undefined) return again && room.length > 0 && room.length === before;
      if (chain.writable.bytes < HEADER_BYTES) {
        queue.fail('a receive buffer has no room for a header');
        return true;
      }
      room.push(chain);
      bytes += chain.writable.bytes;
    }
    if (bytes >= needed) this.#fill(queue, room, frame);
    return true;
  }

  #fill(queue: Virtqueue, room: DescriptorChain[], { bytes, offload }: Frame): void {
    const needed = HEADER_BYTES + bytes.length;
    let count = 0;
    for (let space = 0; space < needed; count++) space += room[count]!.writable.bytes;
    this.#writeHeader(offload, count);
    let at = 0;
    queue.pushAll(room.splice(0, count).map((chain, i) => {
      const head = i === 0 ? chain.writable.write(0, this.#header) : 0;
      const written = chain.writable.write(head, bytes.subarray(at));
      at += written;
      return { chain, written: head + written };
    }));
  }

  #writeHeader(offload: Offload | undefined, buffers: number): void {
    const { verified = false, ...work } = offload ?? {};
    writeVirtioNetHeader(this.#header, { ...work, verified: verified && this.#has(GUEST_CSUM) });
    new DataView(this.#header.buffer).setUint16(VIRTIO_NET_HEADER_BYTES, buffers, true);
  }

  save(): Plain {
    return this.#settings.save();
  }
  load(state: Plain): void {
    this.#settings.load(state);
  }
}

const LINK_UP = 1;
const USUAL_MTU = 1500;
const SPEED_MBIT = 10_000;
const FULL_DUPLEX = 1;

/** struct virtio_net_config (5.1.4). */
function describe(mac: MacAddress, plugged: boolean): Uint8Array {
  const config = new Uint8Array(17);
  const view = new DataView(config.buffer);
  config.set(mac);
  view.setUint16(6, plugged ? LINK_UP : 0, true);
  view.setUint16(8, PAIRS, true);
  view.setUint16(10, USUAL_MTU, true);
  view.setUint32(12, SPEED_MBIT, true);
  view.setUint8(16, FULL_DUPLEX);
  return config;
}
