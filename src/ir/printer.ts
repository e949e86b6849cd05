import type { Ir } from './ir.ts';
import { operations } from './operations.ts';

/** Names for numbers that mean something only to whoever built the IR. */
export interface IrNames {
  /** Name of the routine that a call's immediate stands for. */
  routine(index: number): string;
}

/** Operations whose immediate says nothing: 'none'; how the others show theirs. */
type ImmediateKind = 'none' | 'likelihood' | 'number' | 'offset' | 'lane' | 'constant' | 'variable' | 'routine';

function immediateKind(name: string, lane: boolean): ImmediateKind {
  if (lane) return 'lane';
  if (name === 'const.v128' || name === 'i8x16.shuffle') return 'constant';
  if (name === 'if') return 'likelihood';
  if (name.startsWith('const.') || name.startsWith('jump.relative')) return 'number';
  if (name.startsWith('state.') || name.startsWith('field.')) return 'offset';
  if (name.startsWith('variable.')) return 'variable';
  if (name.startsWith('call.')) return 'routine';
  return 'none';
}

const kinds: readonly ImmediateKind[] = operations.map((operation) => immediateKind(operation.name, operation.lane));

/**
 * The IR as text for people and goldens: one instruction a line, indented by control structure; `%n` is the value of
 * instruction n, `vn` a variable, `[n]` a byte offset in the state or the record, `.n` a lane. Prints malformed IR too.
 */
export function printIr(ir: Ir, names?: IrNames): string {
  let text = '';
  ir.variables.forEach((type, i) => {
    text += `v${i}: ${type}\n`;
  });
  let depth = 0;
  for (let i = 0; i < ir.length; i++) {
    const { name, result } = operations[ir.op[i]!]!;
    if (name === 'else' || name === 'end') depth = Math.max(0, depth - 1);
    text += `${'  '.repeat(depth)}${result === 'none' ? '' : `%${i} = `}${name}${immediate(ir, i, names)}${operands(ir, i)}\n`;
    if (name === 'if' || name === 'else' || name === 'loop') depth++;
  }
  return text;
}

function immediate(ir: Ir, i: number, names: IrNames | undefined): string {
  const value = ir.immediate[i]!;
  const kind = kinds[ir.op[i]!]!;
  switch (kind) {
    case 'none':
      return '';
    case 'likelihood':
      return value === 1n ? ' seldom' : '';
    case 'number':
      return ` ${value}`;
    case 'offset':
      return ` [${value}]`;
    case 'lane':
      return ` .${value}`;
    case 'variable':
      return ` v${value}`;
    case 'routine':
      return ` ${names?.routine(Number(value)) ?? `#${value}`}`;
    case 'constant': {
      const bytes = ir.constants[Number(value)];
      return ` 0x${bytes === undefined ? '?' : Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    }
  }
}

function operands(ir: Ir, i: number): string {
  const list: number[] = [];
  if (kinds[ir.op[i]!] === 'routine') {
    for (let k = 0; k < ir.c[i]!; k++) list.push(ir.pool[ir.b[i]! + k]!);
  } else list.push(...[ir.a[i]!, ir.b[i]!, ir.c[i]!].slice(0, operations[ir.op[i]!]!.params.length));
  return list.map((value) => ` %${value}`).join('');
}
