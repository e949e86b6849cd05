/** How kernels are packed (Linux: Documentation/arch/x86/boot.rst, `payload_offset`), but for LZ4, of which a host may know blocks. */
export type Compression = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'zstd';

/** What the host can unpack. */
export interface Decompressor {
  /** The contents of one compressed file, which must be `size` bytes; undefined when that cannot be done here, or they are not. */
  decompress(format: Compression, packed: Uint8Array, size: number): Uint8Array | undefined;
  /** What is quicker here at a block of LZ4 than `firmware/lz4.ts`. */
  readonly lz4Block?: Lz4Block | undefined;
}

/** Unpacks a block of LZ4 (lz4_Block_format.md) into the beginning of `target`; the bytes written, negative when it is damaged or they do not fit. */
export type Lz4Block = (packed: Uint8Array, target: Uint8Array) => number;
