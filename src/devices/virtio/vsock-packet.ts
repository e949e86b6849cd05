/** Header of a packet (virtio 1.2, section 5.10.6: struct virtio_vsock_hdr). */
export interface VsockHeader {
  readonly sourceCid: bigint;
  readonly targetCid: bigint;
  readonly sourcePort: number;
  readonly targetPort: number;
  /** Bytes behind the header. */
  readonly length: number;
  readonly type: number;
  readonly operation: number;
  readonly flags: number;
  /** What the sender has room for, and how much of what it got it has handed on, modulo 2^32. */
  readonly room: number;
  readonly forwarded: number;
}

export const VSOCK_HEADER_BYTES = 44;
export const STREAM = 1;
export const OPERATION = { request: 1, response: 2, reset: 3, shutdown: 4, data: 5, creditUpdate: 6, creditRequest: 7 } as const;
export const NO_MORE_RECEIVED = 1;
export const NO_MORE_SENT = 2;

export function readVsockHeader(bytes: Uint8Array): VsockHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, VSOCK_HEADER_BYTES);
  const u32 = (at: number): number => view.getUint32(at, true);
  return {
    sourceCid: view.getBigUint64(0, true), targetCid: view.getBigUint64(8, true), sourcePort: u32(16), targetPort: u32(20), length: u32(24),
    type: view.getUint16(28, true), operation: view.getUint16(30, true), flags: u32(32), room: u32(36), forwarded: u32(40),
  };
}

export function writeVsockHeader(header: VsockHeader): Uint8Array {
  const bytes = new Uint8Array(VSOCK_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, header.sourceCid, true);
  view.setBigUint64(8, header.targetCid, true);
  view.setUint16(28, header.type, true);
  view.setUint16(30, header.operation, true);
  for (const [at, value] of [[16, header.sourcePort], [20, header.targetPort], [24, header.length], [32, header.flags], [36, header.room], [40, header.forwarded]] as const) view.setUint32(at, value, true);
  return bytes;
}
