import type { Vcpu } from '../cpu/vcpu.ts';
import type { MonotonicClock } from '../host/clock.ts';
import type { Log } from '../host/log.ts';
import type { LinearMemory } from '../memory/linear-memory.ts';
import type { InterruptInput } from '../wiring/interrupt-input.ts';
import type { SystemBus } from '../wiring/system-bus.ts';

/** What every engine gets to make one vCPU (DESIGN D7). */
export interface VcpuParts {
  readonly memory: WebAssembly.Memory;
  /** The same as devices see it. */
  readonly ram: LinearMemory;
  readonly bus: SystemBus;
  readonly interrupts: InterruptInput;
  readonly hostTsc: () => number;
  /** Its rate: as the machine was made, or as a stored one had it. */
  readonly tscKhz: () => number;
  readonly random32: () => number;
  /** FERR#, and the IGNNE# that answers it. */
  readonly numericError: (pending: boolean) => boolean;
  readonly index: number;
  /** What of KVM's paravirtual interface the guest is offered: bits of cpu/paravirt.ts; missing: nothing. */
  readonly paravirt?: number;
  /** The time of day when the guest's clock was zero, in microseconds since 1970. */
  readonly bootTime?: () => number;
  /** For figures of the engine's own. */
  readonly clock: MonotonicClock;
  /** Asked for kind 'exception'. */
  readonly log: Log;
}

export type EngineFactory = (parts: VcpuParts) => Vcpu;
