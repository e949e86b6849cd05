import { expect, it } from 'vitest';
import { TestDevice } from './test-device.ts';

function device(): { test: TestDevice; lines: string[] } {
  const lines: string[] = [];
  const test = new TestDevice([0, 1, 2].map((irq) => ({ kind: 'level', set: (high) => lines.push(`${irq}${high ? '+' : '-'}`) })));
  return { test, lines };
}

it('keeps what is written, byte by byte', () => {
  const { test } = device();
  test.ports.write(0, 2, 0x9988);
  test.ports.write(4, 4, 0x1234);
  expect([test.ports.read(0, 1), test.ports.read(1, 1), test.ports.read(4, 4)]).toEqual([0x88, 0x99, 0]);
  test.memory.write(0xfffc, 4, 0xfedcba98);
  expect([test.memory.read(0xfffc, 4), test.memory.read(0xfffe, 2), test.memory.read(0, 4)]).toEqual([0xfedcba98, 0xfedc, 0]);
});

it('drives interrupt lines, after loading too', () => {
  const { test, lines } = device();
  test.interrupts.write(1, 1, 1);
  test.interrupts.write(2, 1, 1);
  test.interrupts.write(1, 1, 0);
  expect(lines).toEqual(['1+', '2+', '1-']);
  const other = device();
  other.test.load(test.save(), 1);
  expect(other.lines).toEqual(['0-', '1-', '2+']);
  expect(other.test.save()).toEqual(test.save());
  other.test.reset();
  expect(other.lines.slice(3)).toEqual(['0-', '1-', '2-']);
  expect(() => other.test.load({ ...(test.save() as object), ram: new Uint8Array(1) }, 1)).toThrow('ram');
});
