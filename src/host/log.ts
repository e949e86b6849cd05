/** Diagnostics of the monitor itself, never of the guest's console. */
export interface Log {
  warn(message: string): void;
  /** True when the named kind of trace was asked for (`--trace KINDS`); check before building a message. */
  tracing(kind: string): boolean;
  trace(kind: string, message: string): void;
}
