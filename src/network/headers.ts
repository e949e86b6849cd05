import { onesSum, u16 } from '../base/internet.ts';

// Headers of Ethernet, IPv4 (RFC 791), IPv6 (RFC 8200) and TCP (RFC 9293), as far as cards look into them.

export const ETHERNET_BYTES = 14;
const VLAN_BYTES = 4;
const VLAN_TYPES: readonly number[] = [0x8100, 0x88a8];
const MOST_VLANS = 2;
const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
const PROTOCOL_TCP = 6;
const IPV6_BYTES = 40;

/** Where a TCP frame's headers are. */
export interface TcpFrame {
  readonly kind: 'tcp4' | 'tcp6';
  readonly ip: number;
  readonly tcp: number;
  readonly payload: number;
}

/** Undefined when the frame is not TCP over IP, or cut short, or has extension headers. */
export function parseTcp(frame: Uint8Array): TcpFrame | undefined {
  let type = ETHERNET_BYTES - 2;
  for (let i = 0; i < MOST_VLANS && type + 2 <= frame.length && VLAN_TYPES.includes(u16(frame, type)); i++) type += VLAN_BYTES;
  const ip = type + 2;
  if (ip + 20 > frame.length) return undefined;
  const kind = u16(frame, type) === TYPE_IPV4 ? 'tcp4' : u16(frame, type) === TYPE_IPV6 ? 'tcp6' : undefined;
  if (kind === undefined || frame[ip]! >>> 4 !== (kind === 'tcp4' ? 4 : 6)) return undefined;
  const headerBytes = kind === 'tcp4' ? (frame[ip]! & 15) * 4 : IPV6_BYTES;
  const protocol = frame[ip + (kind === 'tcp4' ? 9 : 6)];
  const tcp = ip + headerBytes;
  if (headerBytes < 20 || protocol !== PROTOCOL_TCP || tcp + 20 > frame.length) return undefined;
  const payload = tcp + (frame[tcp + 12]! >>> 4) * 4;
  return payload < tcp + 20 || payload > frame.length ? undefined : { kind, ip, tcp, payload };
}

/** The pseudo header's sum of a TCP segment with `length` bytes, header included (RFC 9293, 3.1; RFC 8200, 8.1). */
export function pseudoSum(frame: Uint8Array, { kind, ip }: TcpFrame, length: number): number {
  const [from, to] = kind === 'tcp4' ? [ip + 12, ip + 20] : [ip + 8, ip + 40];
  return onesSum(frame, from, to, PROTOCOL_TCP + length);
}
