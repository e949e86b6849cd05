import { describe, expect, test } from 'vitest';
import { Builder } from './builder.ts';
import { Ir, NONE } from './ir.ts';
import type { Value } from './ir.ts';
import { operationNumber } from './operations.ts';
import { verify } from './verifier.ts';

/** Appends without the builder's own checks. */
function raw(ir: Ir, name: string, operands: readonly number[] = [], immediate = 0n): Value {
  return ir.append(operationNumber(name), operands[0] ?? NONE, operands[1] ?? NONE, operands[2] ?? NONE, immediate);
}

function build(write: (b: Builder, ir: Ir) => void): Ir {
  const ir = new Ir();
  write(new Builder(ir), ir);
  return ir;
}

const callee = { index: 0, params: ['i32', 'i64'], result: 'i32' } as const;

test('accepts nested control, variables, lanes and calls', () => {
  const ir = build((b) => {
    const count = b.variable('i32');
    const outer = b.i32(3);
    b.set(count, outer);
    b.loop(() => {
      const next = b.sub(b.get(count), b.i32(1));
      b.if(b.eqz(next), () => b.set(count, outer), () => b.set(count, next));
      return next;
    });
    b.op('i32x4.extract_lane', [b.v128(new Uint8Array(16))], 3);
    b.leaveNonzero(b.call(callee, [outer, b.i64(1)]));
    b.op('next');
  });
  expect(() => verify(ir, [callee])).not.toThrow();
});

describe('rejects', () => {
  const cases: readonly (readonly [string, RegExp, (b: Builder, ir: Ir) => void])[] = [
    ['a value used before its definition', /used before/, (_, ir) => raw(ir, 'i32.eqz', [1])],
    ['a value that uses itself', /used before/, (_, ir) => raw(ir, 'i32.eqz', [0])],
    ['a missing operand', /used before/, (b, ir) => raw(ir, 'i32.add', [b.i32(1)])],
    ['a call argument defined later', /used before/, (b, ir) => {
      ir.appendPool(7);
      ir.appendPool(7);
      ir.append(operationNumber('call.i32'), NONE, 0, 2, 0n);
      b.i32(1);
    }],
    ['a value of the then branch in the else branch', /outside the control scope/, (b) => {
      let inner = 0 as Value;
      b.if(b.i32(1), () => { inner = b.i32(2); }, () => { b.eqz(inner); });
    }],
    ['a value of a branch behind it', /outside the control scope/, (b) => {
      let inner = 0 as Value;
      b.if(b.i32(1), () => { inner = b.i32(2); });
      b.eqz(inner);
    }],
    ['a value of a loop behind it', /outside the control scope/, (b) => {
      let inner = 0 as Value;
      b.loop(() => (inner = b.i32(0)));
      b.eqz(inner);
    }],
    ['a call argument of a closed scope', /outside the control scope/, (b) => {
      let inner = 0 as Value;
      b.if(b.i32(1), () => { inner = b.i32(2); });
      b.call(callee, [inner, b.i64(0)]);
    }],
    ['an operand of another type', /is i64, must be i32/, (b, ir) => raw(ir, 'i32.add', [b.i32(1), b.i64(1)])],
    ['an operand without a result', /is none, must be i32/, (b, ir) => {
      b.storeState('32', 0, b.i32(1));
      raw(ir, 'i32.eqz', [1]);
    }],
    ['a call argument of another type', /is i32, must be i64/, (b, ir) => {
      const value = b.i32(1);
      ir.appendPool(value);
      ir.appendPool(value);
      ir.append(operationNumber('call.i32'), NONE, 0, 2, 0n);
    }],
    ['a call with too few arguments', /takes 2 arguments/, (_, ir) => ir.append(operationNumber('call.i32'), NONE, 0, 0, 0n)],
    ['a call of another result type', /result is i32/, (b) => b.call({ ...callee, result: 'i64' }, [b.i32(1), b.i64(1)])],
    ['a call of an unknown routine', /no routine 5/, (b) => b.call({ ...callee, index: 5 }, [b.i32(1), b.i64(1)])],
    ['arguments outside the pool', /outside the pool/, (_, ir) => ir.append(operationNumber('call.i32'), NONE, 0, 2, 0n)],
    ['an if without end', /1 control structures open/, (b, ir) => raw(ir, 'if', [b.i32(1)])],
    ['a loop without end', /innermost by loop/, (_, ir) => raw(ir, 'loop')],
    ['an end too many', /nothing is open/, (_, ir) => raw(ir, 'end')],
    ['an else outside of an if', /no if is open/, (_, ir) => raw(ir, 'else')],
    ['an else in a loop', /no if is open/, (_, ir) => {
      raw(ir, 'loop');
      raw(ir, 'else');
      raw(ir, 'end');
    }],
    ['a second else', /no if is open/, (b, ir) => {
      raw(ir, 'if', [b.i32(1)]);
      raw(ir, 'else');
      raw(ir, 'else');
      raw(ir, 'end');
    }],
    ['again outside of a loop', /directly in a loop/, (b, ir) => raw(ir, 'again', [b.i32(1)])],
    ['again in an if in a loop', /directly in a loop/, (b) => b.loop(() => {
      const one = b.i32(1);
      b.if(one, () => { b.op('again', [one]); });
      return one;
    })],
    ['a read of an unknown variable', /no variable 1/, (b, ir) => {
      b.variable('i32');
      raw(ir, 'variable.get.i32', [], 1n);
    }],
    ['a write of an unknown variable', /no variable -1/, (b, ir) => raw(ir, 'variable.set.i32', [b.i32(1)], -1n)],
    ['a variable accessed as another type', /is i64, accessed as i32/, (b, ir) => {
      b.variable('i64');
      raw(ir, 'variable.get.i32', [], 0n);
    }],
    ['an unknown vector constant', /no constant 0/, (_, ir) => raw(ir, 'const.v128')],
    ['a shuffle of lane 32', /32 lanes/, (b) => b.op('i8x16.shuffle', [b.v128(new Uint8Array(16).fill(32)), b.v128(new Uint8Array(16))], 0)],
    ['a lane that the vector does not have', /no lane 4/, (b) => b.op('i32x4.extract_lane', [b.v128(new Uint8Array(16))], 4)],
    ['an operation that is not in the table', /no operation has number/, (_, ir) => ir.append(0xffff, NONE, NONE, NONE, 0n)],
  ];
  test.each(cases)('%s', (_, message, write) => {
    expect(() => verify(build(write), [callee])).toThrow(message);
  });
});
