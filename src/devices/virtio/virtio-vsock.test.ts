import { describe, expect, it } from 'vitest';
import type { ConnectionWish, HostSocket, HostSocketEvents, SocketPort } from '../../host/sockets.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import { SplitRing } from './split-ring.ts';
import { VirtioVsock } from './virtio-vsock.ts';
import { Virtqueue } from './virtqueue.ts';
import { OPERATION, readVsockHeader, writeVsockHeader } from './vsock-packet.ts';
import type { VsockHeader } from './vsock-packet.ts';

const DATA = 0x80000;
const CID = 7n;

class TestSocket implements HostSocket {
  events: HostSocketEvents | undefined;
  log: string[] = [];
  /** Writes that the host has not taken. */
  readonly untaken: (() => void)[] = [];
  slow = false;
  listen(events: HostSocketEvents): void {
    this.events = events;
  }
  write(bytes: Uint8Array): Promise<void> {
    this.log.push(`write ${bytes.length}`);
    return this.slow ? new Promise((resolve) => this.untaken.push(resolve)) : Promise.resolve();
  }
  end(): void {
    this.log.push('end');
  }
  pause(): void {
    this.log.push('pause');
  }
  resume(): void {
    this.log.push('resume');
  }
  destroy(): void {
    this.log.push('destroy');
  }
}

function make() {
  const sockets = new Map<number, TestSocket>();
  let wish: (wish: ConnectionWish) => void = () => {};
  const port: SocketPort = { connect: async (number) => sockets.get(number), listen: (listener) => (wish = listener), close: () => {} };
  const device = new VirtioVsock({ cid: Number(CID), sockets: port });
  const memory = new LinearMemory(1 << 20);
  const drivers = device.queueSizes.map((_, i) => new DriverQueue(memory, 'split', 0x10000 * (i + 1), 8));
  const broken: string[] = [];
  const queues = drivers.map((driver) => new Virtqueue(new SplitRing(memory, driver.place), 8, { interrupt: () => {}, broken: (reason) => void broken.push(reason) }));
  device.start({ features: 1n, begins: true, queues, configChanged: () => {} });
  const usual: VsockHeader = { sourceCid: CID, targetCid: 2n, sourcePort: 1000, targetPort: 80, length: 0, type: 1, operation: 0, flags: 0, room: 100_000, forwarded: 0 };
  const send = (packet: Partial<VsockHeader>, bytes = 0): void => {
    memory.write(DATA, writeVsockHeader({ ...usual, length: bytes, ...packet }));
    drivers[1]!.add([{ address: DATA, length: 44 + bytes }]);
    device.notified(1);
    drivers[1]!.take();
  };
  const offered = new Map<number, number>();
  /** What has come, by name and length. */
  const heard = (): (VsockHeader & { readonly what: string })[] => {
    const packets = [];
    for (;;) {
      while (drivers[0]!.free > 0) {
        const at = DATA + 0x20000 + 0x1100 * ([0, 1, 2, 3, 4, 5, 6, 7].find((i) => ![...offered.values()].includes(DATA + 0x20000 + 0x1100 * i))!);
        offered.set(drivers[0]!.add([{ address: at, length: 4096, write: true }]), at);
      }
      device.notified(0);
      const used = drivers[0]!.take();
      if (used.length === 0) return packets;
      for (const { id } of used) {
        const header = new Uint8Array(44);
        memory.read(offered.get(id)!, header);
        offered.delete(id);
        const packet = readVsockHeader(header);
        packets.push({ ...packet, what: `${Object.entries(OPERATION).find(([, number]) => number === packet.operation)?.[0]} ${packet.length}` });
      }
    }
  };
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
  return { device, drivers, memory, sockets, ask: (one: ConnectionWish) => wish(one), send, heard, turn, broken };
}
const names = (packets: readonly { readonly what: string }[]): string[] => packets.map(({ what }) => what);

describe('virtio-vsock', () => {
  it('joins the guest with ports of the host, with credit both ways', async () => {
    const { sockets, send, heard, turn } = make();
    const socket = new TestSocket();
    sockets.set(80, socket);
    send({ operation: OPERATION.request, room: 5000 });
    await turn();
    const [response] = heard();
    expect([response!.what, response!.sourceCid, response!.targetCid, response!.sourcePort, response!.targetPort, response!.room]).toEqual(['response 0', 2n, CID, 80, 1000, 1 << 18]);
    send({ operation: OPERATION.data, room: 5000 }, 300);
    expect(socket.log).toEqual(['write 300']);
    await turn();
    // No more than the guest has room for.
    socket.events!.data(new Uint8Array(9000));
    expect(names(heard())).toEqual(['data 4052', 'data 948']);
    send({ operation: OPERATION.creditUpdate, room: 5000, forwarded: 4500 });
    expect(names(heard())).toEqual(['data 4000']);
    // What the host does not take yet counts against the guest.
    socket.slow = true;
    for (let i = 0; i < 4; i++) send({ operation: OPERATION.data }, 60_000);
    send({ operation: OPERATION.creditRequest });
    expect(heard().map(({ what, forwarded }) => [what, forwarded])).toEqual([['creditUpdate 0', 300]]);
    for (socket.slow = false; socket.untaken.length > 0;) socket.untaken.shift()!();
    await turn();
    expect(heard().at(-1)).toMatchObject({ what: 'creditUpdate 0', forwarded: 240_300 });
    socket.log = [];
    socket.slow = true;
    for (let i = 0; i < 5; i++) send({ operation: OPERATION.data }, 60_000);
    expect([socket.log.at(-1), names(heard())]).toEqual(['destroy', ['reset 0']]);
  });

  it('joins programs of the host with ports of the guest, and ends in order', async () => {
    const { ask, send, heard, device } = make();
    const [socket, other] = [new TestSocket(), new TestSocket()];
    const accepted: number[] = [];
    ask({ port: 1000, socket, accepted: (port) => void accepted.push(port) });
    ask({ port: 1001, socket: other, accepted: (port) => void accepted.push(port) });
    const [request, second] = heard();
    expect([request!.what, request!.targetPort, second!.targetPort]).toEqual(['request 0', 1000, 1001]);
    send({ operation: OPERATION.reset, targetPort: second!.sourcePort, sourcePort: 1001 });
    expect(other.log).toEqual(['destroy']);
    const targetPort = request!.sourcePort;
    send({ operation: OPERATION.response, targetPort });
    expect(accepted).toEqual([targetPort]);
    socket.events!.data(new Uint8Array(200_000));
    expect(socket.log).toEqual(['pause']);
    heard();
    send({ operation: OPERATION.creditUpdate, targetPort, room: 2 ** 20 });
    heard();
    expect(socket.log).toEqual(['pause', 'resume']);
    socket.events!.ended();
    expect(heard().map(({ what, flags }) => [what, flags])).toEqual([['shutdown 0', 2]]);
    send({ operation: OPERATION.shutdown, targetPort, flags: 2 });
    expect(socket.log.at(-1)).toBe('end');
    expect(device.save()).toEqual({ reset: true });
    send({ operation: OPERATION.shutdown, targetPort, flags: 3 });
    expect([names(heard()), device.save()]).toEqual([['reset 0'], { reset: false }]);
  });

  it('refuses what is not for it, and a guest that makes no sense', async () => {
    const { sockets, send, heard, turn, device, drivers, memory, broken } = make();
    send({ operation: OPERATION.request, targetPort: 81 });
    await turn();
    expect(names(heard())).toEqual(['reset 0']);
    for (const wrong of [{ targetCid: 3n }, { sourceCid: 8n }, { operation: OPERATION.reset }]) send({ operation: OPERATION.request, ...wrong });
    expect(heard()).toEqual([]);
    for (const wrong of [{ type: 2 }, { operation: OPERATION.data }, { operation: 99 }, { operation: OPERATION.response }]) send({ operation: OPERATION.request, ...wrong });
    expect(names(heard())).toEqual(['reset 0', 'reset 0', 'reset 0', 'reset 0']);
    const socket = new TestSocket();
    sockets.set(80, socket);
    for (const wrong of [{ length: 5 }, { length: 2 ** 32 - 1 }]) {
      send({ operation: OPERATION.request });
      await turn();
      send({ operation: OPERATION.data, ...wrong }, 10);
      expect(names(heard())).toEqual(['response 0', 'reset 0']);
    }
    // A driver that gives no buffers for answers is not listened to for ever.
    let sent = 0;
    for (; drivers[1]!.free > 0 && sent < 1000; sent++) send({ operation: OPERATION.data });
    expect([sent > 256, sent < 300]).toEqual([true, true]);
    expect(names(heard())).toEqual(new Array(sent).fill('reset 0'));
    memory.write(DATA, new Uint8Array(64));
    drivers[1]!.take();
    drivers[1]!.add([{ address: DATA, length: 20 }]);
    device.notified(1);
    expect(broken).toEqual(['a packet has no header']);
    device.stop();
  });

  it('gathers what a guest sends byte by byte to a program that is slow, and ends behind it', async () => {
    const { sockets, send, heard, turn } = make();
    const socket = new TestSocket();
    sockets.set(80, socket);
    send({ operation: OPERATION.request });
    await turn();
    heard();
    socket.slow = true;
    for (let i = 0; i < 20_001; i++) send({ operation: OPERATION.data }, i % 2 === 0 ? 1 : 0);
    send({ operation: OPERATION.shutdown, flags: 2 });
    expect(socket.log).toEqual(['write 1']);
    socket.slow = false;
    socket.untaken.shift()!();
    await turn();
    expect(socket.log).toEqual(['write 1', 'write 10000', 'end']);
    send({ operation: OPERATION.creditRequest });
    expect(heard()).toMatchObject([{ what: 'creditUpdate 0', forwarded: 10_001 }]);
  });

  it('asks the host for a bounded number of connections, however fast the guest gives them up', async () => {
    const { sockets, send, heard, turn } = make();
    sockets.set(80, new TestSocket());
    let refused = 0;
    for (let i = 0; i < 1200; i++) {
      send({ operation: OPERATION.request });
      refused += heard().length;
      send({ operation: OPERATION.reset });
    }
    expect(refused).toBe(1200 - 1024);
    await turn();
    send({ operation: OPERATION.request });
    await turn();
    expect(names(heard())).toEqual(['response 0']);
  });

  it('tells a guest that goes on elsewhere that its connections are gone', async () => {
    const { device, drivers, memory, turn } = make();
    device.load({ reset: true });
    device.start({ features: 1n, begins: false, queues: drivers.map((driver) => new Virtqueue(new SplitRing(memory, driver.place), 8, { interrupt: () => {}, broken: () => {} })), configChanged: () => {} });
    expect(device.save()).toEqual({ reset: true });
    drivers[2]!.add([{ address: DATA, length: 4, write: true }]);
    await turn();
    expect([drivers[2]!.take().map(({ written }) => written), device.save()]).toEqual([[4], { reset: false }]);
    expect(() => device.load({ reset: 1 })).toThrow(/true or false/);
  });
});
