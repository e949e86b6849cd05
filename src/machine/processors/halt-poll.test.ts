import { expect, test } from 'vitest';
import { HaltPoll } from './halt-poll.ts';

/** A host clock that goes on by `step` ns whenever somebody looks at it. Returns when the look ended. */
function looks(poll: HaltPoll, { wakeAfter = Number.POSITIVE_INFINITY, deadline = Number.POSITIVE_INFINITY, step = 1000 }): number {
  let time = 0;
  poll.look(() => time >= wakeAfter, () => (time += step), deadline);
  return time;
}

test('it looks longer while wake-ups come soon, and not at all once one does not', () => {
  const poll = new HaltPoll();
  expect(looks(poll, {})).toBe(0);
  const lengths: number[] = [];
  for (let i = 0; i < 7; i++) {
    poll.halted(190_000);
    lengths.push(looks(poll, {}));
  }
  // Its first look at the clock is at 1 us.
  expect(lengths).toEqual([11_000, 21_000, 41_000, 81_000, 161_000, 201_000, 201_000]);
  poll.halted(200_001);
  expect(looks(poll, {})).toBe(0);
});

test('a wake-up or the deadline ends the look', () => {
  const poll = new HaltPoll();
  for (let i = 0; i < 6; i++) poll.halted(190_000);
  expect(looks(poll, { wakeAfter: 50_000 })).toBe(50_000);
  expect(looks(poll, { deadline: 30_000 })).toBe(30_000);
  // Seen while it looked: it is as long as it should be.
  poll.halted(50_000);
  expect(looks(poll, {})).toBe(201_000);
});
