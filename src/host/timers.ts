/** One timer of a device. At most one deadline is armed at a time; arming again replaces it. */
export interface Timer {
  /** Calls the callback once, at the first opportunity when the monotonic clock has reached `deadline` (ns). */
  arm(deadline: number): void;
  disarm(): void;
  /** The armed deadline in ns, or undefined. */
  readonly deadline: number | undefined;
}

/** Where devices get their timers. The machine runs due callbacks between slices of guest execution. */
export interface Timers {
  create(name: string, callback: () => void): Timer;
}
