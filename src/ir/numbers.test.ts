import { expect, test } from 'vitest';
import { Code, loadOpcode, storeOpcode } from '../wasm/code.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { numericOf } from './numbers.ts';
import { operations } from './operations.ts';
import type { Operation, ValueType } from './operations.ts';

// The evaluator's arithmetic against WebAssembly itself, on edge values and random ones.
const CASES = 150;
const SLOT = 16;
const widths: Readonly<Record<ValueType, number>> = { i32: 32, i64: 64, f32: 32, f64: 64, v128: 128 };
const suffixes: Readonly<Record<ValueType, string>> = { i32: '32', i64: '64', f32: 'f32', f64: 'f64', v128: 'v128' };
const numeric = operations.filter(({ wasm }) => wasm !== undefined);
const lanesOf = ({ name }: Operation): number => Number(/x(\d+)\./.exec(name)![1]);
const pattern = Array.from({ length: 16 }, (_, i) => (i * 11 + 3) % 32);

/** A function of memory for each operation: operands in slots 1 to 3, the result in slot 0. */
function compile(memory: WebAssembly.Memory): Record<string, () => void> {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', 1, 1, true);
  const type = module.type([], []);
  for (const operation of numeric) {
    const code = new Code().i32Const(0);
    operation.params.forEach((param, i) => code.i32Const((i + 1) * SLOT).memory(loadOpcode[suffixes[param]]!, 0));
    code.bytes(operation.wasm!);
    if (operation.lane) code.byte(lanesOf(operation) - 1);
    else if (operation.name === 'i8x16.shuffle') code.bytes(pattern);
    code.memory(storeOpcode[suffixes[operation.result as ValueType]]!, 0);
    module.exportFunction(operation.name, module.addFunction(type, [], code));
  }
  return new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), { env: { memory } }).exports as Record<string, () => void>;
}

let seed = 1;
const random = (): number => (seed = (Math.imul(seed, 0x19660d) + 0x3c6ef35f) >>> 0) >>> 8;
const edges = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fff_8000n, 0xffff_ffffn, 0x7f80_0000n, 0x3f00_0000n, 0xbfc0_0000n, 0x4b00_0001n, 0x5f00_0000n, 0x3ff8_0000_0000_0000n, 0x8000_0000_0000_0000n, 0x7ff0_0000_0000_0000n,
  0xc1e0_0000_0020_0000n, 0x7fff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn, 0x0010_0000_0000_0001n, 0x43e0_0000_0000_0000n, 0x4008_0000_0000_0000n];
function operand(width: number): bigint {
  const half = (): bigint => (random() % 2 === 0 ? edges[random() % edges.length]! : (BigInt(random()) << 40n) ^ (BigInt(random()) << 20n) ^ BigInt(random()));
  return BigInt.asUintN(width, half() | (half() << 64n));
}
/** NaNs are alike: WebAssembly leaves their bits open. */
function withoutNaNs({ name, result }: Operation, value: bigint): bigint {
  const lanes = /^f(32|64)/.exec(name)?.[1] ?? (result === 'f32' ? '32' : result === 'f64' ? '64' : undefined);
  if (lanes === undefined || result === 'i32' || result === 'i64') return value;
  const width = BigInt(lanes);
  const infinity = width === 64n ? 0x7ff0_0000_0000_0000n : 0x7f80_0000n;
  let out = 0n;
  for (let at = 0n; at < BigInt(widths[result as ValueType]); at += width) {
    const lane = BigInt.asUintN(Number(width), value >> at);
    out |= (BigInt.asUintN(Number(width) - 1, lane) > infinity ? infinity + 1n : lane) << at;
  }
  return out;
}

test('every numeric operation computes what WebAssembly does', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const compiled = compile(memory);
  const view = new DataView(memory.buffer);
  const failures: string[] = [];
  for (const operation of numeric) {
    const { name, params, result } = operation;
    const evaluated = numericOf(operation);
    const lane = operation.lane ? BigInt(lanesOf(operation) - 1) : pattern.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    for (let k = 0; k < CASES; k++) {
      const args = params.map((type) => operand(widths[type]));
      // What traps is not built (operations.ts).
      if (/div_|rem_/.test(name) && (args[1] === 0n || BigInt.asIntN(widths[params[0]!], args[1]!) === -1n)) continue;
      args.forEach((value, i) => {
        view.setBigUint64((i + 1) * SLOT, BigInt.asUintN(64, value), true);
        view.setBigUint64((i + 1) * SLOT + 8, value >> 64n, true);
      });
      compiled[name]!();
      const expected = BigInt.asUintN(widths[result as ValueType], view.getBigUint64(0, true) | (view.getBigUint64(8, true) << 64n));
      const got = evaluated(args, lane);
      if (withoutNaNs(operation, expected) === withoutNaNs(operation, got)) continue;
      failures.push(`${name} of ${args.map((value) => value.toString(16)).join(', ')}: ${expected.toString(16)} expected, got ${got.toString(16)}`);
      break;
    }
  }
  expect(failures).toEqual([]);
  expect(numeric.length).toBeGreaterThan(250);
});
