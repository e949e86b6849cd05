import { expect, it } from 'vitest';
import { NumericError } from './numeric-error.ts';

it('raises its interrupt until port F0h is written, then lets instructions go on until the error is gone', () => {
  const levels: boolean[] = [];
  const make = (): NumericError => new NumericError({ kind: 'level', set: (high) => levels.push(high) });
  const device = make();
  device.write(0, 1, 0);
  expect([device.error(true), levels]).toEqual([false, [true]]);
  const other = make();
  other.load(device.save(), 1);
  expect(other.save()).toEqual({ raised: true, ignore: false });
  device.write(0, 1, 0);
  expect([device.error(true), levels.at(-1), device.save()]).toEqual([true, false, { raised: false, ignore: true }]);
  expect([device.error(false), device.error(true)]).toEqual([false, false]);
  expect(() => other.load({ raised: 1, ignore: false }, 1)).toThrow('raised');
});
