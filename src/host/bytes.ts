/** Where a device sends a byte stream (a serial line's output, say). */
export interface ByteSink {
  write(bytes: Uint8Array): void;
}
