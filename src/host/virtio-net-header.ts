import type { Frame, Offload } from './packets.ts';

// struct virtio_net_hdr (virtio 1.2, section 5.1.6), without the count of buffers behind it: virtio's network devices and
// Linux's TAP interfaces have it in front of each frame.

export const VIRTIO_NET_HEADER_BYTES = 10;
const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_TCP4 = 1;
const GSO_TCP6 = 4;
const GSO_ECN = 0x80;

/** `headersBytes`: a hint, how much of a frame that is to be cut are headers. */
export function writeVirtioNetHeader(target: Uint8Array, { checksum, segments, verified = false }: Offload, headersBytes = 0): void {
  const view = new DataView(target.buffer, target.byteOffset);
  view.setUint8(0, checksum !== undefined ? NEEDS_CSUM : verified ? DATA_VALID : 0);
  view.setUint8(1, segments === undefined ? 0 : (segments.kind === 'tcp4' ? GSO_TCP4 : GSO_TCP6) | (segments.ecn ? GSO_ECN : 0));
  view.setUint16(2, headersBytes, true);
  view.setUint16(4, segments?.bytes ?? 0, true);
  view.setUint16(6, checksum?.start ?? 0, true);
  view.setUint16(8, checksum?.offset ?? 0, true);
}

/** What the header says of the frame behind it; segments of kinds that nobody has are left out. */
export function readVirtioNetHeader(source: Uint8Array): Pick<Frame, 'offload'> {
  const view = new DataView(source.buffer, source.byteOffset);
  const flags = view.getUint8(0);
  if ((flags & NEEDS_CSUM) === 0) return (flags & DATA_VALID) === 0 ? {} : { offload: { verified: true } };
  const checksum = { start: view.getUint16(6, true), offset: view.getUint16(8, true) };
  const type = view.getUint8(1);
  const kind = (type & ~GSO_ECN) === GSO_TCP4 ? 'tcp4' : (type & ~GSO_ECN) === GSO_TCP6 ? 'tcp6' : undefined;
  if (kind === undefined) return { offload: { checksum } };
  return { offload: { checksum, segments: { kind, bytes: view.getUint16(4, true), ecn: (type & GSO_ECN) !== 0 } } };
}
