import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import { encodeRecord } from '../../src/engines/interpreter/encode-record.ts';
import { HANDLER_STALE } from '../../src/engines/interpreter/handler-places.ts';
import { handlerIndexOf } from '../../src/engines/modules.ts';
import { instantiateRuntime } from '../../src/engines/runtime-module.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { Decoder } from '../../src/isa/x86/decode/decoder.ts';
import { createInstruction } from '../../src/isa/x86/decode/instruction.ts';
import { RECORD_BYTES, REC_COUNT, REC_HANDLER } from '../../src/isa/x86/decode/record.ts';
import { GPR, LEAVE_STALE } from '../../src/isa/x86/state/layout.ts';
import { DECODE_BASE, RAM_BASE, VCPU_BASE, VCPU_STRIDE } from '../../src/memory/layout.ts';

/** Where RAM is mapped: page n of the linear addresses is page `PAGES - 1 - n` behind the tables, so neighbours are strangers. */
export const LINEAR = 0x40000000;
export const PAGES = 16;
export const RAM_BYTES = 0x100000;
/** Linear address of the GDT. */
export const GDT = LINEAR + 0x5000;
const TABLES = 0x1000;
const FIRST_PAGE = 0x10000;
/** Each processor's records. What lies first in the interpreter's arena another one clears as it is made. */
const AREA_BYTES = 0x100000;

/** Host address of a linear one. */
export function hostOf(linear: number): number {
  const page = (linear - LINEAR) >> 12;
  return RAM_BASE + FIRST_PAGE + (PAGES - 1 - page) * 0x1000 + (linear & 0xfff);
}

/** Page tables for all processors. */
export function writeTables(memory: WebAssembly.Memory): void {
  const view = new DataView(memory.buffer, RAM_BASE, RAM_BYTES);
  view.setUint32(TABLES, TABLES + 0x1007, true);
  view.setUint32(TABLES + 0x1000 + (LINEAR >>> 30) * 8, TABLES + 0x2007, true);
  view.setUint32(TABLES + 0x2000, TABLES + 0x3007, true);
  for (let i = 0; i < PAGES; i++) view.setUint32(TABLES + 0x3000 + i * 8, (FIRST_PAGE + (PAGES - 1 - i) * 0x1000) | 7, true);
}

/** A processor that executes a run of instructions without branches, from records of its own: the handlers and the runtime, no more. */
export class InstructionRunner {
  readonly #cpu: number;
  readonly #view: DataView;
  readonly #records: number;
  readonly #enter: (cpu: number, record: number) => number;
  readonly #decoder = new Decoder();

  constructor(memory: WebAssembly.Memory, index: number) {
    const modules = loadEngineModules();
    const never = (): never => {
      throw new Error('asked of the host');
    };
    const bus = { readPort: never, writePort: never, readMmio: never, writeMmio: never };
    const interrupts = { pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false };
    const segment = (attributes: number) => ({ selector: 8, base: 0n, limit: 0xffffffff, attributes });
    createInterpreter({ modules, memory, bus, interrupts, hostTsc: () => 0, random32: () => 0, index }).start({
      rip: BigInt(LINEAR), gpr: {}, rflags: 2n, cr0: 0x80000011n, cr3: BigInt(TABLES), cr4: 0x20n, efer: 0x500n, gdtr: { base: BigInt(GDT), limit: 0xfff },
      segments: { cs: segment(0xa09b), ss: segment(0xc093), ds: segment(0xc093), es: segment(0xc093) },
    });
    this.#cpu = VCPU_BASE + index * VCPU_STRIDE;
    this.#view = new DataView(memory.buffer);
    this.#records = DECODE_BASE + (1 + index) * AREA_BYTES;
    const runtime = instantiateRuntime(modules.runtime, memory, this.#cpu, {
      ...bus, codeWritten: never, hostTsc: () => 0, random32: () => 0, interruptPending: () => 0, acknowledgeInterrupt: () => -1, takeNmi: () => 0,
      readTaskPriority: () => 0, writeTaskPriority: () => {}, readApicMsr: () => undefined, writeApicMsr: () => false,
    });
    this.#enter = new WebAssembly.Instance(modules.interpreter, { env: { memory }, runtime: runtime.functions }).exports['enter'] as (cpu: number, record: number) => number;
  }

  /** The code (hexadecimal), `copies` times one behind the other. */
  load(code: string, copies: number): void {
    const bytes = Uint8Array.from(Buffer.from(code.replaceAll(' ', ''), 'hex'));
    const { places } = loadEngineModules().handlers;
    const instruction = createInstruction();
    let record = this.#records;
    for (let copy = 0; copy < copies; copy++) {
      for (let at = 0; at < bytes.length; at += instruction.length) {
        const status = this.#decoder.decode(bytes, at, bytes.length - at, 64, instruction);
        if (status !== 'ok') throw new Error(`${code}: ${status} at ${at}`);
        encodeRecord(this.#view, record, instruction, 0, 1, places[handlerIndexOf(instruction)]!);
        record += RECORD_BYTES;
      }
    }
    this.#view.setUint16(record + REC_HANDLER, HANDLER_STALE, true);
    this.#view.setUint8(record + REC_COUNT, 1);
  }

  setRegister(number: number, value: bigint): void {
    this.#view.setBigUint64(this.#cpu + GPR + number * 8, value, true);
  }
  register(number: number): bigint {
    return this.#view.getBigUint64(this.#cpu + GPR + number * 8, true);
  }

  run(times: number): void {
    for (let i = 0; i < times; i++) {
      const left = this.#enter(this.#cpu, this.#records);
      if (left !== LEAVE_STALE) throw new Error(`left with ${left}`);
    }
  }
}
