import { expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { ParallelPort } from './parallel-port.ts';

it('prints a byte at each strobe, and interrupts where that is wanted', () => {
  const printed: number[] = [];
  let pulses = 0;
  const port = new ParallelPort({ sink: { write: (bytes) => printed.push(...bytes) }, line: { kind: 'edge', pulse: () => pulses++ } });
  port.write(0, 1, 0x41);
  expect([port.read(0, 1), port.read(1, 1), port.read(2, 1)]).toEqual([0x41, 0xdf, 0xe0]);
  for (const control of [0x0c, 0x0d, 0x0d, 0x0c]) port.write(2, 1, control);
  expect([printed, pulses]).toEqual([[0x41], 0]);
  port.write(0, 1, 0x42);
  for (const control of [0x1c, 0x1d, 0x1c]) port.write(2, 1, control);
  expect([printed, pulses, port.read(2, 1)]).toEqual([[0x41, 0x42], 1, 0xfc]);
  const other = new ParallelPort({ sink: { write: () => {} }, line: { kind: 'edge', pulse: () => {} } });
  other.load(port.save(), 1);
  expect(other.save()).toEqual(port.save());
  expect(() => other.load({ data: 0, control: 0x20 }, 1)).toThrow(StateError);
});
