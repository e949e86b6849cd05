/** Bytes of a file by offset, read at once. */
export interface FileReader {
  readonly bytes: number;
  /** Fills the whole of `target`; throws where the file ends before it. */
  read(offset: number, target: Uint8Array): void;
  /** Lets shared memory show the bytes, which arrive when they are touched; false: it cannot, so read them. */
  map?(offset: number, target: Uint8Array): boolean;
}

/** Bytes of a file by offset, written at once. */
export interface FileWriter {
  write(offset: number, source: Uint8Array): void;
}

/** What the host's library does faster than we could. */
export interface Packing {
  /** CRC-32 (ISO 3309), continued from that of the bytes before. */
  checksum(bytes: Uint8Array, before?: number): number;
  /** Raw DEFLATE (RFC 1951). */
  deflate(bytes: Uint8Array): Uint8Array;
  /** Throws unless the result has exactly `length` bytes. */
  inflate(bytes: Uint8Array, length: number): Uint8Array;
}
