import type { EngineUsage, TranslationFigures } from '../cpu/vcpu.ts';
import type { MachineEnd } from '../machine/machine.ts';

/** Figures about a run, whatever the host is; docs/report.md describes each. Times in seconds since `start`. */
export interface MachineReport {
  readonly reportVersion: 1;
  readonly polyvisor: string;
  /** Name in the catalogue; null for a kernel of one's own. */
  readonly guest: string | null;
  readonly engine: string;
  readonly cpus: number;
  /** Why the machine ended; null while it runs. */
  readonly end: MachineEnd['kind'] | null;
  readonly wallSeconds: number;
  readonly firstConsoleByteSeconds: number | null;
  readonly powerOffSeconds: number | null;
  /** Asleep because the guest was idle. */
  readonly idleSeconds: number;
  readonly resets: number;
  /** Guest instructions by engine. */
  readonly instructions: Readonly<Record<string, number | null>>;
  /** What each engine of the machine has done. */
  readonly engines: Readonly<Record<string, EngineUsage>>;
  /** Changes of the engine, and the longest that the guest stood still for one. */
  readonly switches: { readonly count: number; readonly longestMs: number };
  /** How often the engine left or served guest code, by cause. */
  readonly exits: Readonly<Record<string, number>>;
  readonly console: { readonly bytesOut: number; readonly bytesIn: number };
  readonly memory: { readonly guestBytes: number };
  /** Null where the engine does not translate. `threadSeconds`: its thread was at work. */
  readonly translation: (TranslationFigures & { readonly threadSeconds: number }) | null;
}
