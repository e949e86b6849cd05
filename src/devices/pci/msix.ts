import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { MsiSink } from '../../wiring/interrupt-line.ts';
import { StateFields } from '../state-fields.ts';
import { CAPABILITY_MSIX } from './capabilities.ts';
import type { PciCapability } from './capabilities.ts';

// MSI-X (PCI Local Bus Specification 3.0, section 6.8.2).

const ENTRY_BYTES = 16;
const VECTOR_CONTROL = 12;
const MASKED = 1;
const CONTROL_FUNCTION_MASK = 0x4000;
const CONTROL_ENABLE = 0x8000;

/** Message writes that reach local APICs (Intel SDM 3A, 11.11.1). A message to anywhere else is lost. */
export function sendMessage(sink: MsiSink, low: number, high: number, data: number): void {
  if (high === 0 && low >>> 20 === 0xfee) sink.send(low, data);
}

/** Where table and pending bits lie: both in the BAR `bar`, the pending bits right behind the table. */
export function msixCapability(vectors: number, bar: number, tableOffset: number): PciCapability {
  return {
    id: CAPABILITY_MSIX,
    length: 12,
    registers: [
      { offset: 2, size: 2, reset: vectors - 1, writable: CONTROL_FUNCTION_MASK | CONTROL_ENABLE },
      { offset: 4, size: 4, reset: tableOffset | bar },
      { offset: 8, size: 4, reset: (tableOffset + vectors * ENTRY_BYTES) | bar },
    ],
  };
}

/** The table of messages and the pending bits behind it, as the BAR shows them from the table's offset on. */
export class MsixTable {
  readonly vectors: number;
  readonly #sink: MsiSink;
  readonly #table: Uint8Array;
  readonly #view: DataView;
  readonly #pending: Uint8Array;
  #control = 0;

  constructor(vectors: number, sink: MsiSink) {
    this.vectors = vectors;
    this.#sink = sink;
    this.#table = new Uint8Array(vectors * ENTRY_BYTES);
    this.#view = new DataView(this.#table.buffer);
    // The pending bits come in quadwords.
    this.#pending = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.reset();
  }

  get enabled(): boolean {
    return (this.#control & CONTROL_ENABLE) !== 0;
  }
  /** Bytes of table and pending bits together. */
  get bytes(): number {
    return this.#table.length + this.#pending.length;
  }

  reset(): void {
    this.#control = 0;
    this.#table.fill(0);
    this.#pending.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) this.#table[vector * ENTRY_BYTES + VECTOR_CONTROL] = MASKED;
  }

  /** The capability's message control register, as the guest has written it. */
  setControl(control: number): void {
    this.#control = control;
    for (let vector = 0; vector < this.vectors; vector++) this.#release(vector);
  }

  notify(vector: number): void {
    if (vector >= this.vectors || !this.enabled) return;
    if (this.#masked(vector)) this.#pending[vector >> 3]! |= 1 << (vector & 7);
    else this.#send(vector);
  }

  #masked(vector: number): boolean {
    return (this.#control & CONTROL_FUNCTION_MASK) !== 0 || (this.#table[vector * ENTRY_BYTES + VECTOR_CONTROL]! & MASKED) !== 0;
  }

  #send(vector: number): void {
    const at = vector * ENTRY_BYTES;
    sendMessage(this.#sink, this.#view.getUint32(at, true), this.#view.getUint32(at + 4, true), this.#view.getUint32(at + 8, true));
  }

  /** Sends what has waited for a mask to go. */
  #release(vector: number): void {
    const bit = 1 << (vector & 7);
    if ((this.#pending[vector >> 3]! & bit) === 0 || !this.enabled || this.#masked(vector)) return;
    this.#pending[vector >> 3]! &= ~bit;
    this.#send(vector);
  }

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      value |= (this.#table[at] ?? this.#pending[at - this.#table.length] ?? 0) << (8 * i);
    }
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      // Of the vector control only the mask bit is there; the low address bits are zero.
      const mask = at % ENTRY_BYTES === 0 ? 0xfc : at % ENTRY_BYTES < VECTOR_CONTROL ? 0xff : at % ENTRY_BYTES === VECTOR_CONTROL ? MASKED : 0;
      if (at < this.#table.length) this.#table[at] = (value >>> (8 * i)) & mask;
    }
    if (offset < this.#table.length) this.#release(Math.floor(offset / ENTRY_BYTES));
  }

  save(): Plain {
    return { control: this.#control, table: this.#table.slice(), pending: this.#pending.slice() };
  }

  load(state: Plain): void {
    const fields = new StateFields('msi-x', state, 1, 1);
    const control = fields.integer('control', 0xffff);
    const table = fields.exactBytes('table', this.#table.length);
    const pending = fields.exactBytes('pending', this.#pending.length);
    this.#control = control;
    this.#table.set(table);
    this.#pending.set(pending);
  }
}
