import wabt from 'wabt';
import { describe, expect, test } from 'vitest';
import { Builder } from '../ir/builder.ts';
import { Ir } from '../ir/ir.ts';
import type { Value } from '../ir/ir.ts';
import { operations } from '../ir/operations.ts';
import type { Operation } from '../ir/operations.ts';
import { compile } from '../lowering/lowering.test-support.ts';
import { Code, loadOpcode, storeOpcode } from './code.ts';
import { ModuleBuilder } from './module.ts';
import type { WasmType } from './module.ts';

const features = { threads: true, simd: true, tail_call: true, sat_float_to_int: true, sign_extension: true, reference_types: true };
const tool = await wabt();
const { validate } = (globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } }).WebAssembly;

/** Text of a module that both validators accept; throws with wabt's message if it does not. */
function validText(wasm: Uint8Array): string {
  const module = tool.readWasm(wasm, features);
  try {
    // validate takes the features as well: the package's types leave that out.
    (module as unknown as { validate(options: typeof features): void }).validate(features);
    expect(validate(wasm)).toBe(true);
    return module.toText({});
  } finally {
    module.destroy();
  }
}

/** One exported function `run` around this code. */
function single(params: readonly WasmType[], results: readonly WasmType[], code: Code, locals: readonly WasmType[] = []): Uint8Array {
  const module = new ModuleBuilder();
  module.exportFunction('run', module.addFunction(module.type(params, results), locals, code));
  return module.toBytes();
}

function run(wasm: Uint8Array, ...args: readonly unknown[]): unknown {
  validText(wasm);
  return (new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports['run'] as (...args: readonly unknown[]) => unknown)(...args);
}

describe('constants keep their value in LEB128', () => {
  const powers = Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit));
  const values = [0n, ...powers.flatMap((power) => [power - 1n, power, -power, -power - 1n])];
  test('i32', () => {
    for (const value of new Set(values.map((wide) => Number(BigInt.asIntN(32, wide))))) expect(run(single([], ['i32'], new Code().i32Const(value)))).toBe(value);
  });
  test('i64', () => {
    for (const value of new Set(values.map((wide) => BigInt.asIntN(64, wide)))) expect(run(single([], ['i64'], new Code().i64Const(value)))).toBe(value);
  });
  test('unsigned: a function body and a local number above 127', () => {
    const code = new Code();
    for (let i = 0; i < 300; i++) code.get(0).set(300);
    expect(run(single(['i32'], ['i32'], code.get(300), new Array<WasmType>(300).fill('i32')), 77)).toBe(77);
  });
});

test('locals of mixed types keep their order', () => {
  const code = new Code().get(0).set(1).get(1).byte(0xac).set(2).get(2).i64Const(1n).byte(0x7c).set(4).get(4).byte(0xa7).set(5).get(5);
  expect(run(single(['i32'], ['i32'], code, ['i32', 'i64', 'f64', 'i64', 'i32', 'v128']), 41)).toBe(42);
});

test('imports, a shared memory, a table and tail calls work together', () => {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', 1, 2, true);
  const double = module.importFunction('host', 'double', ['i32'], ['i32']);
  const note = module.importFunction('host', 'note', ['i32'], []);
  const type = module.type(['i32'], ['i32']);
  expect(module.type(['i32'], ['i32'])).toBe(type);
  const first = module.addFunction(type, [], new Code().get(0).call(note).get(0).returnCall(double));
  const second = module.addFunction(type, [], new Code().i32Const(16).get(0).memory(storeOpcode['32']!, 4).i32Const(20).memory(loadOpcode['16u']!, 0));
  // Goes to the table entry that its argument names.
  module.exportFunction('enter', module.addFunction(type, [], new Code().get(0).get(0).returnCallIndirect(type, 0)));
  module.exportFunction('first', first);
  module.table([second, first]);
  const wasm = module.toBytes();
  validText(wasm);
  expect(() => module.importFunction('host', 'late', [], [])).toThrow('imports come before');

  const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  const notes: number[] = [];
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasm), { env: { memory }, host: { double: (x: number) => 2 * x, note: (x: number) => void notes.push(x) } });
  const enter = exports['enter'] as (x: number) => number;
  expect(enter(1)).toBe(2);
  expect(enter(0)).toBe(0);
  expect((exports['first'] as (x: number) => number)(21)).toBe(42);
  expect(notes).toEqual([1, 21]);
  expect(new DataView(memory.buffer).getUint32(20, true)).toBe(0);
});

test('a deep chain of tail calls does not use the stack', () => {
  const module = new ModuleBuilder();
  const type = module.type(['i32'], ['i32']);
  const code = new Code().get(0).byte(0x45).if().i32Const(7).return().end().get(0).i32Const(1).byte(0x6b).i32Const(0).returnCallIndirect(type, 0);
  const index = module.addFunction(type, [], code);
  module.exportFunction('run', index);
  module.table([index]);
  expect(run(module.toBytes(), 1_000_000)).toBe(7);
});

test('the validators refuse a wrong body', () => {
  const wasm = single([], ['i32'], new Code().i64Const(1n));
  expect(() => validText(wasm)).toThrow(/type mismatch/);
  expect(validate(wasm)).toBe(false);
});

describe('every numeric operation of the IR is the wasm instruction of its name and types', () => {
  const numeric = operations.filter((operation) => operation.wasm !== undefined);
  const suffixes = { i32: '32', i64: '64', f32: 'f32', f64: 'f64', v128: 'v128' } as const;
  const build = (operation: Operation): Ir => {
    const ir = new Ir();
    const b = new Builder(ir);
    const operands: Value[] = operation.params.map((type, i) => b.loadState(suffixes[type], 16 * i));
    if (operation.name === 'i8x16.shuffle') b.v128(Array.from({ length: 16 }, (_, i) => 31 - i));
    const result = b.op(operation.name, operands, operation.lane ? 1 : 0);
    b.storeState(suffixes[operation.result as WasmType], 64, result);
    b.op('next');
    return ir;
  };
  test('there are some', () => expect(numeric.length).toBeGreaterThan(250));
  test.each(numeric.map((operation) => [operation.name, operation] as const))('%s', (name, operation) => {
    const lines = validText(compile(build(operation)).wasm).split('\n').map((line) => line.trim().replace(/\)+$/, ''));
    const expected = operation.lane ? `${name} 1` : name === 'i8x16.shuffle' ? `${name} ${Array.from({ length: 16 }, (_, i) => 31 - i).join(' ')}` : name;
    expect(lines).toContain(expected);
  });
});
