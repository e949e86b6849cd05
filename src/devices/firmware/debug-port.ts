import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';

/** What firmware takes as the sign that somebody listens. */
const PRESENT = 0xe9;
const LINE_MAX = 1024;

/** Port 402h, where firmware made for QEMU writes its log (isa-debugcon): hands on whole lines. */
export class DebugPort implements RegisterBlock, Stateful {
  readonly name = 'debug-port';
  readonly length = 1;
  readonly stateName = 'debug-port';
  readonly stateVersion = 1;
  readonly #line: (text: string) => void;
  #text = '';

  constructor(line: (text: string) => void) {
    this.#line = line;
  }

  reset(): void {
    this.#text = '';
  }

  read(_offset: number, _size: AccessSize): number {
    return PRESENT;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    const byte = value & 0xff;
    if (byte !== 0x0a) this.#text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : byte === 0x09 ? ' ' : '';
    if (byte !== 0x0a && this.#text.length < LINE_MAX) return;
    const text = this.#text;
    this.#text = '';
    this.#line(text);
  }

  save(): Plain {
    return { text: this.#text };
  }

  load(state: Plain, version: number): void {
    this.#text = new StateFields(this.stateName, state, version, this.stateVersion).text('text', LINE_MAX);
  }
}
