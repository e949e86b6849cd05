import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { AccessSize } from '../../src/base/addresses.ts';
import type { ByteRuns } from '../../src/base/byte-runs.ts';
import { E1000 } from '../../src/devices/network/e1000/e1000.ts';
import { Rtl8139 } from '../../src/devices/network/rtl8139/rtl8139.ts';
import { FramePort, OWN_MAC, frameTo } from '../../src/devices/network/frame-port.test-support.ts';
import { PciBus } from '../../src/devices/pci/pci-bus.ts';
import type { PciFunction } from '../../src/devices/pci/pci-bus.ts';
import { MemoryFolder } from '../../src/devices/sharing/memory-folder.test-support.ts';
import { MessageWriter, REQUEST } from '../../src/devices/sharing/messages.ts';
import { AhciController } from '../../src/devices/storage/ahci/ahci-controller.ts';
import { MemoryDisk, settled } from '../../src/devices/storage/memory-disk.test-support.ts';
import { NvmeController } from '../../src/devices/storage/nvme/nvme-controller.ts';
import { DriverQueue } from '../../src/devices/virtio/driver-queue.test-support.ts';
import type { DriverBuffer } from '../../src/devices/virtio/driver-queue.test-support.ts';
import { Virtio9p } from '../../src/devices/virtio/virtio-9p.ts';
import { VirtioBalloon } from '../../src/devices/virtio/virtio-balloon.ts';
import { makeTablet, pointerEvents } from '../../src/devices/virtio/input-devices.ts';
import { VirtioBlock } from '../../src/devices/virtio/virtio-block.ts';
import { VirtioConsole } from '../../src/devices/virtio/virtio-console.ts';
import type { VirtioDevice } from '../../src/devices/virtio/virtio-device.ts';
import { VirtioEntropy } from '../../src/devices/virtio/virtio-entropy.ts';
import { VirtioNet } from '../../src/devices/virtio/virtio-net.ts';
import { VirtioPci } from '../../src/devices/virtio/virtio-pci.ts';
import { VirtioScsi } from '../../src/devices/virtio/virtio-scsi.ts';
import { VirtioVsock } from '../../src/devices/virtio/virtio-vsock.ts';
import { writeVsockHeader } from '../../src/devices/virtio/vsock-packet.ts';
import type { Frame } from '../../src/host/packets.ts';
import type { ConnectionWish, HostSocket, HostSocketEvents, SocketPort } from '../../src/host/sockets.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { TimerQueue } from '../../src/timers/timer-queue.ts';
import type { RegisterBlock } from '../../src/wiring/register-block.ts';
import { random } from '../support/random.ts';
import type { Random } from '../support/random.ts';

// Drivers that offer anything: random descriptors, loops, wild addresses, registers of every width. Devices throw nothing,
// end, keep to guest memory, and what they are afterwards is stored and loaded equal.

/** POLYVISOR_CASES=1000 of the nightly set: a million operations for each device. */
const CASES = Number(process.env['POLYVISOR_CASES'] ?? 4);
const OPERATIONS = 1000;
const MIB = 1 << 20;
const BAR = 0xe0000000;
/** Where data and headers mostly are; rings and command lists are below. */
const DATA = 0x80000;

/** What devices have asked of the host. */
let served = 0;

/** Answers at once now and then, and may fail. */
class FickleDisk extends MemoryDisk {
  readonly #below: Random;
  constructor(bytes: number, readOnly: boolean, below: Random) {
    super(bytes, readOnly);
    this.#below = below;
  }
  override async write(offset: number, source: Uint8Array): Promise<void> {
    served++;
    return super.write(offset, source);
  }
  override readNow(offset?: number, target?: ByteRuns): boolean {
    served++;
    this.fail = this.#below(16) === 0;
    this.log.length = 0;
    if (this.#below(2) === 0) return false;
    target!.each(offset!, (part, at) => part.set(this.contents.subarray(at, at + part.length)));
    return true;
  }
}

/** A card alone on its bus, and what its driver has. */
interface Bench {
  readonly memory: LinearMemory;
  readonly below: Random;
  /** One of so many things that the driver says is wild; 0: none. Changes as it begins anew. */
  wildness: number;
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
  config(offset: number, size: AccessSize, value: number): void;
}

interface Subject {
  readonly name: string;
  make(below: Random): (wiring: ConstructorParameters<typeof VirtioPci>[1]) => PciFunction;
  /** As a driver begins that knows what it does. */
  bringUp(bench: Bench): void;
  /** Something for the device to do. */
  offer(bench: Bench): void;
  readonly registers: number;
  /** Where in configuration space its registers' address is, if not at the beginning. */
  readonly bar?: number;
}

const LENGTHS = [0, 1, 2, 16, 19, 51, 108, 512, 513, 4096, 65536, MIB, 2 ** 31, 2 ** 32 - 1] as const;

function wild({ below, wildness }: Bench): boolean {
  return wildness > 0 && below(wildness) === 0;
}
/** What is right, or anything. */
function mostly(bench: Bench, right: number): number {
  return wild(bench) ? bench.below(2 ** 31) : right;
}
function address(bench: Bench): number {
  const { below } = bench;
  if (!wild(bench)) return DATA + 512 * below(0x300);
  return below(2) === 0 ? below(2 ** 31) * 2 ** below(33) : MIB - below(64);
}
function wide({ memory }: Bench, at: number, value: number): void {
  memory.writeU32(at, value % 2 ** 32);
  memory.writeU32(at + 4, Math.floor(value / 2 ** 32) % 2 ** 32);
}
function pick<T>({ below }: Bench, list: readonly T[]): T {
  return list[below(list.length)]!;
}

const RING = 16;

/** `request`: what the driver gives to a queue; its first part is the header, at HEADER. */
function virtio(name: string, device: (below: Random) => VirtioDevice, queues: number, request: (bench: Bench, queue: number) => readonly DriverBuffer[]): Subject {
  let rings: readonly DriverQueue[] = [];
  let indirect = false;
  return {
    name,
    registers: 0x8000,
    make: (below) => {
      const made = device(below);
      return (wiring) => new VirtioPci(made, wiring);
    },
    bringUp(bench) {
      const { below, write, read } = bench;
      const format = below(2) === 0 ? 'packed' : 'split';
      indirect = below(2) === 0;
      write(20, 1, 0);
      write(20, 1, 3);
      for (const [select, features] of [[0, below(2) === 0 ? 0xdfffffff : 1 << 28], [1, 1 | (format === 'packed' ? 4 : 0)]] as const) {
        write(0, 4, select);
        write(8, 4, select);
        write(12, 4, mostly(bench, read(4, 4) & features));
      }
      write(20, 1, 11);
      rings = Array.from({ length: queues }, (_, i) => new DriverQueue(bench.memory, format, 0x10000 * (i + 1), RING, { indirect }));
      rings.forEach(({ place }, queue) => {
        write(22, 2, queue);
        write(24, 2, RING);
        [place.descriptors, place.driver, place.device].forEach((at, i) => {
          write(32 + 8 * i, 4, mostly(bench, at));
          write(36 + 8 * i, 4, wild(bench) ? below(4) : 0);
        });
        write(28, 2, 1);
      });
      write(20, 1, 15);
    },
    offer(bench) {
      const { memory, below } = bench;
      const queue = below(queues);
      const ring = rings[queue]!;
      if ((bench.read(20, 1) & 0x40) !== 0) return this.bringUp(bench); // the device wants a reset
      try {
        if (!wild(bench)) ring.take();
      } catch {
        return this.bringUp(bench); // what it has written itself into its ring has confused the driver
      }
      const parts = request(bench, queue).map((part) => (wild(bench) ? { address: address(bench), length: pick(bench, LENGTHS), write: below(2) === 0 } : part));
      if (ring.free >= parts.length) ring.add(parts, indirect && below(2) === 0);
      else if (!wild(bench)) return;
      if (wild(bench)) {
        const at = (below(2) === 0 ? ring.place.descriptors : ring.place.descriptors + 0x8000) + 16 * below(RING);
        wide(bench, at, below(2) === 0 ? DATA + 16 * below(0x100) : address(bench));
        memory.writeU32(at + 8, pick(bench, LENGTHS));
        memory.writeU16(at + 12, below(RING + 1));
        memory.writeU16(at + 14, below(2) === 0 ? below(RING + 1) : below(8) | (below(2) === 0 ? 0x80 : 0x8000));
        if (below(4) === 0) memory.writeU16(ring.place.driver + 2 * below(RING + 2), below(0x10000));
      }
      bench.write(0x3000 + 4 * queue, 2, queue);
    },
  };
}

/** Where the first part of requests is. */
const HEADER = DATA - 0x1000;

function blockRequest(bench: Bench): readonly DriverBuffer[] {
  const { memory, below } = bench;
  const type = mostly(bench, pick(bench, [0, 0, 1, 1, 4, 8, 11, 13, 99]));
  [type, 0, mostly(bench, below(260)), 0].forEach((word, i) => memory.writeU32(HEADER + 4 * i, word));
  const ranges = [below(260), 0, below(8), mostly(bench, 0)];
  const place = address(bench);
  if (type >= 11) ranges.forEach((word, i) => memory.writeU32(DATA + 4 * i, word));
  const data = type >= 11 ? [{ address: DATA, length: 16 }] : type === 4 ? [] : [{ address: place, length: 512 * (1 + below(8)), write: type !== 1 }];
  return [{ address: HEADER, length: 16 }, ...data, { address: address(bench), length: 1, write: true }];
}

const CDB = [0, 3, 8, 10, 0x12, 0x1a, 0x1b, 0x25, 0x28, 0x28, 0x2a, 0x2a, 0x2e, 0x2f, 0x35, 0x41, 0x42, 0x5a, 0x88, 0x8a, 0x91, 0x93, 0x9e, 0xa0, 0xa8, 0xaa, 0xff] as const;
function scsiRequest(bench: Bench, queue: number): readonly DriverBuffer[] {
  const { memory, below } = bench;
  const lun = [1, below(wild(bench) ? 256 : 2), 0x40, wild(bench) ? 1 : 0, 0, 0, 0, 0];
  if (queue === 0) {
    memory.write(HEADER, Uint8Array.of(mostly(bench, below(3)) & 0xff, 0, 0, 0, ...(below(2) === 0 ? [below(9), 0, 0, 0] : []), ...lun, 0, 0, 0, 0, 0, 0, 0, 0));
    return [{ address: HEADER, length: 24 }, { address: address(bench), length: 5, write: true }];
  }
  const command = Uint8Array.from({ length: 32 }, () => (wild(bench) ? below(256) : 0));
  const code = command[0] = pick(bench, CDB);
  // Last byte of the address and of the length, by the command's group.
  const [first, count] = code < 0x20 ? [3, 4] : code < 0x60 ? [5, 8] : code < 0xa0 ? [9, 13] : [5, 9];
  command[first!] = below(256);
  command[count!] = below(9);
  memory.write(HEADER, Uint8Array.of(...lun, ...new Array<number>(11).fill(0), ...command));
  const data = { address: address(bench), length: 512 * (1 + below(8)) };
  const response = { address: address(bench), length: 108, write: true };
  const header = { address: HEADER, length: 51 };
  return below(2) === 0 ? [header, data, response] : [header, response, { ...data, write: true }];
}

/** Frames arrive now and then, some for others, some with work left. */
class FicklePort extends FramePort {
  readonly #below: Random;
  constructor(below: Random) {
    super();
    this.#below = below;
  }
  override receive(): Frame | undefined {
    if (this.#below(3) === 0) return undefined;
    served++;
    const bytes = frameTo(this.#below(4) === 0 ? OWN_MAC : new Uint8Array(6).fill(0xff), 14 + this.#below(this.#below(8) === 0 ? 65000 : 1500));
    return this.#below(2) === 0 ? { bytes } : { bytes, offload: { checksum: { start: 14, offset: 0 }, segments: { kind: 'tcp4', bytes: 1000, ecn: false } } };
  }
  override send(): void {
    served++;
  }
}

/** Receive queues are even, the last is the control queue. */
const NET_QUEUES = 9;
function netRequest(bench: Bench, queue: number): readonly DriverBuffer[] {
  const { memory, below } = bench;
  const bytes = (...values: number[]): void => memory.write(HEADER, Uint8Array.from(values));
  if (queue === NET_QUEUES - 1 || (queue === 2 && below(4) === 0)) {
    const mac = [2, 0, 0, 0, 0, below(256)];
    const command = pick(bench, [[0, below(3), below(2)], [1, 0, below(3), 0, 0, 0, ...mac, 1, 0, 0, 0, ...mac], [1, 1, ...mac], [2, below(3), below(256), below(17)], [4, 0, below(6), 0], [5, 0, below(256), below(8), 0, 0, 0, 0, 0, 0], [below(8)]]);
    bytes(...command);
    return [{ address: HEADER, length: mostly(bench, command.length) % 600 || 1 }, { address: address(bench), length: 1, write: true }];
  }
  if (queue % 2 === 0) return [{ address: address(bench), length: pick(bench, [11, 12, 100, 1526, 4096]), write: true }];
  bytes(below(4), pick(bench, [0, 1, 4, 0x81, 3]), 0, 0, below(256), below(8), 34, 0, 16, 0, 0, 0);
  return [{ address: HEADER, length: 12 }, { address: address(bench), length: pick(bench, [1, 13, 60, 1514, 70000]) }];
}

const NAMES = ['a', 'b', 'c', 'd', '..', '.', '', 'a/b', '../a'] as const;
/** Fields of requests: f a file's number, n a name, and numbers of so many bits. Messages of any type may have those of another. */
const FIELDS = {
  version: '32v', attach: 'f32nn32', walk: 'ff', clunk: 'f', remove: 'f', lopen: 'f32', lcreate: 'fn323232', read: 'f6432', write: 'f64d', fsync: 'f32', readdir: 'f6432', getattr: 'f64', setattr: 'f32323232' + '6464646464',
  statfs: 'f', mkdir: 'fn3232', symlink: 'fnn32', readlink: 'f', link: 'ffn', rename: 'ffn', renameat: 'fnfn', unlinkat: 'fn32', lock: 'f83264643232n', getlock: 'f8646432n', flush: '16', xattrwalk: 'ffn',
} as const;
function sharingRequest(bench: Bench): readonly DriverBuffer[] {
  const { memory, below } = bench;
  const type = pick(bench, below(3) === 0 ? (['mkdir', 'lcreate', 'walk', 'attach'] as const) : (Object.keys(FIELDS) as (keyof typeof FIELDS)[]).filter((name) => name !== 'version' || below(30) === 0));
  const message = new MessageWriter();
  const number = (): number => (wild(bench) ? below(2 ** 31) : below(type === 'readdir' ? 1000 : 16));
  for (const field of FIELDS[wild(bench) ? pick(bench, Object.keys(FIELDS) as (keyof typeof FIELDS)[]) : type].match(/[a-z]|8|16|32|64/g)!) {
    if (field === 'f') message.u32(type === 'attach' && below(2) === 0 ? 0 : below(8));
    else if (field === 'n') message.text(pick(bench, NAMES));
    else if (field === 'v') message.text(below(4) === 0 ? '9P2000' : '9P2000.L');
    else if (field === 'd') message.text('data').u16(0);
    else if (field === '8') message.u8(number() & 0xff);
    else if (field === '16') message.u16(number() & 0xffff);
    else if (field === '32') message.u32(type === 'version' ? mostly(bench, 8192) : number());
    else message.u64(BigInt(number()));
  }
  if (type === 'walk') for (let i = message.u16(below(4)).length; i > 0; i = below(3)) message.text(pick(bench, NAMES));
  const bytes = message.message(wild(bench) ? below(256) : REQUEST[type], below(8)).slice();
  if (wild(bench)) bytes[below(4)] = below(256);
  memory.write(HEADER, bytes);
  return [{ address: HEADER, length: bytes.length }, { address: address(bench), length: pick(bench, [11, 100, 4096, 8192]), write: true }];
}
class CountingFolder extends MemoryFolder {
  override async status(path: string): ReturnType<MemoryFolder['status']> {
    served++;
    return super.status(path);
  }
}

/** Programs of the host that connect, listen, send and end as they like. */
class FickleSockets implements SocketPort {
  readonly #below: Random;
  #wish: ((wish: ConnectionWish) => void) | undefined;
  constructor(below: Random) {
    this.#below = below;
  }
  #socket(): HostSocket {
    let events: HostSocketEvents | undefined;
    const act = (): void => {
      const what = this.#below(8);
      if (what < 4) events?.data(new Uint8Array(1 + this.#below(20_000)));
      else if (what === 4) events?.ended();
      else if (what === 5) events?.closed();
    };
    return {
      listen: (listener) => {
        events = listener;
        void Promise.resolve().then(act);
      },
      write: async () => {
        served++;
        await undefined;
        act();
      },
      end: () => {}, pause: () => {}, resume: () => {}, destroy: () => (events = undefined),
    };
  }
  async connect(): Promise<HostSocket | undefined> {
    served++;
    if (this.#below(4) === 0) this.#wish?.({ port: this.#below(4), socket: this.#socket(), accepted: () => {} });
    return this.#below(4) === 0 ? undefined : this.#socket();
  }
  listen(wish: (wish: ConnectionWish) => void): void {
    this.#wish = wish;
  }
  close(): void {}
}
function vsockRequest(bench: Bench, queue: number): readonly DriverBuffer[] {
  const { memory, below } = bench;
  if (queue !== 1) return [{ address: address(bench), length: queue === 0 ? pick(bench, [45, 100, 4096, 70_000]) : 4, write: true }];
  const length = pick(bench, [0, 1, below(5000)]);
  memory.write(HEADER, writeVsockHeader({
    sourceCid: BigInt(mostly(bench, 5)), targetCid: BigInt(mostly(bench, 2)), sourcePort: below(4), targetPort: below(2) === 0 ? below(4) : 2 ** 30 + below(8), length: mostly(bench, length),
    type: mostly(bench, 1), operation: mostly(bench, pick(bench, [1, 2, 3, 4, 5, 5, 5, 5, 5, 6, 7])), flags: below(4), room: pick(bench, [0, 5000, 2 ** 18, 2 ** 32 - 1]), forwarded: below(bench.wildness === 0 ? 1 : 2 ** 31),
  }));
  return [{ address: HEADER, length: 44 }, ...(length === 0 ? [] : [{ address: address(bench), length }])];
}

/** The one that is under test: it gets something to say. */
let tablet = makeTablet();

const nvme = ((): Subject => {
  const tails = [0, 0];
  return {
    name: 'nvme',
    registers: 0x2000,
    make: (below) => (wiring) => new NvmeController({ serial: 'serial', block: new FickleDisk(256 * 512, below(4) === 0, below) }, wiring),
    bringUp: (bench) => {
      const { write, memory } = bench;
      write(0x14, 4, 0);
      write(0x24, 4, 0x000f000f);
      for (const [at, value] of [[0x28, 0x10000], [0x2c, 0], [0x30, 0x11000], [0x34, 0]] as const) write(at, 4, mostly(bench, value));
      write(0x14, 4, 0x460001);
      // An output and an input queue.
      for (const [i, words] of [[5, 0x13000, 0x000f0001, 3], [1, 0x12000, 0x000f0001, 0x10001]].entries()) {
        memory.write(0x10000 + 64 * i, new Uint8Array(64));
        [0, 6, 10, 11].forEach((word, at) => memory.writeU32(0x10000 + 64 * i + 4 * word, words[at]!));
      }
      write(0x1000, 4, 2);
      tails.splice(0, 2, 2, 0);
    },
    offer: (bench) => {
      const { memory, below, write } = bench;
      const queue = below(4) === 0 ? 0 : 1;
      const at = (queue === 0 ? 0x10000 : 0x12000) + 64 * tails[queue]!;
      memory.write(at, new Uint8Array(64));
      const opcode = pick(bench, queue === 0 ? [0, 1, 2, 4, 5, 6, 6, 8, 9, 10, 12, 0x80] : [0, 1, 1, 2, 2, 8, 9, 0x7f]);
      memory.writeU32(at, mostly(bench, opcode | (below(0x100) << 16)));
      memory.writeU32(at + 4, mostly(bench, queue === 0 ? below(2) : 1));
      const list = 4096 * (128 + below(100));
      wide(bench, at + 24, wild(bench) ? address(bench) : 4096 * (128 + below(100)));
      wide(bench, at + 32, wild(bench) ? address(bench) : list);
      if (below(4) === 0) for (let i = 0; i < 8; i++) wide(bench, list + 8 * i, wild(bench) ? address(bench) : 4096 * (128 + below(100)));
      for (let word = 10; word < 16; word++) memory.writeU32(at + 4 * word, mostly(bench, word === 11 || word === 13 ? 0 : below(20)));
      tails[queue] = (tails[queue]! + 1) % 16;
      write(0x1004 + 8 * queue, 4, mostly(bench, (tails[queue]! + 15) % 16));
      write(0x1000 + 8 * queue, 4, mostly(bench, tails[queue]!));
    },
  };
})();

const e1000 = ((): Subject => {
  let tail = 0;
  return {
    name: 'e1000',
    registers: 0x6000,
    make: (below) => (wiring) => new E1000({ mac: OWN_MAC, port: new FicklePort(below) }, wiring),
    bringUp: (bench) => {
      const { below, write, memory } = bench;
      tail = 0;
      write(0, 4, 0x04000000);
      for (let i = 0; i < RING; i++) wide(bench, 0x20000 + 16 * i, address(bench));
      memory.write(0x10000, new Uint8Array(16 * RING));
      for (const [at, value] of [[0x3800, 0x10000], [0x3804, 0], [0x3808, 16 * RING], [0x400, 2], [0x2800, 0x20000], [0x2804, 0], [0x2808, 16 * RING], [0x2818, RING - 1], [0x100, 2 | pick(bench, [0x18, 0x8000, 0x28, 0x20038])], [0xd0, below(0x10000)]] as const) {
        // A ring of all of memory takes its time.
        write(at, 4, at === 0x3808 && wild(bench) ? 128 * below(16) : mostly(bench, value));
      }
    },
    offer: (bench) => {
      const { memory, below, write } = bench;
      if (below(4) === 0) {
        write(0x2818, 4, mostly(bench, below(RING)));
        return;
      }
      const at = 0x10000 + 16 * tail;
      const kind = below(4);
      const context = kind === 0;
      wide(bench, at, context ? mostly(bench, 0x21180e) : address(bench));
      if (context) memory.writeU32(at + 4, mostly(bench, 0x3222));
      memory.writeU32(at + 8, mostly(bench, context ? 0x27000000 : (kind === 1 ? pick(bench, [0x0b, 0x0d, 0x4b, 0x02]) : pick(bench, [0x2d, 0x29, 0x24, 0x6d])) * 2 ** 24 + (kind === 1 ? 0 : 0x100000) + 1 + below(3000)));
      memory.writeU32(at + 12, mostly(bench, context ? 0x02003600 + below(256) * 65536 : below(4) << 8));
      tail = (tail + 1) % RING;
      write(0x3818, 4, mostly(bench, tail));
    },
  };
})();

/** Its four buffers and its ring buffer, or descriptors. */
const rtl8139 = (chip: 'c+' | 'd'): Subject => {
  let tail = 0;
  const plus = chip === 'c+';
  // Of the card that was made last: others' timers would be looked at for ever.
  let timers = new TimerQueue();
  let time = 0;
  return {
    name: `rtl8139 ${chip}`,
    registers: 0x100,
    bar: 0x14,
    make: (below) => (wiring) => new Rtl8139({ chip, mac: OWN_MAC, port: new FicklePort(below) }, { ...wiring, clock: { now: () => time }, timers: timers = new TimerQueue() }),
    bringUp: (bench) => {
      const { below, write, memory } = bench;
      tail = 0;
      write(0x37, 1, 0x10);
      if (plus) write(0xe0, 2, mostly(bench, 0x63));
      memory.write(0x10000, new Uint8Array(16 * RING));
      for (const [at, value] of [[0x20, 0x10000], [0x24, 0], [0x28, 0], [0x2c, 0], [0xe4, 0x20000], [0xe8, 0], [0x30, 0x20000]] as const) write(at, 4, mostly(bench, value));
      write(0x37, 1, mostly(bench, 0x0c));
      write(0x44, 4, mostly(bench, pick(bench, [0x0f, 0x8a, 0x180f, 0x088f])));
      write(0x40, 4, below(8) === 0 ? mostly(bench, 0x70000) : 0);
      write(0x54, 4, below(4) === 0 ? below(2 ** 31) : 0);
      write(0x3c, 2, below(0x10000));
    },
    offer: (bench) => {
      const { memory, below, read, write } = bench;
      timers.runDue(time += below(100_000));
      if (plus && below(3) > 0) {
        const ring = below(2) === 0 ? 0x10000 : 0x20000;
        const at = ring + 16 * tail;
        wide(bench, at + 8, address(bench));
        memory.writeU32(at + 4, mostly(bench, pick(bench, [0, 0x25a5a])));
        memory.writeU32(at, (mostly(bench, tail === RING - 1 ? 0x4000 : 0) * 65536 + pick(bench, [0xb0000000, 0xb0070000, 0xbbe80000, 0xa0000000, 0x90000000]) + below(3000)) >>> 0);
        tail = (tail + 1) % RING;
        write(0xd9, 1, pick(bench, [0x40, 0x80, 0xc1]));
      } else if (below(2) === 0) {
        write(0x20 + 4 * (tail % 4), 4, address(bench) % 2 ** 32);
        write(0x10 + 4 * (tail % 4), 4, mostly(bench, below(1792)));
        tail = (tail + 1) % RING;
      } else write(0x38, 2, mostly(bench, read(0x3a, 2) - 16));
      write(0x3e, 2, 0xffff);
    },
  };
};

const COMMANDS = [0x20, 0x25, 0x25, 0x35, 0x35, 0x60, 0x61, 0x06, 0x2f, 0xec, 0xef, 0xe7, 0xea, 0x27, 0xe5, 0xb0, 0x99] as const;
const ahci: Subject = {
  name: 'ahci',
  registers: 0x1100,
  make: (below) => (wiring) => new AhciController([0, 1].map((i) => ({ serial: `serial-${i}`, block: new FickleDisk(256 * 512, i === 1, below) })), wiring),
  bringUp(bench) {
    const { below, write } = bench;
    write(4, 4, below(4) === 0 ? 0x80000001 : 0x80000002);
    for (const port of [0x100, 0x180]) {
      write(port + 0x18, 4, 0);
      [0x10000 + (port << 4), 0, 0x20000 + (port << 4), 0].forEach((value, i) => write(port + 4 * i, 4, mostly(bench, value)));
      write(port + 0x30, 4, 0xffffffff);
      write(port + 0x10, 4, 0xffffffff);
      write(port + 0x18, 4, 0x10);
      write(port + 0x18, 4, 0x11);
    }
  },
  offer(bench) {
    const { memory, below, write } = bench;
    const port = below(2) === 0 ? 0x100 : 0x180;
    if ((bench.read(port + 0x10, 4) & 0x60000000) !== 0) return this.bringUp(bench); // a command has failed
    const slot = below(32);
    const table = DATA + 0x400 * below(64);
    const header = 0x10000 + (port << 4) + 32 * slot;
    const command = pick(bench, COMMANDS);
    const queued = command === 0x60 || command === 0x61;
    const count = 1 + below(4);
    memory.writeU32(header, mostly(bench, 5 | ([0x35, 0x61, 0x06].includes(command) ? 0x40 : 0) | (count << 16)));
    memory.writeU32(header + 4, 0);
    wide(bench, header + 8, wild(bench) ? address(bench) : table);
    memory.write(table, Uint8Array.of(mostly(bench, 0x27), mostly(bench, 0x80), command, command === 0x06 ? 1 : count * 4, below(256), 0, 0, 0x40, 0, 0, 0, 0, queued ? slot << 3 : count * 4, mostly(bench, 0), 0, 0));
    for (let i = 0; i < count; i++) {
      wide(bench, table + 0x80 + 16 * i, wild(bench) ? address(bench) : DATA + 0x20000 + 512 * below(0x200));
      memory.writeU32(table + 0x8c + 16 * i, mostly(bench, 4 * 512 - 1));
    }
    if (queued) write(port + 0x34, 4, mostly(bench, 1 << slot));
    write(port + 0x38, 4, mostly(bench, 1 << slot));
  },
};

const SUBJECTS: readonly Subject[] = [
  virtio('virtio-blk', (below) => new VirtioBlock({ name: 'virtio-blk', serial: 'serial', block: new FickleDisk(256 * 512, below(4) === 0, below) }), 2, blockRequest),
  virtio('virtio-scsi', (below) => new VirtioScsi([0, 1].map((i) => ({ serial: `serial-${i}`, block: new FickleDisk(256 * 512, i === 1, below) }))), 4, scsiRequest),
  virtio('virtio-console', () => new VirtioConsole({ console: { write: () => void served++ }, ports: ['a', 'b'].map((name) => ({ name, sink: { write: () => void served++ } })) }), 8, (bench, queue) => {
    // More than the host will keep.
    if (queue % 2 === 1 && bench.below(512) === 0) return new Array<DriverBuffer>(20).fill({ address: 0, length: MIB });
    if (queue === 3) bench.memory.write(HEADER, Uint8Array.of(bench.below(3), 0, 0, 0, pick(bench, [0, 3, 6]), 0, bench.below(8) === 0 ? 0 : 1, 0));
    return [{ address: queue === 3 ? HEADER : address(bench), length: queue === 3 ? mostly(bench, 8) % 600 || 1 : 1 + bench.below(600), write: queue % 2 === 0 }];
  }),
  virtio('virtio-rng', () => new VirtioEntropy({ fill: () => void served++ }), 1, (bench) => [{ address: address(bench), length: 1 + bench.below(600), write: true }]),
  virtio('virtio-balloon', () => new VirtioBalloon(() => void served++), 5, (bench, queue) => {
    for (let i = 0; i < 8; i++) bench.memory.writeU32(HEADER + 4 * i, bench.below(bench.below(2) === 0 ? 0x200 : 2 ** 31));
    return queue < 2 ? [{ address: HEADER, length: 1 + bench.below(40) }] : [{ address: address(bench), length: 4096 * (1 + bench.below(8)), write: true }];
  }),
  virtio('virtio-net', (below) => new VirtioNet({ mac: OWN_MAC, port: new FicklePort(below) }), NET_QUEUES, netRequest),
  virtio('virtio-9p', () => new Virtio9p({ tag: 'tag', folder: new CountingFolder() }), 1, sharingRequest),
  virtio('virtio-vsock', (below) => new VirtioVsock({ cid: 5, sockets: new FickleSockets(below) }), 3, vsockRequest),
  virtio('virtio-input', () => tablet = makeTablet(), 2, (bench, queue) => {
    served++;
    tablet.send(pointerEvents(bench.below(100) / 99, bench.below(100) / 99, bench.below(8), bench.below(3)));
    return [{ address: address(bench), length: pick(bench, [1, 8, 100]), write: queue === 0 }];
  }),
  e1000, rtl8139('c+'), rtl8139('d'), nvme, ahci,
];

function insert(card: PciFunction): Pick<Bench, 'read' | 'write' | 'config'> & { readonly bus: PciBus } {
  let bar: RegisterBlock | undefined;
  const bus = new PciBus((change) => {
    if (change.space === 'memory') bar = change.kind === 'map' ? change.block : undefined;
  });
  bus.add(3, 0, card);
  const config = (offset: number, size: AccessSize, value: number): void => void bus.writeConfig(0, 3, 0, offset, size, value);
  return {
    bus, config,
    read: (offset, size) => (bar !== undefined && offset + size <= bar.length ? bar.read(offset, size) : 0),
    write: (offset, size, value) => {
      if (bar !== undefined && offset + size <= bar.length) bar.write(offset, size, value >>> 0);
    },
  };
}

describe(`${CASES * OPERATIONS} operations of hostile drivers`, () => {
  for (const subject of SUBJECTS) {
    test(`are survived by ${subject.name}`, async () => {
      const memory = new LinearMemory(MIB);
      const wiring = { memory, intx: { kind: 'level' as const, set: () => {} }, messages: { send: () => {} }, log: { warn: () => {}, tracing: () => false, trace: () => {} } };
      served = 0;
      for (let seed = 1; seed <= CASES; seed++) {
        const below = random(seed);
        const card = insert(subject.make(below)(wiring));
        const bench: Bench = { memory, below, wildness: 0, ...card };
        const place = (): void => {
          for (const at of [subject.bar ?? 0x10, 0x24]) card.config(at, 4, BAR); // where the card has its BAR
          card.config(4, 2, 6);
        };
        const begin = (): void => {
          place();
          bench.wildness = [0, 100, 10][below(3)]!;
          subject.bringUp(bench);
        };
        begin();
        for (let operation = 0; operation < OPERATIONS; operation++) {
          const kind = below(32);
          if (kind < 24) subject.offer(bench);
          else if (kind < 26) card.read(below(subject.registers), [1, 2, 4][below(3)] as AccessSize);
          else if (kind === 26 && below(8) === 0) card.write(below(below(2) === 0 ? 0x40 : subject.registers), [1, 2, 4][below(3)] as AccessSize, below(2) === 0 ? below(256) : below(2 ** 31) * 2);
          else if (kind === 27 && below(8) === 0) card.config(4 * below(64), 4, below(2 ** 31));
          else if (kind === 28) await settled();
          else if (kind === 29) begin();
        }
        await settled();
        const state = card.bus.save();
        const other = insert(subject.make(random(seed))(wiring));
        other.bus.load(state, card.bus.stateVersion);
        expect(isDeepStrictEqual(other.bus.save(), state), `case ${seed}`).toBe(true);
        card.bus.halt();
        other.bus.halt();
        await settled();
      }
      // They got further than to the first thing that is wrong.
      expect(served).toBeGreaterThan(10 * CASES);
    }, 7_200_000);
  }
});
