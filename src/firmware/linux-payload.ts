import type { Compression, Decompressor } from '../host/decompressor.ts';
import { unpackLz4 } from './lz4.ts';

// The kernel inside a bzImage: Documentation/arch/x86/boot.rst, `payload_offset` and `payload_length` (protocol 2.08).

const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const VERSION_WITH_PAYLOAD = 0x208;
/** No kernel is larger; what claims to be is not unpacked. */
const LARGEST = 512 * 2 ** 20;

const MAGIC: readonly (readonly [Compression | 'lz4', readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
];

/**
 * The unpacked kernel: an ELF file with its relocations behind it. Undefined where the host cannot unpack it, or it is
 * not what it says: then the kernel unpacks itself, and complains itself. `roomFor`: where to put so many bytes; used only
 * where it spares copying.
 */
export function unpackLinux(kernel: Uint8Array, setupBytes: number, decompressor: Decompressor | undefined, roomFor: (size: number) => Uint8Array | undefined): Uint8Array | undefined {
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  if (view.getUint16(VERSION, true) < VERSION_WITH_PAYLOAD) return undefined;
  const start = setupBytes + view.getUint32(PAYLOAD_OFFSET, true);
  const length = view.getUint32(PAYLOAD_LENGTH, true);
  if (length < 8 || start + length > kernel.length) return undefined;
  const payload = kernel.subarray(start, start + length);
  const format = MAGIC.find(([, bytes]) => bytes.every((byte, i) => payload[i] === byte))?.[0];
  if (format === undefined) return undefined;
  // Its size stands behind it, 32 bits wide: gzip's own trailer, or what the kernel's build adds to the other formats.
  const size = view.getUint32(start + length - 4, true);
  if (size > LARGEST) return undefined;
  const packed = format === 'gzip' ? payload : payload.subarray(0, length - 4);
  if (format !== 'lz4') return decompressor?.decompress(format, packed, size);
  // Our own is slower in memory that is shared than the copy that it would spare.
  return decompressor?.lz4Block === undefined ? unpackLz4(packed, size) : unpackLz4(packed, size, decompressor.lz4Block, roomFor(size));
}
