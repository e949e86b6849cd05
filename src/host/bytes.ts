/** Where a device sends a byte stream (a serial line's output, say). */
export interface ByteSink {
  write(bytes: Uint8Array): void;
  /**
   * While the sink cannot take more: a promise that settles when it can; the machine stands still until then.
   * Missing or undefined: go on. Writing all the same is legal and loses nothing.
   */
  ready?(): Promise<void> | undefined;
}
