import { expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import { GuestClock } from './guest-clock.ts';

it('stands still while the machine does, and goes on from there', () => {
  const host = { time: 1000, now: () => host.time };
  const clock = new GuestClock(host);
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
  const clock = new GuestClock(host);
  clock.load({ now: 123.5 }, 1);
  expect(clock.save()).toEqual({ now: 123.5, tscKhz: 1_000_000 });
  clock.start();
  host.time += 10;
  clock.load({ now: 1e9 }, 1);
  host.time += 1;
  expect(clock.now()).toBe(1e9 + 1);
});

it('refuses what is no time', () => {
  const clock = new GuestClock({ now: () => 0 });
  for (const state of [null, {}, { now: -1 }, { now: Number.NaN }, { now: '5' }, { now: 1e300 }]) expect(() => clock.load(state, 1)).toThrow(StateError);
  for (const tscKhz of [null, 0, 1e12, Number.NaN, '1']) expect(() => clock.load({ now: 1, tscKhz }, 2)).toThrow(StateError);
  expect(() => clock.load({ now: 1 }, 3)).toThrow(StateError);
});
