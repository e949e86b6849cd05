/** How the machine's thread gives way to the host's event loop. */
export interface Scheduler {
  /** Lets pending events of the host run. */
  yield(): Promise<void>;
  /** Sleeps until about `ns` nanoseconds have passed (undefined: without end) or `wake` is called. */
  sleep(ns: number | undefined): Promise<void>;
  /** Ends a `sleep` early, also one that is about to begin. */
  wake(): void;
}
