import type { EdgeLine, LevelLine } from '../wiring/interrupt-line.ts';
import type { IoApic } from './io-apic.ts';
import type { PicPair } from './pic.ts';

/** I/O APIC input of an ISA interrupt: the timer's is 2 (the override in the MADT), the others go straight. */
export function ioApicPin(irq: number): number {
  return irq === 0 ? 2 : irq;
}

/** Inputs of the 8259 pair; those of the I/O APIC go on behind them. */
const PIC_INPUTS = 16;

/** Interrupt lines: each drives its 8259 input, if it has one, and its I/O APIC input. Sharers of a level line are ORed. */
export class IrqRouter {
  readonly #pic: PicPair;
  readonly #ioApic: IoApic;
  readonly #holders = new Map<number, number>();

  constructor(pic: PicPair, ioApic: IoApic) {
    this.#pic = pic;
    this.#ioApic = ioApic;
  }

  level(irq: number): LevelLine {
    let high = false;
    return {
      kind: 'level',
      set: (next) => {
        if (next === high) return;
        high = next;
        const holders = (this.#holders.get(irq) ?? 0) + (next ? 1 : -1);
        this.#holders.set(irq, holders);
        if (holders > (next ? 1 : 0)) return;
        if (irq < PIC_INPUTS) this.#pic.setLine(irq, next);
        this.#ioApic.setLine(ioApicPin(irq), next);
      },
    };
  }

  edge(irq: number): EdgeLine {
    return {
      kind: 'edge',
      pulse: () => {
        if (irq < PIC_INPUTS) this.#pic.pulse(irq);
        this.#ioApic.pulse(ioApicPin(irq));
      },
    };
  }
}
