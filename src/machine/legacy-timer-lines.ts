import type { IrqRouter } from '../interrupts/irq-router.ts';
import type { EdgeLine, LevelLine } from '../wiring/interrupt-line.ts';

/** Interrupt lines of the interval timer and the clock, which the HPET may take for itself (IA-PC HPET 1.0a, 2.3.5). */
export interface LegacyTimerLines {
  readonly intervalTimer: EdgeLine;
  readonly clock: LevelLine;
  /** The HPET has them, or gives them back. */
  readonly replace: (on: boolean) => void;
}

export function legacyTimerLines(irq: IrqRouter): LegacyTimerLines {
  const timer = irq.edge(0);
  const clock = irq.level(8);
  let replaced = false;
  let high = false;
  return {
    intervalTimer: {
      kind: 'edge',
      pulse: () => {
        if (!replaced) timer.pulse();
      },
    },
    clock: {
      kind: 'level',
      set: (next) => {
        high = next;
        clock.set(high && !replaced);
      },
    },
    replace: (on) => {
      replaced = on;
      clock.set(high && !replaced);
    },
  };
}
