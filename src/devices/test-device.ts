import type { AccessSize } from '../base/addresses.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { LevelLine } from '../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';
import { readBytewise, writeBytewise } from './byte-registers.ts';
import { StateFields } from './state-fields.ts';

const LATCH_BYTES = 4;
const RAM_BYTES = 0x10000;

/**
 * What public processor tests reach for beside a debug exit port, for tests only; interface of QEMU's pc-testdev: ports that
 * keep the last value written, device memory that behaves like RAM (so that each access goes over the bus), and a port per
 * ISA interrupt line that raises and drops it.
 */
export class TestDevice implements Stateful {
  readonly stateName = 'test-device';
  readonly stateVersion = 1;
  /** Four bytes of latch, then four that take a page to be flushed from caches: there is none. */
  readonly ports: RegisterBlock;
  readonly memory: RegisterBlock;
  readonly interrupts: RegisterBlock;
  #latch: Uint8Array = new Uint8Array(LATCH_BYTES);
  #ram: Uint8Array = new Uint8Array(RAM_BYTES);
  #levels: boolean[];
  readonly #lines: readonly LevelLine[];

  constructor(lines: readonly LevelLine[]) {
    this.#lines = lines;
    this.#levels = lines.map(() => false);
    this.ports = bytes('test-ports', 2 * LATCH_BYTES, (at) => this.#latch[at] ?? 0, (at, value) => {
      if (at < LATCH_BYTES) this.#latch[at] = value;
    });
    this.memory = bytes('test-memory', RAM_BYTES, (at) => this.#ram[at]!, (at, value) => (this.#ram[at] = value));
    this.interrupts = {
      name: 'test-interrupts', length: lines.length, read: () => 0,
      write: (offset, _size, value) => this.#set(offset, value !== 0),
    };
  }

  #set(irq: number, high: boolean): void {
    this.#levels[irq] = high;
    this.#lines[irq]!.set(high);
  }

  reset(): void {
    this.#latch.fill(0);
    this.#ram.fill(0);
    this.#levels.forEach((_, irq) => this.#set(irq, false));
  }

  save(): Plain {
    return { latch: this.#latch.slice(), ram: this.#ram.slice(), levels: Uint8Array.from(this.#levels, Number) };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const latch = fields.exactBytes('latch', LATCH_BYTES);
    const ram = fields.exactBytes('ram', RAM_BYTES);
    const levels = fields.exactBytes('levels', this.#lines.length);
    this.#latch = latch;
    this.#ram = ram;
    levels.forEach((level, irq) => this.#set(irq, level !== 0));
  }
}

function bytes(name: string, length: number, read: (at: number) => number, write: (at: number, value: number) => void): RegisterBlock {
  return {
    name, length,
    read: (offset: number, size: AccessSize) => readBytewise(offset, size, read),
    write: (offset: number, size: AccessSize, value: number) => writeBytewise(offset, size, value, write),
  };
}
