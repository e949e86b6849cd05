import type { VcpuExit, VcpuStart } from '../../src/cpu/vcpu.ts';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { Interpreter } from '../../src/engines/interpreter/interpreter.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { VCPU_BASE } from '../../src/memory/layout.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { gateDescriptor, segmentDescriptor } from './descriptors.ts';

export const CODE = 0x10000;
export const STACK = 0x8000;
const GDT = 0x1000;
const IDT = 0x2000;
const HANDLERS = 0x3000;

/**
 * The interpreter in flat 32-bit code without paging. The handler of each exception halts: `run` says which one, where it
 * came from and what it pushed.
 */
export class InterpreterFixture {
  readonly memory = new LinearMemory(8 << 20);
  readonly cpu: Interpreter;
  readonly view: DataView;
  /** Port writes, and what reads give. */
  readonly written: [port: number, value: number][] = [];
  nmi = false;
  /** FERR# as it was driven; the answer is IGNNE#. */
  readonly errors: boolean[] = [];
  ignoreErrors = false;
  onPort: (port: number, value: number) => void = () => {};

  constructor() {
    const bus = {
      readPort: () => 0xff,
      writePort: (port: number, _size: number, value: number) => {
        this.written.push([port, value]);
        this.onPort(port, value);
      },
      readMmio: () => 0xffffffff, writeMmio: () => {},
    };
    const interrupts = {
      pending: () => false, acknowledge: () => -1, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
      giveBackNmi: () => void (this.nmi = true),
      takeNmi: () => {
        const taken = this.nmi;
        this.nmi = false;
        return taken;
      },
    };
    this.cpu = createInterpreter({ modules: loadEngineModules(), memory: this.memory.wasm, bus, interrupts, hostTsc: () => 0n, random32: () => 0, index: 0,
      numericError: (pending) => {
        this.errors.push(pending);
        return this.ignoreErrors;
      },
    });
    this.view = new DataView(this.memory.wasm.buffer);
    for (const [selector, fields] of [[0x08, { access: 0x9b }], [0x10, { access: 0x93 }]] as const) this.poke64(GDT + selector, segmentDescriptor(fields));
    for (let vector = 0; vector < 32; vector++) {
      this.poke64(IDT + 8 * vector, gateDescriptor(0x8e, 8, HANDLERS + 16 * vector));
      this.memory.write(HANDLERS + 16 * vector, Uint8Array.of(0xf4));
    }
  }

  poke64(address: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.memory.write(address, bytes);
  }
  /** Code of an exception handler instead of HLT. */
  handler(vector: number, ...code: number[]): void {
    this.memory.write(HANDLERS + 16 * vector, Uint8Array.from(code));
  }
  u32(offset: number): number { return this.view.getUint32(VCPU_BASE + offset, true); }
  setU32(offset: number, value: number): void { this.view.setUint32(VCPU_BASE + offset, value, true); }
  words(address: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.memory.readU32(address + 4 * i) >>> 0);
  }

  load(code: readonly number[], start: Partial<VcpuStart> & { readonly codeLimit?: number } = {}): void {
    const flat = (selector: number, attributes: number, limit = 0xffffffff) => ({ selector, base: 0n, limit, attributes });
    this.memory.write(CODE, Uint8Array.from([...code, 0xf4]));
    this.cpu.reset();
    this.written.length = 0;
    this.cpu.start({
      rip: BigInt(CODE), rflags: 2n, cr0: 0x31n, gdtr: { base: BigInt(GDT), limit: 23 }, idtr: { base: BigInt(IDT), limit: 255 }, ...start,
      gpr: { rsp: BigInt(STACK), ...start.gpr },
      segments: { cs: flat(8, 0xc09b, start.codeLimit), ss: flat(0x10, 0xc093), ds: flat(0x10, 0xc093), es: flat(0x10, 0xc093), fs: flat(0x10, 0xc093), gs: flat(0x10, 0xc093) },
    });
  }

  /** 'end' when the code's own HLT was reached; else `#vector at +offset`, with the error code for those that have one. */
  run(budget = 10_000): string {
    const exit: VcpuExit = this.cpu.run(budget);
    if (exit !== 'halt') return exit;
    const registers = this.cpu.registers();
    const rip = Number(registers.rip);
    if (rip < HANDLERS || rip >= HANDLERS + 512) return 'end';
    const vector = (rip - HANDLERS) >> 4;
    const frame = Number(registers.gpr[4]!);
    const hasError = [8, 10, 11, 12, 13, 14, 17].includes(vector);
    const [first, second] = this.words(frame, 2) as [number, number];
    return `#${vector}${hasError ? `(${first})` : ''} at +${(hasError ? second : first) - CODE}`;
  }
}
