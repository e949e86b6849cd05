/** How kernels are packed (Linux: Documentation/arch/x86/boot.rst, `payload_offset`), but for LZ4, which `firmware/lz4.ts` unpacks. */
export type Compression = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'zstd';

/** What the host can unpack. */
export interface Decompressor {
  /** The contents of one compressed file, which must be `size` bytes; undefined when that cannot be done here, or they are not. */
  decompress(format: Compression, packed: Uint8Array, size: number): Uint8Array | undefined;
}
