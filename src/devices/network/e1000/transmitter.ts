import { onesSum, setU16, u16 } from '../../../base/internet.ts';
import type { Plain } from '../../../base/plain.ts';
import type { Frame, Offload } from '../../../host/packets.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { StateFields } from '../../state-fields.ts';
import { OutgoingFrame } from '../outgoing-frame.ts';

// Transmit descriptors (8254x manual, section 3.3): they are collected until a packet is whole.

const DESCRIPTOR_BYTES = 16;
const LEGACY_LENGTH = 0xffff;
const EXTENDED_LENGTH = 0xfffff;
const END = 0x01;
const CHECKSUM = 0x04;
const SEGMENT = 0x04;
const EXTENDED = 0x20;
const TAG = 0x40;
const REPORT = 0x08;
const DONE = 1;
const INSERT_IP = 1;
const INSERT_TCP = 2;
const CONTEXT_TCP = 1;
const CONTEXT_IPV4 = 2;

/** What a context descriptor has said: where checksums begin, belong and end, and how to cut. */
interface Context {
  readonly ip: { readonly start: number; readonly at: number; readonly end: number };
  readonly tcp: { readonly start: number; readonly at: number; readonly end: number };
  readonly command: number;
  readonly headerBytes: number;
  readonly most: number;
}

const NO_CONTEXT: readonly number[] = [0, 0, 0, 0];

function readContext(words: readonly number[]): Context {
  const offsets = (word: number) => ({ start: word & 0xff, at: (word >>> 8) & 0xff, end: word >>> 16 });
  return { ip: offsets(words[0]!), tcp: offsets(words[1]!), command: words[2]! >>> 24, headerBytes: (words[3]! >>> 8) & 0xff, most: words[3]! >>> 16 };
}

export class Transmitter {
  readonly #memory: GuestMemory;
  readonly #frame: OutgoingFrame;
  readonly #descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  readonly #view = new DataView(this.#descriptor.buffer);
  #context: readonly number[] = NO_CONTEXT;
  /** Of the packet's first descriptor. */
  #options = 0;
  #segmented = false;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.#frame = new OutgoingFrame(memory);
  }

  /** Takes one descriptor. `sent` gets the frame that it completes; true: the driver wants to hear that it is done. */
  take(address: number, tagType: number, sent: (frame: Frame) => void): boolean {
    this.#memory.read(address, this.#descriptor);
    const view = this.#view;
    const [low, high, command, last] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [number, number, number, number];
    const flags = command >>> 24;
    const extended = (flags & EXTENDED) !== 0;
    const kind = (command >>> 20) & 15;
    if (extended && kind === 0) this.#context = [low, high, command, last];
    else {
      const options = extended ? (last >>> 8) & 0xff : 0;
      if (this.#frame.length === 0) {
        this.#options = options;
        this.#segmented = extended && (flags & SEGMENT) !== 0;
      }
      this.#frame.append(high * 2 ** 32 + low, command & (extended ? EXTENDED_LENGTH : LEGACY_LENGTH));
      if ((flags & END) !== 0) this.#frame.finish(extended ? this.#extended() : (flags & CHECKSUM) === 0 ? undefined : legacy(command, last), (flags & TAG) !== 0 ? { type: tagType, tag: last >>> 16 } : undefined, sent);
    }
    if ((flags & REPORT) === 0) return false;
    this.#memory.writeU32(address + 12, last | DONE);
    return true;
  }

  /** What the context says is to be done, of which the header of IP is done here. */
  #extended(): Offload | undefined {
    const { ip, tcp, command, headerBytes, most } = readContext(this.#context);
    const packet = this.#frame.bytes;
    const ipv4 = (command & CONTEXT_IPV4) !== 0;
    const cuts = this.#segmented && (command & CONTEXT_TCP) !== 0 && packet.length > headerBytes && most > 0 && tcp.at >= tcp.start;
    if (cuts) completeHeaders(packet, ipv4, ip.start, tcp);
    if (((this.#options & INSERT_IP) !== 0 || cuts) && ipv4) insertChecksum(packet, ip.start, ip.at, ip.end);
    if ((this.#options & INSERT_TCP) === 0 && !cuts) return undefined;
    if (cuts) return { checksum: { start: tcp.start, offset: tcp.at - tcp.start }, segments: { kind: ipv4 ? 'tcp4' : 'tcp6', bytes: most, ecn: false } };
    if (tcp.end === 0 && tcp.at >= tcp.start) return { checksum: { start: tcp.start, offset: tcp.at - tcp.start } };
    insertChecksum(packet, tcp.start, tcp.at, tcp.end);
    return undefined;
  }

  reset(): void {
    this.#frame.reset();
    this.#segmented = false;
    this.#context = NO_CONTEXT;
    this.#options = 0;
  }
  save(): Plain {
    return { ...this.#frame.save(), context: [...this.#context], options: this.#options, segmented: this.#segmented };
  }
  load(state: Plain): void {
    const fields = new StateFields('e1000 transmitter', state, 1, 1);
    const context = fields.integers('context', 4, 0xffffffff);
    const [options, segmented] = [fields.byte('options'), fields.boolean('segmented')];
    this.#frame.load(fields);
    [this.#options, this.#segmented] = [options, segmented];
    this.#context = NO_CONTEXT.map((_, i) => context[i] ?? 0);
  }
}

/** Offset and start of a legacy descriptor's checksum, which goes to the packet's end. */
function legacy(command: number, last: number): Offload | undefined {
  const [at, start] = [(command >>> 16) & 0xff, (last >>> 8) & 0xff];
  return at >= start ? { checksum: { start, offset: at - start } } : undefined;
}

/** What lies outside of the packet is not written. */
function put(bytes: Uint8Array, at: number, value: number): void {
  if (at + 2 <= bytes.length) setU16(bytes, at, value);
}

/** 3.3.3: `last` is the last byte, 0 the packet's. Where the checksum belongs may lie in between, and counts as it is. */
function insertChecksum(packet: Uint8Array, start: number, at: number, last: number): void {
  put(packet, at, ~onesSum(packet, start, last === 0 ? packet.length : Math.min(last + 1, packet.length)));
}

/** 3.5.3: before it is cut, the packet lacks its length, and the TCP checksum field holds a pseudo header's sum without one. */
function completeHeaders(packet: Uint8Array, ipv4: boolean, ip: number, tcp: { readonly start: number; readonly at: number }): void {
  if (ipv4) {
    put(packet, ip + 2, packet.length - ip);
    put(packet, ip + 10, 0);
  } else put(packet, ip + 4, packet.length - ip - 40);
  const pseudo = u16(packet, tcp.at) + packet.length - tcp.start;
  put(packet, tcp.at, (pseudo % 65536) + Math.floor(pseudo / 65536));
}
