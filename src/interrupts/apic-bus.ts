import type { MsiSink } from '../wiring/interrupt-line.ts';

export type DeliveryMode = 'fixed' | 'lowest' | 'smi' | 'nmi' | 'init' | 'startup' | 'extint';
const modes: readonly (DeliveryMode | undefined)[] = ['fixed', 'lowest', 'smi', undefined, 'nmi', 'init', 'startup', 'extint'];

/** Delivery mode field of ICR, LVT, redirection entries and MSI data (Intel SDM 3A, 11.6.1). */
export function deliveryMode(field: number): DeliveryMode | undefined {
  return modes[field & 7];
}

export interface ApicMessage {
  readonly mode: DeliveryMode;
  readonly vector: number;
  readonly level: boolean;
  readonly logical: boolean;
  readonly destination: number;
}

/** A local APIC as senders of messages know it. */
export interface ApicTarget {
  /** Whether a destination field names it. */
  matches(destination: number, logical: boolean): boolean;
  readonly processorPriority: number;
  accept(mode: DeliveryMode, vector: number, level: boolean): void;
}

/** Carries messages between local APICs, I/O APICs and message-signalled interrupts. */
export class ApicBus implements MsiSink {
  readonly #apics: ApicTarget[] = [];
  readonly #endOfInterrupt: ((vector: number) => void)[] = [];

  add(apic: ApicTarget): void {
    this.#apics.push(apic);
  }
  onEndOfInterrupt(callback: (vector: number) => void): void {
    this.#endOfInterrupt.push(callback);
  }
  broadcastEoi(vector: number): void {
    for (const callback of this.#endOfInterrupt) callback(vector);
  }

  deliver(message: ApicMessage): void {
    const targets = this.#apics.filter((apic) => apic.matches(message.destination, message.logical));
    if (message.mode === 'lowest' && targets.length > 1) {
      // Arbitration by processor priority; the lowest number wins a tie.
      targets.sort((a, b) => a.processorPriority - b.processorPriority);
      targets.length = 1;
    }
    for (const apic of targets) apic.accept(message.mode, message.vector, message.level);
  }
  /** Every APIC but `except` (shorthands 10 and 11 of the ICR). */
  deliverAll(mode: DeliveryMode, vector: number, level: boolean, except: ApicTarget | undefined): void {
    for (const apic of this.#apics) if (apic !== except) apic.accept(mode, vector, level);
  }

  send(address: number, data: number): void {
    const mode = deliveryMode(data >> 8);
    if (mode === undefined) return;
    this.deliver({ mode, vector: data & 0xff, level: (data & 0x8000) !== 0, logical: (address & 4) !== 0, destination: (address >>> 12) & 0xff });
  }
}
