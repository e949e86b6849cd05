import type { Callee } from './builder.ts';
import type { Ir } from './ir.ts';
import { operations } from './operations.ts';
import type { ValueType } from './operations.ts';

interface Scope {
  readonly id: number;
  readonly opener: 'if' | 'else' | 'loop' | 'function';
}

/**
 * Throws an Error naming the instruction unless the IR is well formed: operands are values defined before, in a control
 * scope that is still open, and of the type that the operation takes; if, else, loop and end match and `again` stands
 * directly in a loop; variable, constant and lane numbers exist. With `callees`, in the order of the calls' immediates,
 * calls are held against them as well.
 */
export function verify(ir: Ir, callees?: readonly Callee[]): void {
  const scopes: Scope[] = [{ id: 0, opener: 'function' }];
  const openIds = new Set([0]);
  let scopeCount = 0;
  const open = (opener: Scope['opener']): void => {
    scopes.push({ id: ++scopeCount, opener });
    openIds.add(scopeCount);
  };
  const close = (): void => {
    openIds.delete(scopes.pop()!.id);
  };
  const definedIn = new Int32Array(ir.length);

  for (let i = 0; i < ir.length; i++) {
    const operation = operations[ir.op[i]!];
    if (operation === undefined) throw new Error(`IR instruction ${i}: no operation has number ${ir.op[i]!}`);
    const fail = (what: string): never => {
      throw new Error(`IR instruction ${i} (${operation.name}): ${what}`);
    };
    const checkOperand = (value: number, type: ValueType, place: number): void => {
      if (value < 0 || value >= i) fail(`operand ${place} (%${value}) is used before its definition`);
      const found = operations[ir.op[value]!]!.result;
      if (found !== type) fail(`operand ${place} (%${value}) is ${found}, must be ${type}`);
      if (!openIds.has(definedIn[value]!)) fail(`operand ${place} (%${value}) is used outside the control scope that defines it`);
    };

    const columns = [ir.a[i]!, ir.b[i]!, ir.c[i]!];
    operation.params.forEach((type, place) => checkOperand(columns[place]!, type, place));
    const immediate = Number(ir.immediate[i]!);
    if (operation.lane) {
      const lanes = Number(/x(\d+)\./.exec(operation.name)![1]);
      if (immediate < 0 || immediate >= lanes) fail(`there is no lane ${immediate}`);
    } else if (operation.name === 'const.v128' || operation.name === 'i8x16.shuffle') {
      if (ir.constants[immediate]?.length !== 16) fail(`there is no constant ${immediate} of 16 bytes`);
      if (operation.name === 'i8x16.shuffle' && ir.constants[immediate]!.some((lane) => lane >= 32)) fail('a shuffle chooses among 32 lanes');
    } else if (operation.effect === 'variable') {
      const declared = ir.variables[immediate];
      if (declared === undefined) fail(`there is no variable ${immediate}`);
      const type = operation.name.split('.')[2];
      if (declared !== type) fail(`variable ${immediate} is ${declared}, accessed as ${type}`);
    } else if (operation.effect === 'call') {
      const [, start, count] = columns as [number, number, number];
      if (start < 0 || count < 0 || start + count > ir.poolLength) fail('its arguments lie outside the pool');
      const callee = callees?.[immediate];
      if (callees !== undefined && callee === undefined) fail(`there is no routine ${immediate}`);
      if (callee !== undefined) {
        if (callee.params.length !== count) fail(`the routine takes ${callee.params.length} arguments, not ${count}`);
        if (operation.name !== `call.${callee.result}`) fail(`the routine's result is ${callee.result}`);
      }
      for (let k = 0; k < count; k++) {
        const value = ir.pool[start + k]!;
        const type = callee?.params[k] ?? (value >= 0 && value < i ? operations[ir.op[value]!]!.result : 'i32');
        checkOperand(value, type === 'none' ? 'i32' : type, k);
      }
    }

    const innermost = scopes.at(-1)!.opener;
    switch (operation.name) {
      case 'if':
      case 'loop':
        open(operation.name);
        break;
      case 'else':
        if (innermost !== 'if') fail('no if is open here');
        close();
        open('else');
        break;
      case 'end':
        if (innermost === 'function') fail('nothing is open here');
        close();
        break;
      case 'again':
        // It becomes a branch to the innermost label, which an if would be too.
        if (innermost !== 'loop') fail('not directly in a loop');
        break;
    }
    definedIn[i] = scopes.at(-1)!.id;
  }
  if (scopes.length > 1) throw new Error(`IR ends with ${scopes.length - 1} control structures open, the innermost by ${scopes.at(-1)!.opener}`);
}
