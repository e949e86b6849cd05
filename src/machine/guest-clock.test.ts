import { expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import { GuestClock } from './guest-clock.ts';

const wall = { time: 1e12, now: () => wall.time };

it('stands still while the machine does, and goes on from there', () => {
  const host = { time: 1000, now: () => host.time };
  const clock = new GuestClock(host, wall);
  host.time += 50;
  expect(clock.now()).toBe(0);
  clock.start();
  host.time += 30;
  expect(clock.now()).toBe(30);
  clock.stop();
  host.time += 1000;
  expect(clock.now()).toBe(30);
  clock.start();
  host.time += 5;
  expect(clock.now()).toBe(35);
});

it('continues a stored time, also while it runs', () => {
  const host = { time: 7, now: () => host.time };
  const clock = new GuestClock(host, wall);
  clock.load({ now: 123.5 }, 1);
  expect(clock.save()).toEqual({ now: 123.5, tscKhz: 1_000_000, shows: null });
  clock.start();
  host.time += 10;
  clock.load({ now: 1e9 }, 1);
  host.time += 1;
  expect(clock.now()).toBe(1e9 + 1);
});

it('refuses what is no time', () => {
  const clock = new GuestClock({ now: () => 0 }, { now: () => 0 });
  for (const state of [null, {}, { now: -1 }, { now: Number.NaN }, { now: '5' }, { now: 1e300 }]) expect(() => clock.load(state, 1)).toThrow(StateError);
  for (const tscKhz of [null, 0, 1e12, Number.NaN, '1']) expect(() => clock.load({ now: 1, tscKhz }, 2)).toThrow(StateError);
  for (const shows of ['1', Number.NaN, Number.POSITIVE_INFINITY]) expect(() => clock.load({ now: 1, shows }, 3)).toThrow(StateError);
  expect(() => clock.load({ now: 1 }, 4)).toThrow(StateError);
});

it('is behind by the time of day that has passed while it stood, and makes it up by leaps', () => {
  const host = { time: 1000, now: () => host.time };
  const clock = new GuestClock(host, wall);
  clock.start();
  expect(clock.behind).toBe(0);
  host.time += 5;
  clock.stop();
  wall.time += 20;
  expect([clock.now(), clock.behind]).toEqual([5, 0]);
  clock.start();
  expect([clock.now(), clock.behind]).toEqual([5, 20e6]);
  clock.leap(15e6);
  expect([clock.now(), clock.behind]).toEqual([5 + 15e6, 5e6]);
  // What is left when it stands again is not lost.
  clock.stop();
  wall.time += 1;
  clock.start();
  expect(clock.behind).toBe(6e6);
  clock.leap(15e6);
  expect([clock.now(), clock.behind]).toEqual([5 + 21e6, 0]);
  clock.stop();
  wall.time -= 3;
  clock.start();
  expect([clock.now(), clock.behind]).toEqual([5 + 21e6, 0]);
});

it('is stored with the time of day that it shows', () => {
  const clock = new GuestClock({ now: () => 0 }, wall);
  const state = { now: 5e9, tscKhz: 2_000_000, shows: wall.time - 1000 };
  clock.load(state, 3);
  expect(clock.save()).toEqual(state);
  wall.time += 4000;
  expect(clock.save()).toEqual(state);
  clock.start();
  expect(clock.behind).toBe(5e9);
  clock.leap(2e9);
  expect(clock.save()).toEqual({ now: 7e9, tscKhz: 2_000_000, shows: wall.time - 3000 });
  clock.stayBehind();
  expect(clock.save()).toEqual({ now: 7e9, tscKhz: 2_000_000, shows: wall.time });
  // Also one that runs.
  clock.load(state, 3);
  expect(clock.behind).toBe(5e9);
  // Never beyond what a double shows.
  clock.load({ ...state, shows: 0 }, 3);
  expect(clock.now() + clock.behind).toBe(Number.MAX_SAFE_INTEGER);
});
