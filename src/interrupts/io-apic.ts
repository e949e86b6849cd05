import { StateError } from '../base/errors.ts';
import type { AccessSize } from '../base/addresses.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';
import { deliveryMode } from './apic-bus.ts';
import type { ApicBus } from './apic-bus.ts';

// Intel 82093AA data sheet (290566).

const PINS = 24;
const MASKED = 0x10000;
const LEVEL = 0x8000;
const REMOTE_IRR = 0x4000;
const LOGICAL = 0x800;

export class IoApic implements RegisterBlock, Stateful {
  readonly name = 'io-apic';
  readonly length = 4096;
  readonly stateName = 'io-apic';
  readonly stateVersion = 1;
  readonly #bus: ApicBus;
  #select = 0;
  #id = 0;
  #lines = 0;
  readonly #low = new Uint32Array(PINS).fill(MASKED);
  readonly #high = new Uint32Array(PINS);

  constructor(bus: ApicBus) {
    this.#bus = bus;
    bus.onEndOfInterrupt((vector) => this.#endOfInterrupt(vector));
  }

  reset(): void {
    this.#select = 0;
    this.#id = 0;
    this.#low.fill(MASKED);
    this.#high.fill(0);
  }

  /**
   * `high`: the interrupt is asserted. What polarity an entry has makes no difference: boards wire each line as the guest expects
   * it, for guests that believe in the PCI specification (active low) and those that believe in the MADT (active high) both exist.
   */
  setLine(pin: number, high: boolean): void {
    const bit = 1 << pin;
    const was = (this.#lines & bit) !== 0;
    if (high) this.#lines |= bit;
    else this.#lines &= ~bit;
    if (high && (!was || (this.#low[pin]! & LEVEL) !== 0)) this.#fire(pin);
  }
  pulse(pin: number): void {
    this.#fire(pin);
  }

  #fire(pin: number): void {
    const entry = this.#low[pin]!;
    if ((entry & MASKED) !== 0) return;
    const mode = deliveryMode(entry >> 8);
    if (mode === undefined) return; // reserved: must not leave remote IRR set with nothing to end it
    const level = (entry & LEVEL) !== 0;
    if (level) {
      if ((entry & REMOTE_IRR) !== 0) return;
      this.#low[pin]! |= REMOTE_IRR;
    }
    this.#bus.deliver({ mode, vector: entry & 0xff, level, logical: (entry & LOGICAL) !== 0, destination: this.#high[pin]! >>> 24 });
  }

  #endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < PINS; pin++) {
      const entry = this.#low[pin]!;
      if ((entry & (LEVEL | REMOTE_IRR)) !== (LEVEL | REMOTE_IRR) || (entry & 0xff) !== vector) continue;
      this.#low[pin] = entry & ~REMOTE_IRR;
      if ((this.#lines & (1 << pin)) !== 0) this.#fire(pin);
    }
  }

  read(offset: number, size: AccessSize): number {
    if (size !== 4) return 0;
    if (offset === 0) return this.#select;
    if (offset !== 0x10) return 0;
    if (this.#select === 0 || this.#select === 2) return this.#id << 24;
    if (this.#select === 1) return 0x20 | ((PINS - 1) << 16); // version 20h has the EOI register
    const pin = (this.#select - 0x10) >> 1;
    if (pin < 0 || pin >= PINS) return 0;
    return (this.#select & 1) === 0 ? this.#low[pin]! : this.#high[pin]!;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    if (offset === 0) this.#select = value & 0xff;
    else if (offset === 0x40) this.#endOfInterrupt(value & 0xff);
    else if (offset === 0x10) {
      if (this.#select === 0) this.#id = (value >>> 24) & 15;
      const pin = (this.#select - 0x10) >> 1;
      if (pin < 0 || pin >= PINS) return;
      if ((this.#select & 1) !== 0) {
        this.#high[pin] = value & 0xff000000;
        return;
      }
      // Delivery status and remote IRR are read-only; changing to edge-triggered clears the latter.
      const kept = (value & LEVEL) !== 0 ? this.#low[pin]! & REMOTE_IRR : 0;
      this.#low[pin] = (value & 0x1afff) | kept;
      if ((value & LEVEL) !== 0 && (this.#lines & (1 << pin)) !== 0) this.#fire(pin);
    }
  }

  save(): Plain {
    return { select: this.#select, id: this.#id, lines: this.#lines, low: Array.from(this.#low), high: Array.from(this.#high) };
  }
  load(state: Plain, version: number): void {
    if (version !== 1) throw new StateError(`io-apic: state version ${version} is unknown, expected 1`);
    const s = state as { [key: string]: Plain };
    const u32 = (value: Plain | undefined, field: string): number => {
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new StateError(`io-apic: field ${field} is damaged`);
      return value;
    };
    const list = (field: string): number[] => {
      const value = s?.[field];
      if (!Array.isArray(value) || value.length !== PINS) throw new StateError(`io-apic: field ${field} must have ${PINS} entries`);
      return value.map((entry: Plain) => u32(entry, field));
    };
    const low = list('low');
    const high = list('high');
    const [select, id, lines] = [u32(s?.['select'], 'select'), u32(s?.['id'], 'id'), u32(s?.['lines'], 'lines')];
    this.#select = select & 0xff;
    this.#id = id & 15;
    this.#lines = lines & 0xffffff;
    this.#low.set(low);
    this.#high.set(high);
  }
}
