/** A level-triggered interrupt line: the device holds it high until the cause is gone. */
export interface LevelLine {
  readonly kind: 'level';
  set(high: boolean): void;
}

/** An edge-triggered interrupt line: each pulse is one event. */
export interface EdgeLine {
  readonly kind: 'edge';
  pulse(): void;
}

/** Receives a message-signalled interrupt: a 32-bit write to the 0xFEExxxxx window (Intel SDM 3A, 11.11). */
export interface MsiSink {
  send(address: number, data: number): void;
}
