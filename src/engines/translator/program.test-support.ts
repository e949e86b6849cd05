import { expect } from 'vitest';
import type { TranslationFigures, Vcpu, VcpuRegisters } from '../../cpu/vcpu.ts';
import { loadEngineModules } from '../../host-node/engine-modules.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import type { InterpreterOptions } from '../interpreter/interpreter.ts';

const CODE = 0x100000;
const TABLES = 0x1000;

interface Outcome {
  readonly registers: VcpuRegisters;
  readonly instructions: number;
  readonly regions: number;
  readonly translation: TranslationFigures | undefined;
  readonly counts: Readonly<Record<string, number>>;
  /** Guest memory when it halted. */
  readonly memory: LinearMemory;
}

/** What memory holds besides the code, by address. */
export type ProgramData = readonly (readonly [number, Uint8Array])[];

/** Runs machine code (hexadecimal) at 1 MiB in 64-bit mode until it halts; the low GiB is mapped, 32 MiB of it RAM. */
export function runProgram(create: (options: InterpreterOptions & { readonly ram: LinearMemory }) => Vcpu, code: string, slice = 1000, data: ProgramData = []): Outcome {
  const memory = new LinearMemory(32 << 20);
  const bus = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
  const interrupts = {
    pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
  };
  const vcpu = create({ ram: memory, modules: loadEngineModules(), memory: memory.wasm, bus, interrupts, hostTsc: () => 0, random32: () => 0, index: 0 });
  memory.write(CODE, Uint8Array.from(Buffer.from(code, 'hex')));
  for (const [address, bytes] of data) memory.write(address, bytes);
  memory.writeU32(TABLES, TABLES + 0x1007);
  memory.writeU32(TABLES + 0x1000, 0x87);
  const segment = (attributes: number) => ({ selector: 8, base: 0n, limit: 0xffffffff, attributes });
  vcpu.start({
    rip: BigInt(CODE), gpr: { rsp: 0x170000n }, rflags: 2n, cr0: 0x80000011n, cr3: BigInt(TABLES), cr4: 0x20n, efer: 0x500n,
    segments: { cs: segment(0xa09b), ss: segment(0xc093), ds: segment(0xc093), es: segment(0xc093) },
  });
  for (let slices = 0; vcpu.run(slice) !== 'halt'; slices++) if (slices > 100_000) throw new Error('the program does not end');
  const translation = vcpu.translation?.();
  return { registers: vcpu.registers(), instructions: vcpu.instructions, regions: translation?.regions.made ?? 0, translation, counts: vcpu.exitCounts(), memory };
}

/** Two engines have done the same. */
export function expectSame(one: Outcome, other: Outcome): void {
  expect(one.registers).toEqual(other.registers);
  expect(one.instructions).toBe(other.instructions);
}
