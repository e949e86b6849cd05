import { LONGEST_FRAME } from '../host/packets.ts';
import type { AcceptedOffloads, Frame, Offload } from '../host/packets.ts';
import { onesSum, setU16, setU32, u16, u32 } from '../base/internet.ts';
import { ETHERNET_BYTES, parseTcp, pseudoSum } from './headers.ts';

// What senders leave to be done to their frames, done where the receiver does not do it.

const FIN_PSH = 0x09;
const CWR = 0x80;
const FLAGS = 13;
const CHECKSUM = 16;
/** Of checksums that were made up here. */
const RIGHT: Offload = { verified: true };
/** Of payload; as small as Linux makes them. */
const LEAST_SEGMENT = 8;

/** Whether it is a frame, and the offload fits it: guests write what they like, and other guests trust what they get. */
export function isSound({ bytes, offload }: Frame): boolean {
  if (bytes.length < ETHERNET_BYTES || bytes.length > LONGEST_FRAME) return false;
  if (offload === undefined) return true;
  const { checksum, segments } = offload;
  if (checksum !== undefined && (checksum.start < ETHERNET_BYTES || checksum.start + checksum.offset + 2 > bytes.length)) return false;
  if (segments === undefined) return true;
  const tcp = parseTcp(bytes);
  return tcp?.kind === segments.kind && segments.bytes >= LEAST_SEGMENT && checksum?.start === tcp.tcp && checksum.offset === CHECKSUM;
}

/** The frames that the receiver gets, of a sound one. Those that need work are copies. */
export function finish(frame: Frame, accepted: AcceptedOffloads): readonly Frame[] {
  const { bytes, offload } = frame;
  if (offload === undefined) return [frame];
  const { checksum, segments } = offload;
  if (segments !== undefined && !takes(accepted, segments)) return segment(bytes, segments.bytes).map((piece) => ({ bytes: piece, offload: RIGHT }));
  if (checksum === undefined || accepted.checksum) return [frame];
  const copy = bytes.slice();
  const sum = ~onesSum(copy, checksum.start, copy.length) & 0xffff;
  // Zero says "no checksum" in UDP, and is the same number as its complement.
  setU16(copy, checksum.start + checksum.offset, sum === 0 ? 0xffff : sum);
  return [{ bytes: copy, offload: RIGHT }];
}

function takes(accepted: AcceptedOffloads, { kind, ecn }: NonNullable<Offload['segments']>): boolean {
  return accepted.checksum && accepted[kind] && (!ecn || accepted.ecn);
}

/** Cuts a TCP frame into frames of at most `most` bytes of payload, complete with lengths, numbers and checksums. */
function segment(frame: Uint8Array, most: number): readonly Uint8Array[] {
  const headers = parseTcp(frame)!;
  const { kind, ip, tcp, payload } = headers;
  const pieces: Uint8Array[] = [];
  for (let at = payload, index = 0; at < frame.length || index === 0; at += most, index++) {
    const end = Math.min(at + most, frame.length);
    const piece = new Uint8Array(payload + end - at);
    piece.set(frame.subarray(0, payload));
    piece.set(frame.subarray(at, end), payload);
    if (kind === 'tcp4') {
      setU16(piece, ip + 2, piece.length - ip);
      setU16(piece, ip + 4, u16(frame, ip + 4) + index);
      setU16(piece, ip + 10, 0);
      setU16(piece, ip + 10, ~onesSum(piece, ip, tcp));
    } else setU16(piece, ip + 4, piece.length - tcp);
    setU32(piece, tcp + 4, u32(frame, tcp + 4) + at - payload);
    if (end < frame.length) piece[tcp + FLAGS]! &= ~FIN_PSH;
    if (index > 0) piece[tcp + FLAGS]! &= ~CWR;
    setU16(piece, tcp + CHECKSUM, 0);
    const pseudo = pseudoSum(piece, headers, piece.length - tcp);
    setU16(piece, tcp + CHECKSUM, ~onesSum(piece, tcp, piece.length, pseudo));
    pieces.push(piece);
  }
  return pieces;
}
