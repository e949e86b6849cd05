import { describe, expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import { Hpet } from './hpet.ts';
import { TimerQueue } from './timer-queue.ts';

function bench() {
  let now = 12_345;
  const queue = new TimerQueue();
  const seen: string[] = [];
  const lines = new Map<number, boolean>();
  const hpet = new Hpet({
    clock: { now: () => now }, timers: queue,
    legacy: [{ kind: 'edge', pulse: () => seen.push(`irq0 at ${now}`) }, { kind: 'edge', pulse: () => seen.push(`irq8 at ${now}`) }],
    replaces: (on) => seen.push(on ? 'replaces' : ''),
    inputs: (input) => ({ level: { kind: 'level', set: (high) => void lines.set(input, high) }, edge: { kind: 'edge', pulse: () => seen.push(`pin ${input} at ${now}`) } }),
    messages: { send: (address, data) => seen.push(`message ${address.toString(16)} ${data.toString(16)}`) },
  });
  const to = (time: number): void => {
    for (let next = queue.nextDeadline(); next !== undefined && next <= time; next = queue.nextDeadline()) {
      now = Math.max(now, next);
      queue.runDue(now);
    }
    now = time;
  };
  const jump = (time: number): void => {
    now = time;
    queue.runDue(now);
  };
  const events = (): string[] => seen.splice(0).filter((event) => event !== '' && event !== 'replaces');
  return { hpet, to, jump, events, lines, queue, passed: () => now };
}

describe('HPET', () => {
  it('says what it is, and counts 100 million a second while it is enabled', () => {
    const { hpet, to } = bench();
    expect([hpet.read(0, 4), hpet.read(4, 4)]).toEqual([0x8086a201, 10_000_000]);
    to(50_000);
    expect(hpet.read(0xf0, 4)).toBe(0);
    hpet.write(0x10, 4, 1);
    to(51_000);
    expect([hpet.read(0xf0, 4), hpet.read(0xf0, 1), hpet.read(0xf4, 4)]).toEqual([100, 100, 0]);
    hpet.write(0xf0, 4, 7);
    hpet.write(0x10, 4, 0);
    to(60_000);
    expect(hpet.read(0xf0, 4)).toBe(100);
    hpet.write(0xf0, 4, 0xfffffff0);
    hpet.write(0xf4, 4, 1);
    hpet.write(0x10, 4, 1);
    to(60_320);
    expect([hpet.read(0xf0, 4), hpet.read(0xf4, 4)]).toEqual([16, 2]);
  });
  it('interrupts once at its value, where it is routed, by message, and in place of the old timers', () => {
    const { hpet, to, events } = bench();
    to(100_000);
    hpet.write(0x10, 4, 1);
    hpet.write(0x100, 4, 4 | (21 << 9));
    hpet.write(0x108, 4, 50);
    hpet.write(0x10c, 4, 0);
    hpet.write(0x120, 4, 4 | 1 << 14);
    hpet.write(0x130, 4, 0x41);
    hpet.write(0x134, 4, 0xfee00000);
    hpet.write(0x128, 4, 60);
    hpet.write(0x12c, 4, 0);
    to(1e9);
    expect(events()).toEqual(['pin 21 at 100500', 'message fee00000 41']);
    hpet.write(0x10, 4, 3);
    hpet.write(0x108, 4, hpet.read(0xf0, 4) + 10);
    hpet.write(0x120, 4, 4);
    hpet.write(0x128, 4, hpet.read(0xf0, 4) + 20);
    to(2e9);
    expect(events()).toEqual(['irq0 at 1000000100', 'irq8 at 1000000200']);
  });
  it('comes round periodically without drift, and once where several were missed', () => {
    const { hpet, to, jump, events } = bench();
    to(100_000);
    hpet.write(0x100, 4, 4 | 8 | 0x40 | 0x100 | (20 << 9));
    hpet.write(0x108, 4, 1000);
    hpet.write(0x108, 4, 300);
    hpet.write(0x10, 4, 1);
    to(100_000 + 16_000);
    expect(events()).toEqual(['pin 20 at 110000', 'pin 20 at 113000', 'pin 20 at 116000']);
    jump(200_500);
    expect(events()).toEqual(['pin 20 at 200500']);
    to(203_000);
    expect(events()).toEqual(['pin 20 at 203000']);
  });
  it('holds its input while the status of a level-triggered timer is set', () => {
    const { hpet, to, lines } = bench();
    hpet.write(0x140, 4, 2 | 4 | 0x100 | (23 << 9));
    hpet.write(0x148, 4, 100);
    hpet.write(0x10, 4, 1);
    to(20_000);
    expect([hpet.read(0x20, 4), lines.get(23), lines.get(20)]).toEqual([4, true, false]);
    hpet.write(0x20, 4, 4);
    expect([hpet.read(0x20, 4), lines.get(23)]).toEqual([0, false]);
  });
  it('state goes round with what is to come; damage is refused', () => {
    const { hpet, to, passed } = bench();
    hpet.write(0x100, 4, 4 | 8 | 0x40 | 0x100 | (20 << 9));
    hpet.write(0x108, 4, 5000);
    hpet.write(0x10, 4, 3);
    to(30_000);
    const state = structuredClone(hpet.save()) as Record<string, Plain>;
    const other = bench();
    other.to(passed());
    other.hpet.load(state, 1);
    expect(other.hpet.save()).toStrictEqual(state);
    other.to(62_345);
    expect(other.events()).toEqual(['irq0 at 62340']);
    expect(() => other.hpet.load(state, 2)).toThrow(StateError);
    for (const [key, value] of [['config', 1], ['base', -1n], ['status', 2n ** 64n], ['timers', []], ['timers', [null, null, null]]] as const) {
      expect(() => other.hpet.load({ ...state, [key]: value }, 1)).toThrow(StateError);
    }
  });
});
