import { PAGE_MASK, PAGE_SIZE } from '../../base/addresses.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { createInstruction } from '../../isa/x86/decode/instruction.ts';
import type { Instruction } from '../../isa/x86/decode/instruction.ts';
import { RECORD_BYTES, REC_COUNT, REC_HANDLER, REC_IMMEDIATE, REC_LENGTH, REC_LOOKED_AT, REC_PAGE_OFFSET } from '../../isa/x86/decode/record.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import { MODE, MODE_CODE16, MODE_CODE32, MODE_CODE_MASK } from '../../isa/x86/state/layout.ts';
import { HAS_PLAIN, handlerIndexOf } from '../modules.ts';
import type { HandlerMap } from '../modules.ts';
import type { Runtime } from '../runtime-module.ts';
import { encodeRecord } from './encode-record.ts';
import { HANDLER_CONTINUE, HANDLER_COUNT, HANDLER_TOO_LONG, HANDLER_UNDEFINED } from './handler-places.ts';

/** The longest instruction; a buffer for one that crosses into the next page. */
const MAX_INSTRUCTION = 15;

/** Decodes code into records, in the vCPU's present mode. */
export class RecordWriter {
  readonly #cpu: number;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #handlers: HandlerMap;
  readonly #decoder = new Decoder(implementedFeatures);
  readonly #instruction = createInstruction();
  readonly #buffer = new Uint8Array(MAX_INSTRUCTION * 2);
  readonly #fetchNextPage: (cpu: number) => number;

  constructor(memory: WebAssembly.Memory, cpu: number, runtime: Runtime, handlers: HandlerMap) {
    this.#cpu = cpu;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#handlers = handlers;
    this.#fetchNextPage = runtime.bind('fetchNextPage');
  }

  /** What `instruction` has decoded last, if that was one. */
  get last(): Instruction {
    return this.#instruction;
  }

  /** The record that counts a block's executions. Returns where its first instruction goes. */
  count(record: number, offset: number, threshold: number): number {
    const view = this.#view;
    view.setUint16(record + REC_HANDLER, HANDLER_COUNT, true);
    view.setUint16(record + REC_PAGE_OFFSET, offset, true);
    // As the first instruction would have: gone stale, the record counts as none.
    view.setUint8(record + REC_COUNT, 1);
    view.setUint32(record + REC_IMMEDIATE, threshold, true);
    view.setUint16(record + REC_LOOKED_AT, 0, true);
    return record + RECORD_BYTES;
  }

  /** The record behind a block's last instruction. Returns the address behind it. */
  end(record: number, offset: number, count: number): number {
    const view = this.#view;
    view.setUint16(record + REC_HANDLER, HANDLER_CONTINUE, true);
    view.setUint16(record + REC_PAGE_OFFSET, offset, true);
    view.setUint8(record + REC_COUNT, count);
    return record + RECORD_BYTES;
  }

  /**
   * The instruction at a host address, the block's `count`th. Returns its length; minus the host address of the next page when
   * it crosses into it; 0 when that page cannot be fetched (a fault is pending then) or need not be yet (`count` > 1).
   */
  instruction(host: number, record: number, count: number): number {
    const offset = host & PAGE_MASK;
    const available = PAGE_SIZE - offset;
    const instruction = this.#instruction;
    let status = this.#decoder.decode(this.#bytes, host, Math.min(available, MAX_INSTRUCTION), this.#codeSize(), instruction);
    let second = 0;
    if (status === 'truncated') {
      if (available >= MAX_INSTRUCTION) status = 'too-long';
      else if (count > 1) return 0;
      else {
        second = this.#crossPage(host, available);
        if (second === 0) return 0;
        status = this.#decoder.decode(this.#buffer, 0, MAX_INSTRUCTION, this.#codeSize(), instruction);
        if (status === 'truncated') status = 'too-long';
      }
    }
    const view = this.#view;
    if (status === 'ok') {
      const { places, traits } = this.#handlers;
      const handler = places[handlerIndexOf(instruction)]! || HANDLER_UNDEFINED;
      encodeRecord(view, record, instruction, offset, count, handler, (traits[handler]! & HAS_PLAIN) === 0 ? handler : handler + 1);
      return second === 0 ? instruction.length : -second;
    }
    // The exception is raised when the record is executed; it takes no bytes with it.
    view.setUint16(record + REC_HANDLER, status === 'undefined' ? HANDLER_UNDEFINED : HANDLER_TOO_LONG, true);
    view.setUint16(record + REC_PAGE_OFFSET, offset, true);
    const length = second === 0 ? Math.min(available, MAX_INSTRUCTION) : available + 1;
    view.setUint8(record + REC_LENGTH, length);
    view.setUint8(record + REC_COUNT, count);
    return second === 0 ? length : -second;
  }

  #codeSize(): 16 | 32 | 64 {
    const mode = this.#view.getUint32(this.#cpu + MODE, true) & MODE_CODE_MASK;
    return mode === MODE_CODE16 ? 16 : mode === MODE_CODE32 ? 32 : 64;
  }

  #crossPage(host: number, available: number): number {
    const second = this.#fetchNextPage(this.#cpu) >>> 0;
    if (second === 0) return 0;
    this.#buffer.set(this.#bytes.subarray(host, host + available));
    this.#buffer.set(this.#bytes.subarray(second, second + MAX_INSTRUCTION), available);
    return second;
  }
}
