import { onesSum, setU16, u16 } from '../../../base/internet.ts';
import type { Offload } from '../../../host/packets.ts';
import { TAG_BYTES, TAG_TYPE } from '../vlan-tag.ts';

// What a C+ does for IPv4: checksums on both ways, and cutting ("large send") of what it sends.

const LARGE_SEND = 0x08000000;
const MOST_SEGMENT = 0x7ff;
const SUM_IP = 0x40000;
const SUM_UDP = 0x20000;
const SUM_TCP = 0x10000;
const TYPE_AT = 12;
const TYPE_IPV4 = 0x0800;
const TCP = 6;
const UDP = 17;
/** Where these have their checksums, from their headers' beginnings. */
const SUM_AT: Readonly<Record<number, number>> = { [TCP]: 16, [UDP]: 6 };

/** Offsets of the headers of a packet of IPv4. */
interface Headers {
  readonly ip: number;
  readonly transport: number;
  readonly protocol: number;
}

function headersOf(frame: Uint8Array): Headers | undefined {
  if (frame.length < TYPE_AT + 2 + TAG_BYTES) return undefined;
  const type = u16(frame, TYPE_AT) === TAG_TYPE ? TYPE_AT + TAG_BYTES : TYPE_AT;
  const ip = type + 2;
  if (u16(frame, type) !== TYPE_IPV4 || frame.length < ip + 20 || frame[ip]! >>> 4 !== 4) return undefined;
  const transport = ip + 4 * (frame[ip]! & 15);
  return transport < ip + 20 || transport > frame.length ? undefined : { ip, transport, protocol: frame[ip + 9]! };
}

/** What the flags of a descriptor ask for; the header of IP is done here. */
export function offloadOf(packet: Uint8Array, flags: number): Offload | undefined {
  const headers = headersOf(packet);
  if (headers === undefined) return undefined;
  const { ip, transport, protocol } = headers;
  const offset = SUM_AT[protocol];
  const bytes = (flags >>> 16) & MOST_SEGMENT;
  const cuts = (flags & LARGE_SEND) !== 0 && protocol === TCP && bytes > 0 && packet.length - transport >= 20;
  if (cuts) setU16(packet, ip + 2, packet.length - ip);
  // With LARGE_SEND the bits of checksums are the segments' length.
  const sums = (flags & LARGE_SEND) !== 0 ? (cuts ? SUM_IP | SUM_TCP : 0) : flags;
  if ((sums & SUM_IP) !== 0) {
    setU16(packet, ip + 10, 0);
    setU16(packet, ip + 10, ~onesSum(packet, ip, transport));
  }
  const wanted = protocol === TCP ? SUM_TCP : protocol === UDP ? SUM_UDP : 0;
  if (offset === undefined || (sums & wanted) === 0 || transport + offset + 2 > packet.length) return undefined;
  const length = Math.max(cuts ? packet.length - transport : u16(packet, ip + 2) - (transport - ip), 0);
  setU16(packet, transport + offset, onesSum(Uint8Array.of(0, protocol, length >>> 8, length), 0, 4, onesSum(packet, ip + 12, ip + 20)));
  const checksum = { start: transport, offset };
  return cuts ? { checksum, segments: { kind: 'tcp4', bytes, ecn: false } } : { checksum };
}

/** What a received packet is, in a descriptor's bits; 0: nothing that is checked. */
export function protocolBits(frame: Uint8Array): number {
  const headers = headersOf(frame);
  if (headers === undefined) return 0;
  return headers.protocol === TCP ? 0x10000 : headers.protocol === UDP ? 0x20000 : 0x30000;
}
