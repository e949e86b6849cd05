import { describe, expect, it } from 'vitest';
import { NO_OFFLOADS } from '../host/packets.ts';
import type { Frame } from '../host/packets.ts';
import { CardPort } from './card-port.ts';
import { onesSum, setU16, setU32, u16, u32 } from '../base/internet.ts';
import { parseTcp, pseudoSum } from './headers.ts';
import { Hub, HubPort } from './hub.ts';
import { FrameReader, encodeFrame } from './hub-link.ts';
import { finish, isSound } from './offloads.ts';

const ALL = { checksum: true, tcp4: true, tcp6: true, ecn: true };

/** TCP over IPv4 or IPv6 with so many bytes of payload and only the pseudo header's sum as checksum. */
function tcp(kind: 'tcp4' | 'tcp6', payload: number, vlan = false): Uint8Array {
  const ip = vlan ? 18 : 14;
  const start = ip + (kind === 'tcp4' ? 20 : 40);
  const frame = new Uint8Array(start + 32 + payload);
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
  if (vlan) frame.set([0x81, 0, 0, 7], 12);
  setU16(frame, ip - 2, kind === 'tcp4' ? 0x0800 : 0x86dd);
  if (kind === 'tcp4') {
    frame.set([0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], ip);
    setU16(frame, ip + 2, frame.length - ip);
    setU16(frame, ip + 10, ~onesSum(frame, ip, start));
  } else {
    frame.set([0x60, 0, 0, 0, 0, 0, 6, 64], ip);
    setU16(frame, ip + 4, frame.length - start);
    for (let i = 0; i < 32; i++) frame[ip + 8 + i] = i;
  }
  frame.set([0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0, 1, 2, 3, 4, 0x80, 0xd9, 1, 0], start); // CWR, ACK, PSH, FIN
  for (let i = 0; i < payload; i++) frame[start + 32 + i] = i * 31;
  setU16(frame, start + 16, pseudoSum(frame, parseTcp(frame)!, frame.length - start));
  return frame;
}

function good(frame: Uint8Array): boolean {
  const headers = parseTcp(frame)!;
  const ip = headers.kind === 'tcp6' || onesSum(frame, headers.ip, headers.tcp) === 0xffff;
  return ip && onesSum(frame, headers.tcp, frame.length, pseudoSum(frame, headers, frame.length - headers.tcp)) === 0xffff;
}

describe('work that was left to others', () => {
  for (const kind of ['tcp4', 'tcp6'] as const) {
    it(`cuts ${kind} into frames that are complete`, () => {
      const whole = tcp(kind, 5000, kind === 'tcp4');
      const headers = parseTcp(whole)!;
      const frame: Frame = { bytes: whole, offload: { checksum: { start: headers.tcp, offset: 16 }, segments: { kind, bytes: 1400, ecn: true } } };
      expect(isSound(frame)).toBe(true);
      const pieces = finish(frame, NO_OFFLOADS).map(({ bytes, offload }) => {
        expect(offload).toEqual({ verified: true });
        return bytes;
      });
      expect(pieces.map((piece) => piece.length - headers.payload)).toEqual([1400, 1400, 1400, 800]);
      expect(pieces.every(good)).toBe(true);
      expect(pieces.map((piece) => u32(piece, headers.tcp + 4))).toEqual([0, 1400, 2800, 4200].map((at) => (0xffffff00 + at) % 2 ** 32));
      expect(pieces.map((piece) => piece[headers.tcp + 13])).toEqual([0xd0, 0x50, 0x50, 0x59]);
      if (kind === 'tcp4') expect(pieces.map((piece) => u16(piece, headers.ip + 4))).toEqual([0x1234, 0x1235, 0x1236, 0x1237]);
      expect(pieces.flatMap((piece) => [...piece.subarray(headers.payload)])).toEqual([...whole.subarray(headers.payload)]);
      expect(finish(frame, ALL)).toEqual([frame]);
      expect(finish(frame, { ...ALL, ecn: false })).toHaveLength(4);
    });
  }

  it('makes up a checksum where the receiver does not, and leaves the sender\'s frame alone', () => {
    const whole = tcp('tcp4', 33);
    const before = whole.slice();
    const frame = { bytes: whole, offload: { checksum: { start: 34, offset: 16 } } };
    const [done] = finish(frame, NO_OFFLOADS);
    expect([good(done!.bytes), good(whole), done!.offload]).toEqual([true, false, { verified: true }]);
    expect(whole).toEqual(before);
    expect(finish(frame, ALL)).toEqual([frame]);
  });

  it('recognizes what makes no sense', () => {
    const bytes = tcp('tcp4', 100);
    const checksum = { start: 34, offset: 16 };
    const segments = { kind: 'tcp4' as const, bytes: 50, ecn: false };
    expect(isSound({ bytes, offload: { checksum, segments } })).toBe(true);
    for (const offload of [
      { checksum: { start: bytes.length, offset: 0 } }, { checksum: { start: 5, offset: 0 } }, { segments }, { checksum, segments: { ...segments, bytes: 0 } }, { checksum, segments: { ...segments, bytes: 7 } },
      { checksum, segments: { ...segments, kind: 'tcp6' as const } }, { checksum: { start: 35, offset: 16 }, segments },
    ]) expect(isSound({ bytes, offload }), JSON.stringify(offload)).toBe(false);
    for (let length = 0; length < 66; length++) expect(isSound({ bytes: bytes.subarray(0, length), offload: { checksum, segments } }), String(length)).toBe(false);
    const options = bytes.slice();
    options[14] = 0x41;
    expect(parseTcp(options)).toBeUndefined();
  });
});

/** Work that comes behind what is being done now. */
function queue() {
  const work: (() => void)[] = [];
  return { later: (one: () => void) => void work.push(one), run: () => work.splice(0).forEach((one) => one()) };
}

describe('a hub', () => {
  it('brings frames to all others, tells them once, and keeps a bounded number', () => {
    const hub = new Hub();
    const { later, run } = queue();
    let left = 0;
    const ports = [0, 1, 2].map(() => new HubPort(hub, later, () => left++));
    const told = [0, 0, 0];
    ports.forEach((port, i) => port.listen(() => told[i]!++));
    expect(ports.map((port) => port.receive())).toEqual([undefined, undefined, undefined]);
    const bytes = Uint8Array.of(1, 2, 3);
    ports[0]!.send({ bytes, offload: { verified: true } });
    bytes[0] = 9;
    ports[0]!.send({ bytes });
    run();
    expect(told).toEqual([0, 1, 1]);
    expect(ports[1]!.receive()).toEqual({ bytes: Uint8Array.of(1, 2, 3), offload: { verified: true } });
    expect(ports[1]!.receive()).toEqual({ bytes: Uint8Array.of(9, 2, 3) });
    expect(ports[1]!.receive()).toBeUndefined();
    for (let i = 0; i < 300; i++) ports[0]!.send({ bytes: new Uint8Array(65536) });
    let kept = 0;
    while (ports[1]!.receive() !== undefined) kept++;
    expect(kept).toBe(127);
    // Frames without bytes cost something, too.
    for (let i = 0; i < 100_000; i++) ports[0]!.send({ bytes: new Uint8Array(0) });
    for (kept = 0; ports[1]!.receive() !== undefined;) kept++;
    expect(kept).toBe(32768);
    ports[1]!.close();
    ports[1]!.close();
    ports[0]!.send({ bytes });
    expect([ports[1]!.receive(), left]).toEqual([undefined, 1]);
  });

  it('speaks to other processes in frames, whatever the chunks', () => {
    const frames: Frame[] = [
      { bytes: Uint8Array.of(1, 2, 3) }, { bytes: new Uint8Array(0) }, { bytes: new Uint8Array(65000).fill(7), offload: { checksum: { start: 34, offset: 16 }, segments: { kind: 'tcp6', bytes: 1400, ecn: true } } },
      { bytes: Uint8Array.of(4), offload: { verified: true } },
    ];
    const stream = Uint8Array.from(frames.flatMap((frame) => [...encodeFrame(frame)]));
    for (const size of [1, 7, 4096, stream.length]) {
      const reader = new FrameReader();
      const read: Frame[] = [];
      for (let at = 0; at < stream.length; at += size) read.push(...reader.push(stream.slice(at, at + size)));
      expect(read.map(({ bytes, ...rest }) => ({ bytes: [...bytes], ...rest }))).toEqual(frames.map(({ bytes, ...rest }) => ({ bytes: [...bytes], ...rest })));
    }
    expect(() => new FrameReader().push(new Uint8Array(16).fill(0xff))).toThrow(RangeError);
  });
});

describe('a card\'s port', () => {
  it('finishes what the card does not take, counts, shows, and keeps nonsense away', () => {
    const hub = new Hub();
    const { later } = queue();
    const seen: string[] = [];
    const card = new CardPort(new HubPort(hub, later), { frame: (direction, { bytes }) => void seen.push(`${direction} ${bytes.length}`) });
    const other = new HubPort(hub, later);
    const bytes = tcp('tcp4', 3000);
    const offload = { checksum: { start: 34, offset: 16 }, segments: { kind: 'tcp4' as const, bytes: 1000, ecn: false } };
    other.send({ bytes, offload });
    other.send({ bytes, offload: { checksum: { start: 9000, offset: 16 } } });
    card.send({ bytes, offload: { segments: offload.segments } });
    expect([1, 2, 3].map(() => good(card.receive()!.bytes))).toEqual([true, true, true]);
    expect(card.receive()).toBeUndefined();
    card.accept(ALL);
    other.send({ bytes, offload });
    expect(card.receive()).toEqual({ bytes, offload });
    card.send({ bytes, offload });
    expect(other.receive()).toEqual({ bytes, offload });
    expect(other.receive()).toBeUndefined();
    expect(seen).toEqual(['in 3066', 'in 3066', 'out 3066']);
    expect(card.figures).toEqual({ framesIn: 2, bytesIn: 6132, framesOut: 1, bytesOut: 3066 });
  });
});

it('numbers go over 2^31', () => {
  const bytes = new Uint8Array(4);
  setU32(bytes, 0, 0xfedcba98);
  expect([u32(bytes, 0), [...bytes]]).toEqual([0xfedcba98, [0xfe, 0xdc, 0xba, 0x98]]);
});
