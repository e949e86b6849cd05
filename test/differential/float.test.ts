import { expect, test } from 'vitest';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import { createLocalTranslator } from '../../src/engines/translator/local-translator.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { nativeUnavailable } from '../support/native.ts';
import { FAULTED, INPUT_BYTES, OUTPUT_BYTES, runNativeLoops } from './float-loops.ts';
import type { FloatOperation, NativeLoops } from './float-loops.ts';
import { fillOperands, startingControl } from './float-operands.ts';
import { Random } from './generate.ts';

// SSE arithmetic, inline and exact, against the host processor: results, flags, MXCSR and #XM, from operands at the edges
// and every state of MXCSR. rows.test.ts proves the operands' forms; here it is the numbers.

const CASES = 25 * Number(process.env['POLYVISOR_CASES'] ?? 40);
const operations: FloatOperation[] = [];
for (const [suffix, lane] of [['sd', 'f64'], ['ss', 'f32'], ['pd', 'f64'], ['ps', 'f32']] as const) {
  for (const name of ['add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max']) operations.push({ asm: `${name}${suffix} %xmm1, %xmm0`, lane }, { asm: `${name}${suffix} 32(%rsi), %xmm0`, lane });
  for (let predicate = 0; predicate < 8; predicate++) operations.push({ asm: `cmp${suffix} $${predicate}, %xmm1, %xmm0`, lane });
  for (const imm of [0, 1, 2, 3, 4, 8, 9, 10, 11, 12]) operations.push({ asm: `round${suffix} $${imm}, %xmm1, %xmm0`, lane });
}
for (const [suffix, lane] of [['sd', 'f64'], ['ss', 'f32']] as const) {
  operations.push({ asm: `comi${suffix} %xmm1, %xmm0`, lane }, { asm: `ucomi${suffix} %xmm1, %xmm0`, lane });
  for (const register of ['%eax', '%rax']) for (const name of ['cvt', 'cvtt']) operations.push({ asm: `${name}${suffix}2si %xmm1, ${register}`, lane });
  operations.push({ asm: `cvtsi2${suffix} %edx, %xmm0`, lane: 'i32' }, { asm: `cvtsi2${suffix} %rdx, %xmm0`, lane: 'i64' });
}
for (const name of ['cvtsd2ss', 'cvtpd2ps', 'cvtpd2dq', 'cvttpd2dq', 'haddpd', 'hsubpd', 'addsubpd']) operations.push({ asm: `${name} %xmm1, %xmm0`, lane: 'f64' });
for (const name of ['cvtss2sd', 'cvtps2pd', 'cvtps2dq', 'cvttps2dq', 'haddps', 'hsubps', 'addsubps']) operations.push({ asm: `${name} %xmm1, %xmm0`, lane: 'f32' });
for (const name of ['cvtdq2ps', 'cvtdq2pd']) operations.push({ asm: `${name} %xmm1, %xmm0`, lane: 'i32' });

function inputsOf(operation: FloatOperation, seed: number): Uint8Array {
  const random = new Random(seed);
  const bytes = new Uint8Array(CASES * INPUT_BYTES);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
    view.setUint32(at, startingControl(random), true);
    fillOperands(random, operation.lane, view, at + 16, at + 32);
  }
  return bytes;
}

const CODE = 0x100000;
const HANDLER = 0x1f0000;
const IDT = 0x1f1000;
const GDT = 0x1f2000;
const TABLES = 0x1f4000;
const STACK = 0x1ff000;
const INPUTS = 0x200000;
const VECTOR_XM = 19;

/** Runs the loops in a guest: flat 64-bit code, an exception handler that goes on at R12. */
function createGuest(create: typeof createInterpreter, { code, entries }: NativeLoops): { run(operation: number, inputs: Uint8Array): Uint8Array; regions(): number | undefined } {
  const memory = new LinearMemory(32 << 20);
  const nothing = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
  const interrupts = { pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false };
  const vcpu = create({ modules: loadEngineModules(), memory: memory.wasm, bus: nothing, interrupts, hostTsc: () => 0, random32: () => 0, index: 0 });
  const quads = (address: number, ...values: readonly bigint[]): void => memory.write(address, new Uint8Array(BigUint64Array.from(values).buffer));
  memory.write(CODE, code);
  // mov [rsp], r12; iretq
  memory.write(HANDLER, Uint8Array.of(0x4c, 0x89, 0x24, 0x24, 0x48, 0xcf));
  quads(IDT + VECTOR_XM * 16, BigInt(HANDLER & 0xffff) | 0x8n << 16n | 0x8e00n << 32n | BigInt(HANDLER >> 16) << 48n, 0n);
  quads(GDT, 0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn);
  quads(TABLES, BigInt(TABLES + 0x1007));
  quads(TABLES + 0x1000, 0x87n);
  const segment = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
  const outputs = INPUTS + CASES * INPUT_BYTES + 0xfff & ~0xfff;
  const run = (operation: number, inputs: Uint8Array): Uint8Array => {
    memory.write(INPUTS, inputs);
    // The code ends with HLT.
    quads(STACK, BigInt(CODE + code.length - 1));
    vcpu.reset();
    vcpu.start({
      rip: BigInt(CODE + entries[operation]!), gpr: { rsp: BigInt(STACK), rsi: BigInt(INPUTS), rdi: BigInt(outputs), rcx: BigInt(CASES) }, rflags: 2n,
      cr0: 0x80000031n, cr3: BigInt(TABLES), cr4: 0x620n, efer: 0x500n, gdtr: { base: BigInt(GDT), limit: 23 }, idtr: { base: BigInt(IDT), limit: 0xfff },
      segments: { cs: segment(8, 0xa09b), ss: segment(16, 0xc093), ds: segment(16, 0xc093), es: segment(16, 0xc093) },
    });
    let exit = vcpu.run(1000);
    while (exit === 'budget') exit = vcpu.run(1000);
    if (exit !== 'halt') throw new Error(`${operations[operation]!.asm} ended with ${exit}`);
    const result = new Uint8Array(CASES * OUTPUT_BYTES);
    memory.read(outputs, result);
    return result;
  };
  return { run, regions: () => vcpu.translation()?.regions.made };
}

/** What a case did, in words; flags only where there is a result. */
function describeResult(bytes: Uint8Array, at: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, OUTPUT_BYTES);
  const hex = (value: number | bigint): string => value.toString(16);
  const control = `mxcsr ${hex(view.getUint32(0, true))}`;
  const flags = view.getUint32(4, true);
  if (flags === FAULTED) return `${control}, exception`;
  return `${control}, flags ${hex(flags & 0x8d5)}, rax ${hex(view.getBigUint64(8, true))}, xmm0 ${hex(view.getBigUint64(24, true))}:${hex(view.getBigUint64(16, true))}`;
}
function describeInput(bytes: Uint8Array, at: number): string {
  const quads = Buffer.from(bytes.buffer, bytes.byteOffset + at, INPUT_BYTES);
  const pair = (place: number): string => `${quads.readBigUInt64LE(place + 8).toString(16)}:${quads.readBigUInt64LE(place).toString(16)}`;
  return `mxcsr ${quads.readUInt32LE(0).toString(16)}, ${pair(16)}, ${pair(32)}`;
}

const createHotTranslator: typeof createInterpreter = (options) => createLocalTranslator({ ...options, tuning: { hot: 50, wait: 0, doublings: 0 } });
const unavailable = nativeUnavailable();
if (unavailable !== undefined) test.skip(`SSE numbers against the host processor: ${unavailable}`);
else {
  const inputs = operations.map((operation, i) => inputsOf(operation, 0x9e3779b9 + i * 0x61c88647));
  const native = runNativeLoops(operations, inputs);
  test.each([['interpreter', createInterpreter], ['translator', createHotTranslator]] as const)(`${operations.length} operations, ${CASES} cases each, on the %s`, (_, create) => {
    const guest = createGuest(create, native);
    const failures: string[] = [];
    operations.forEach(({ asm }, i) => {
      const actual = guest.run(i, inputs[i]!);
      let found = 0;
      for (let k = 0; k < CASES; k++) {
        const expected = describeResult(native.outputs[i]!, k * OUTPUT_BYTES);
        const got = describeResult(actual, k * OUTPUT_BYTES);
        if (expected !== got && ++found <= 2) failures.push(`${asm} of ${describeInput(inputs[i]!, k * INPUT_BYTES)}: ${expected} expected, got ${got}`);
      }
      if (found > 2) failures.push(`${asm}: ${found} cases differ`);
    });
    expect(failures.slice(0, 40)).toEqual([]);
    // The translator has seen each loop often enough.
    if (create !== createInterpreter) expect(guest.regions()).toBeGreaterThanOrEqual(operations.length);
  }, 600_000);
}
