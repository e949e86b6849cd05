import { NONE } from './ir.ts';
import type { Ir } from './ir.ts';
import { numericOf } from './numbers.ts';
import type { Numeric } from './numbers.ts';
import { operations } from './operations.ts';

/** What a run of IR acts on. Values are unsigned bigints of their type's bits; sizes are in bytes. */
export interface EvaluatorHost {
  loadState(offset: number, bytes: number): bigint;
  storeState(offset: number, bytes: number, value: bigint): void;
  /** A field of the decoded record. */
  loadField(offset: number, bytes: number): bigint;
  /** `whole`: bytes of the access that begins here, if that is more. Undefined: a fault is pending. */
  loadMemory(address: bigint, bytes: number, forWrite: boolean, whole: number): bigint | undefined;
  /** False: a fault is pending. */
  storeMemory(address: bigint, bytes: number, value: bigint): boolean;
  /** Undefined: a fault is pending. A routine without a result gives 0. */
  call(routine: number, args: readonly bigint[]): bigint | undefined;
}

/** How a run ended: as its transfer says, with the code of a `leave`, or by a fault. */
export type Ending =
  | { readonly kind: 'next' }
  | { readonly kind: 'relative'; readonly width: number }
  | { readonly kind: 'indirect'; readonly target: bigint }
  | { readonly kind: 'leave'; readonly code: number }
  | { readonly kind: 'fault' };

const sizes: Readonly<Record<string, number>> = { '8': 1, '8u': 1, '8s': 1, '16': 2, '16u': 2, '16s': 2, '32': 4, f32: 4, '64': 8, f64: 8, v128: 16 };
const numerics = new Map<number, Numeric>();
const FAULT: Ending = { kind: 'fault' };

/**
 * The reference evaluator: runs IR one operation after the other, by what operations.ts declares and numbers.ts says of numbers.
 * It shares nothing with lowering, WebAssembly and the engines but the semantics that built the IR; it is slow.
 */
export function evaluate(ir: Ir, host: EvaluatorHost): Ending {
  const values: bigint[] = [];
  const variables = ir.variables.map(() => 0n);
  const { otherwise, end, loopOf } = matchControl(ir);
  for (let i = 0; i < ir.length; i++) {
    const code = ir.op[i]!;
    const operation = operations[code]!;
    const [group, what, suffix] = operation.name.split('.') as [string, string | undefined, string | undefined];
    const operand = (column: Int32Array): bigint => values[column[i]!]!;
    const immediate = ir.small(i);
    if (operation.wasm !== undefined) {
      let numeric = numerics.get(code);
      if (numeric === undefined) numerics.set(code, (numeric = numericOf(operation)));
      const args = [ir.a, ir.b, ir.c].filter((column) => column[i] !== NONE).map(operand);
      values[i] = numeric(args, operation.name === 'i8x16.shuffle' ? littleEndian(ir.constants[immediate]!) : BigInt(immediate));
      continue;
    }
    switch (group) {
      case 'const':
        values[i] = what === 'v128' ? littleEndian(ir.constants[immediate]!) : BigInt.asUintN(what === 'i32' ? 32 : 64, ir.immediate[i]!);
        break;
      case 'select': values[i] = operand(ir.c) !== 0n ? operand(ir.a) : operand(ir.b); break;
      case 'field': values[i] = host.loadField(immediate, sizes[what!]!); break;
      case 'variable': {
        if (what === 'get') values[i] = variables[immediate]!;
        else variables[immediate] = operand(ir.a);
        break;
      }
      case 'state': {
        const kind = what!.replace(/^load|^store/, '');
        const offset = immediate + (suffix === 'at' ? Number(BigInt.asIntN(32, operand(ir.a))) : 0);
        const bytes = sizes[kind]!;
        if (what!.startsWith('store')) host.storeState(offset, bytes, BigInt.asUintN(bytes * 8, operand(suffix === 'at' ? ir.b : ir.a)));
        else {
          const value = host.loadState(offset, bytes);
          values[i] = kind.endsWith('s') ? BigInt.asUintN(32, BigInt.asIntN(bytes * 8, value)) : value;
        }
        break;
      }
      case 'memory': {
        const bytes = sizes[what!.replace(/^load|^store/, '')]!;
        if (what!.startsWith('store')) {
          if (!host.storeMemory(operand(ir.a), bytes, BigInt.asUintN(bytes * 8, operand(ir.b)))) return FAULT;
          break;
        }
        const value = host.loadMemory(operand(ir.a), bytes, suffix === 'write', immediate);
        if (value === undefined) return FAULT;
        values[i] = value;
        break;
      }
      case 'atomic': {
        const [, name, bits] = /^([a-z]+)(\d+)$/.exec(what!)!;
        const bytes = Number(bits) / 8;
        const old = host.loadMemory(operand(ir.a), bytes, true, 0);
        if (old === undefined) return FAULT;
        const next = modified(name!, old, operand(ir.b), () => operand(ir.c));
        if (!host.storeMemory(operand(ir.a), bytes, BigInt.asUintN(bytes * 8, next))) return FAULT;
        values[i] = old;
        break;
      }
      // One run has the memory to itself.
      case 'fence': break;
      case 'call': {
        const result = host.call(immediate, Array.from({ length: ir.c[i]! }, (_, k) => values[ir.pool[ir.b[i]! + k]!]!));
        if (result === undefined) return FAULT;
        values[i] = result;
        break;
      }
      case 'if': if (operand(ir.a) === 0n) i = otherwise.get(i) ?? end.get(i)!; break;
      // Reached from above: the first branch is done.
      case 'else': i = end.get(i)!; break;
      case 'again': if (operand(ir.a) !== 0n) i = loopOf.get(i)!; break;
      case 'loop': case 'end': break;
      case 'leave': {
        const value = Number(BigInt.asIntN(32, operand(ir.a)));
        if (what !== 'nonzero' || value !== 0) return { kind: 'leave', code: value };
        break;
      }
      case 'next': return { kind: 'next' };
      case 'jump': {
        if (what === 'indirect') return { kind: 'indirect', target: operand(ir.a) };
        if (suffix !== 'if' || operand(ir.a) !== 0n) return { kind: 'relative', width: immediate };
        break;
      }
      default: throw new Error(`the evaluator has no ${operation.name}`);
    }
  }
  throw new Error('a run of IR without an end');
}

/** What an atomic operation writes. */
function modified(name: string, old: bigint, operand: bigint, replacement: () => bigint): bigint {
  switch (name) {
    case 'add': return old + operand;
    case 'sub': return old - operand;
    case 'and': return old & operand;
    case 'or': return old | operand;
    case 'xor': return old ^ operand;
    case 'xchg': return operand;
    case 'cmpxchg': return old === operand ? replacement() : old;
    default: throw new Error(`the evaluator has no atomic ${name}`);
  }
}

/** Where `else` and `end` of an `if` are, and the loop that an `again` belongs to. */
function matchControl(ir: Ir): Record<'otherwise' | 'end' | 'loopOf', Map<number, number>> {
  const found = { otherwise: new Map<number, number>(), end: new Map<number, number>(), loopOf: new Map<number, number>() };
  const open: number[] = [];
  const loops: number[] = [];
  for (let i = 0; i < ir.length; i++) {
    const { name } = operations[ir.op[i]!]!;
    if (name === 'if' || name === 'loop') open.push(i);
    if (name === 'loop') loops.push(i);
    if (name === 'again') found.loopOf.set(i, loops.at(-1)!);
    if (name === 'else') found.otherwise.set(open.at(-1)!, i);
    if (name === 'end') {
      const start = open.pop()!;
      if (loops.at(-1) === start) loops.pop();
      found.end.set(start, i);
      const middle = found.otherwise.get(start);
      if (middle !== undefined) found.end.set(middle, i);
    }
  }
  return found;
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
