import { describe, expect, test } from 'vitest';
import { Builder } from '../ir/builder.ts';
import { Ir } from '../ir/ir.ts';
import type { Value } from '../ir/ir.ts';
import { CPU, FAULT_PENDING, JUMPED, JUMP_TARGET, LEAVE_FAULT, NEXT, PAGE, POSITION, RECORD, compile, mapPage } from './lowering.test-support.ts';
import type { TestRoutine } from './lowering.test-support.ts';

function program(write: (b: Builder) => void): Ir {
  const ir = new Ir();
  const b = new Builder(ir);
  write(b);
  return ir;
}

test('adds state, stores the sum, goes on', () => {
  const { view, run } = compile(program((b) => {
    b.storeState('64', 16, b.add(b.loadState('64', 0), b.loadState('64', 8)));
    b.op('next');
  })).start();
  view.setBigUint64(CPU, 0xffff_ffff_ffff_fffen, true);
  view.setBigUint64(CPU + 8, 5n, true);
  expect(run()).toBe(NEXT);
  expect(view.getBigUint64(CPU + 16, true)).toBe(3n);
});

test('a value read before a store keeps what it read', () => {
  const { view, run } = compile(program((b) => {
    const old = b.loadState('32', 0);
    b.storeState('32', 0, b.i32(7));
    b.storeState('32', 4, old);
    b.op('next');
  })).start();
  view.setUint32(CPU, 1234, true);
  run();
  expect(view.getUint32(CPU + 4, true)).toBe(1234);
});

test('operand order: a - b, select, sign extension', () => {
  const { view, run } = compile(program((b) => {
    const [x, y] = [b.loadState('32', 0), b.loadState('32', 4)];
    b.storeState('32', 8, b.sub(x, y));
    b.storeState('32', 12, b.select(b.ltS(x, y), x, y));
    b.storeState('64', 16, b.extendS(b.signExtend(x, 8)));
    b.op('next');
  })).start();
  view.setUint32(CPU, 0x80, true);
  view.setUint32(CPU + 4, 0x90, true);
  run();
  expect(view.getInt32(CPU + 8, true)).toBe(-0x10);
  expect(view.getInt32(CPU + 12, true)).toBe(0x80);
  expect(view.getBigInt64(CPU + 16, true)).toBe(-0x80n);
});

test('fields, and state at a computed offset', () => {
  const { view, run } = compile(program((b) => {
    const value = b.op('state.load16u.at', [b.op('field.8u', [], 3)], 4);
    b.op('state.store8.at', [b.op('field.16u', [], 6), value], 1);
    b.op('next');
  })).start();
  view.setUint8(RECORD + 3, 32);
  view.setUint16(RECORD + 6, 48, true);
  view.setUint16(CPU + 36, 0xabcd, true);
  run();
  expect(view.getUint16(CPU + 48, true)).toBe(0xcd00);
});

test('if and else, variables and a loop: factorial or 1', () => {
  const compiled = compile(program((b) => {
    const [product, count] = [b.variable('i64'), b.variable('i32')];
    b.set(product, b.i64(1));
    b.set(count, b.loadState('32', 0));
    b.if(b.get(count), () => {
      b.loop(() => {
        b.set(product, b.mul(b.get(product), b.extendU(b.get(count))));
        b.set(count, b.sub(b.get(count), b.i32(1)));
        return b.get(count);
      });
    }, () => b.storeState('8', 4, b.i32(0xee)));
    b.storeState('64', 8, b.get(product));
    b.op('next');
  }));
  for (const [n, product, mark] of [[0, 1n, 0xee], [1, 1n, 0], [20, 2432902008176640000n, 0]] as const) {
    const { view, run } = compiled.start();
    view.setUint32(CPU, n, true);
    expect(run()).toBe(NEXT);
    expect(view.getBigUint64(CPU + 8, true)).toBe(product);
    expect(view.getUint8(CPU + 4)).toBe(mark);
  }
});

test('vectors: constants, lanes, shuffle', () => {
  const { view, run } = compile(program((b) => {
    const x = b.loadState('v128', 0);
    const y = b.op('i32x4.replace_lane', [b.v128(Array.from({ length: 16 }, (_, i) => 0xf0 + i)), b.i32(0x01020304)], 2);
    // Lowest byte of the second operand, then those of the first backwards.
    const pattern = [16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 24];
    b.v128(pattern);
    b.storeState('v128', 16, b.op('i8x16.shuffle', [x, y], b.ir.constants.length - 1));
    b.op('next');
  })).start();
  for (let i = 0; i < 16; i++) view.setUint8(CPU + i, i);
  run();
  expect(Array.from({ length: 16 }, (_, i) => view.getUint8(CPU + 16 + i))).toEqual([0xf0, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 4]);
});

describe('leaving', () => {
  test('leave gives the code and the position', () => {
    const { view, run } = compile(program((b) => {
      b.if(b.loadState('32', 0), () => b.leave(5));
      b.op('next');
    })).start();
    expect(run()).toBe(NEXT);
    expect(view.getUint32(CPU + POSITION, true)).toBe(0);
    view.setUint32(CPU, 1, true);
    expect(run()).toBe(5);
    expect(view.getUint32(CPU + POSITION, true)).toBe(RECORD);
  });
  test('leave.nonzero', () => {
    const { view, run } = compile(program((b) => {
      b.leaveNonzero(b.loadState('32', 0));
      b.op('next');
    })).start();
    expect(run()).toBe(NEXT);
    view.setUint32(CPU, 17, true);
    expect(run()).toBe(17);
  });
  test('jumps: relative, on a condition, indirect', () => {
    const { view, run } = compile(program((b) => {
      b.op('jump.relative.if', [b.loadState('32', 0)], 16);
      b.op('jump.indirect', [b.i64(0x1234_5678_9abcn)]);
    })).start();
    expect(run()).toBe(JUMPED);
    expect(view.getBigUint64(CPU + JUMP_TARGET, true)).toBe(0x1234_5678_9abcn);
    view.setUint32(CPU, 1, true);
    expect(run()).toBe(16);
    expect(compile(program((b) => b.op('jump.relative', [], 64))).start().run()).toBe(64);
  });
});

describe('routines', () => {
  const routine: TestRoutine = { callee: { index: 0, params: ['i32', 'i64'], result: 'i32' }, checksFault: true };
  const ir = program((b) => {
    b.storeState('32', 0, b.call(routine.callee, [b.i32(3), b.i64(-4)]));
    b.op('next');
  });
  test('get the vCPU and their arguments, and see the position', () => {
    const seen: unknown[] = [];
    const { view, run } = compile(ir, [routine]).start({
      routine0: (cpu: number, x: number, y: bigint) => {
        seen.push(cpu, x, y, view.getUint32(CPU + POSITION, true));
        return 9;
      },
    });
    expect(run()).toBe(NEXT);
    expect(seen).toEqual([CPU, 3, -4n, RECORD]);
    expect(view.getUint32(CPU, true)).toBe(9);
  });
  test('a pending fault leaves before the result is used', () => {
    const { view, run } = compile(ir, [routine]).start({
      routine0: () => {
        view.setUint32(CPU + FAULT_PENDING, 1, true);
        return 9;
      },
    });
    expect(run()).toBe(LEAVE_FAULT);
    expect(view.getUint32(CPU, true)).toBe(0);
  });
  test('a call is made though nobody needs its result', () => {
    let calls = 0;
    const unused = program((b) => {
      b.call(routine.callee, [b.i32(0), b.i64(0)]);
      b.op('next');
    });
    expect(compile(unused, [routine]).start({ routine0: () => ++calls }).run()).toBe(NEXT);
    expect(calls).toBe(1);
  });
});

describe('guest memory', () => {
  const sizes = [['8', 1], ['16', 2], ['32', 4], ['64', 8], ['v128', 16]] as const;
  const linear = 0xffff_8000_0000_3000n;
  const addressed = (b: Builder): Value => b.loadState('64', 0);
  const load = (suffix: string, write = ''): Ir => program((b) => {
    const value = b.op(`memory.load${suffix}${write}`, [addressed(b)]);
    b.storeState(suffix as '32', 16, value);
    b.op('next');
  });
  const store = (suffix: string): Ir => program((b) => {
    const value = b.loadState(suffix === '8' ? '8u' : suffix === '16' ? '16u' : (suffix as '32'), 16);
    b.op(`memory.store${suffix}`, [addressed(b), value]);
    b.op('next');
  });
  const bytesAt = (view: DataView, at: number, count: number): number[] => Array.from({ length: count }, (_, i) => view.getUint8(at + i));
  const fill = (view: DataView, at: number): void => {
    for (let i = 0; i < 16; i++) view.setUint8(at + i, 0xa0 + i);
  };

  test.each(sizes)('load%s and store%s in the TLB up to the page\'s last byte', (suffix, bytes) => {
    for (const offset of [0, 0x1000 - bytes]) {
      const loading = compile(load(suffix)).start();
      mapPage(loading.view, linear, 'read');
      loading.view.setBigUint64(CPU, linear + BigInt(offset), true);
      fill(loading.view, PAGE + offset);
      expect(loading.run()).toBe(NEXT);
      expect(bytesAt(loading.view, CPU + 16, bytes)).toEqual(bytesAt(loading.view, PAGE + offset, bytes));
      expect(loading.view.getUint8(CPU + 16)).toBe(0xa0);

      const storing = compile(store(suffix)).start();
      mapPage(storing.view, linear, 'write');
      storing.view.setBigUint64(CPU, linear + BigInt(offset), true);
      fill(storing.view, CPU + 16);
      expect(storing.run()).toBe(NEXT);
      expect(bytesAt(storing.view, PAGE + offset, bytes)).toEqual(bytesAt(storing.view, CPU + 16, bytes));
      expect(storing.view.getUint8(PAGE + offset + bytes)).toBe(0);
    }
  });

  test.each(sizes.slice(1))('load%s and store%s across the page take the slow path', (suffix, bytes) => {
    const at = linear + BigInt(0x1000 - bytes + 1);
    const asked: unknown[] = [];
    const answer = (cpu: number, address: bigint): bigint | number => {
      asked.push(cpu, BigInt.asUintN(64, address));
      return bytes >= 8 ? BigInt(asked.length) : 0x42;
    };
    const loading = compile(load(suffix)).start(suffix === 'v128' ? { slowLoadLow128: answer, slowLoad64: answer } : { [`slowLoad${suffix}`]: answer });
    mapPage(loading.view, linear, 'read');
    loading.view.setBigUint64(CPU, at, true);
    expect(loading.run()).toBe(NEXT);
    expect(asked).toEqual(suffix === 'v128' ? [CPU, at, CPU, at + 8n] : [CPU, at]);
    expect(loading.view.getBigUint64(CPU + 16, true)).toBe(bytes >= 8 ? 2n : 0x42n);
    if (suffix === 'v128') expect(loading.view.getBigUint64(CPU + 24, true)).toBe(4n);

    const stored: unknown[] = [];
    const storing = compile(store(suffix)).start({ [`slowStore${suffix === 'v128' ? '128' : suffix}`]: (cpu: number, ...args: never[]) => void stored.push(cpu, ...args) });
    mapPage(storing.view, linear, 'write');
    storing.view.setBigUint64(CPU, at, true);
    storing.view.setUint8(CPU + 16, 0x42);
    expect(storing.run()).toBe(NEXT);
    expect(stored.slice(0, 2).map((value) => (typeof value === 'bigint' ? BigInt.asUintN(64, value) : value))).toEqual([CPU, at]);
    expect(Number(stored[2])).toBe(0x42);
    expect(storing.view.getUint32(CPU + POSITION, true)).toBe(RECORD);
  });

  test('a page that may only be read: stores and loads for writing take the slow path, loads do not', () => {
    const start = (ir: Ir, imports: Record<string, () => number | void>): { view: DataView; run(): number } => {
      const started = compile(ir).start(imports);
      mapPage(started.view, linear, 'read');
      started.view.setBigUint64(CPU, linear, true);
      return started;
    };
    let slow = 0;
    expect(start(load('32'), {}).run()).toBe(NEXT);
    expect(start(load('32', '.write'), { slowLoadForWrite32: () => ++slow }).run()).toBe(NEXT);
    expect(start(store('32'), { slowStore32: () => void ++slow }).run()).toBe(NEXT);
    expect(slow).toBe(2);
  });

  test('a fault on the slow path leaves at once', () => {
    const faulty = (ir: Ir, name: string): void => {
      const { view, run } = compile(ir).start({
        [name]: () => {
          view.setUint32(CPU + FAULT_PENDING, 1, true);
          return 0x55;
        },
      });
      view.setBigUint64(CPU, linear, true);
      expect(run()).toBe(LEAVE_FAULT);
      expect(view.getUint32(CPU + 16, true)).toBe(0);
    };
    faulty(load('32'), 'slowLoad32');
    faulty(store('32'), 'slowStore32');
  });
});
