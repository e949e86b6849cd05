import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { ByteSink } from '../../host/bytes.ts';
import type { EdgeLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise, writeBytewise } from '../byte-registers.ts';
import { StateFields } from '../state-fields.ts';

// Printer port of the PC/AT, the standard parallel port (IEEE 1284-1994, compatibility mode).

const DATA = 0;
const STATUS = 1;
const CONTROL = 2;

/** Not busy, no acknowledgement under way, paper, selected, no error; the lowest three bits are not wired. */
const STATUS_READY = 0xdf;

const CONTROL_STROBE = 0x01;
const CONTROL_INTERRUPT = 0x10;
const CONTROL_BITS = 0x1f;
const CONTROL_UNWIRED = 0xe0;

/** A port with a printer that takes each byte at once. Three registers: data, status, control. */
export class ParallelPort implements RegisterBlock, Stateful {
  readonly name = 'lpt1';
  readonly length = 3;
  readonly stateName = 'lpt1';
  readonly stateVersion = 1;
  readonly #sink: ByteSink;
  readonly #line: EdgeLine;
  #data = 0;
  #control = 0;

  constructor(options: { readonly sink: ByteSink; readonly line: EdgeLine }) {
    this.#sink = options.sink;
    this.#line = options.line;
  }

  reset(): void {
    this.#data = this.#control = 0;
  }

  read(offset: number, size: AccessSize): number {
    return readBytewise(offset, size, (at) => (at === DATA ? this.#data : at === STATUS ? STATUS_READY : this.#control | CONTROL_UNWIRED));
  }

  write(offset: number, size: AccessSize, value: number): void {
    writeBytewise(offset, size, value, (at, byte) => {
      if (at === DATA) this.#data = byte;
      else if (at === CONTROL) this.#writeControl(byte & CONTROL_BITS);
    });
  }

  /** The printer takes the byte when STROBE# falls (the bit is inverted), and acknowledges it. */
  #writeControl(control: number): void {
    const strobe = (control & ~this.#control & CONTROL_STROBE) !== 0;
    this.#control = control;
    if (!strobe) return;
    this.#sink.write(Uint8Array.of(this.#data));
    if ((control & CONTROL_INTERRUPT) !== 0) this.#line.pulse();
  }

  save(): Plain {
    return { data: this.#data, control: this.#control };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const data = fields.byte('data');
    this.#control = fields.integer('control', CONTROL_BITS);
    this.#data = data;
  }
}
