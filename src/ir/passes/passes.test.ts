import { expect, test } from 'vitest';
import { Builder } from '../builder.ts';
import { Ir } from '../ir.ts';
import type { Value } from '../ir.ts';
import { operations } from '../operations.ts';
import { AccessGrouping } from './access-groups.ts';
import { eraseDeadStores } from './dead-stores.ts';

const build = (write: (b: Builder) => void): Ir => {
  const ir = new Ir();
  write(new Builder(ir));
  return ir;
};
const routine = (index: number) => ({ index, params: [], result: 'none' }) as const;
/** Of each access in order: which of them is its leader, and its bytes from the lowest of the group. */
const groupsOf = (ir: Ir): { found: AccessGrouping; list: string[] } => {
  const found = new AccessGrouping().find(ir, (index) => index === 1);
  const accesses = [...Array(ir.length).keys()].filter((i) => operations[ir.op[i]!]!.effect.endsWith('-memory'));
  return { found, list: accesses.map((i) => (found.leader[i]! < 0 ? 'alone' : `${accesses.indexOf(found.leader[i]!)}+${found.offset[i]!}`)) };
};

test('accesses off one value are a group as far as it does not span too much', () => {
  const ir = build((b) => {
    const base = b.i64(1n << 60n);
    const at = (displacement: number): Value => b.addConst(base, displacement);
    b.op('memory.load32', [at(8)]);
    b.op('memory.store16', [at(-4), b.i32(1)]);
    b.op('memory.load64', [at(200)]);
    b.op('memory.load8', [at(52)]);
    b.op('memory.load8', [b.addConst(at(4), 8)]);
  });
  const { found, list } = groupsOf(ir);
  expect(list).toEqual(['0+12', '0+0', '2+0', '0+56', '0+16']);
  const leader = found.leader.find((i) => i >= 0)!;
  expect([found.low[leader], found.span[leader], found.writes[leader], ir.op[found.last[leader]!]]).toEqual([-4, 57, 1, ir.op[ir.length - 1]]);
});

test('addresses of 32 bits, constant ones, and what ends groups or stays out of them', () => {
  const ir = build((b) => {
    const base = b.variable('i32');
    const value = b.get(base);
    const at = (displacement: number): Value => b.extendU(b.addConst(value, displacement));
    b.op('memory.load32', [at(0x7fffffff)]);
    b.op('memory.load32', [at(-0x80000000)]);
    b.if(value, () => b.op('memory.load32', [at(-0x80000000)]));
    b.call(routine(0), []);
    b.op('memory.load8', [b.i64(0xc0001000n)]);
    b.op('memory.load8', [b.i64(0xc0001010n)]);
    b.call(routine(1), []);
    b.op('memory.load8', [b.i64(0xc0001010n)]);
  });
  expect(groupsOf(ir).list).toEqual(['0+0', '1+0', 'alone', '3+0', '3+16', '5+0']);
});

test('only what somebody may look at is stored', () => {
  const ir = build((b) => {
    const [register, flags] = [b.variable('i64'), b.variable('i64')];
    const base = b.get(register);
    const both = (value: number): void => {
      b.set(register, b.i64(value));
      b.set(flags, b.i64(value));
      b.storeState('64', 0, b.i64(value));
    };
    both(1);
    b.op('memory.load8', [base]);
    both(2);
    b.op('memory.load8', [b.addConst(base, 4)]);
    both(3);
    b.call(routine(0), []);
    both(4);
    b.get(flags);
    both(5);
    b.storeState('64', 4096, b.i64(6));
    b.storeState('64', 4096, b.i64(7));
  });
  eraseDeadStores(ir, groupsOf(ir).found, { variables: 2, registerBytes: 128 });
  const stores = [...Array(ir.length).keys()].filter((i) => operations[ir.op[i]!]!.params.length === 1 && /set|store/.test(operations[ir.op[i]!]!.name));
  const name = (i: number): string => (operations[ir.op[i]!]!.name.includes('set') ? ['register', 'flags'][ir.small(i)]! : ir.small(i) === 0 ? 'state' : 'elsewhere');
  // The first load leaves where it is missed; the second is of its group.
  expect(stores.map((i) => `${name(i)} ${ir.small(ir.a[i]!)}`)).toEqual([
    'flags 1', 'state 1', 'register 3', 'flags 3', 'state 3', 'flags 4', 'register 5', 'flags 5', 'state 5', 'elsewhere 6', 'elsewhere 7',
  ]);
});
