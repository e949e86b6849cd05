import { describe, expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import { Pit } from './pit.ts';
import { PmTimer } from './pm-timer.ts';
import { Rtc } from './rtc.ts';
import { TimerQueue } from './timer-queue.ts';

const TICK = 1e9 / 1193182;

class Bench {
  time = 0;
  pulses = 0;
  high = false;
  readonly queue = new TimerQueue();
  readonly clock = { now: (): number => this.time };
  readonly base: number;
  constructor(base = Date.UTC(2026, 10, 21, 13, 4, 5)) {
    this.base = base;
  }
  pit(): Pit {
    return new Pit({ clock: this.clock, timers: this.queue, irq: { kind: 'edge', pulse: () => void this.pulses++ } });
  }
  rtc(): Rtc {
    const wall = { now: (): number => this.base + Math.floor(this.time / 1e6) };
    return new Rtc({ wall, clock: this.clock, timers: this.queue, line: { kind: 'level', set: (high) => void (this.high = high) } });
  }
  /** To `time`, stopping at every deadline, as the machine does. */
  to(time: number): void {
    for (let next = this.queue.nextDeadline(); next !== undefined && next <= time; next = this.queue.nextDeadline()) {
      this.time = Math.max(this.time, next);
      this.queue.runDue(this.time);
    }
    this.time = time;
  }
}
const field = (state: Plain, key: string, value: Plain): Plain => ({ ...(state as object), [key]: value });

describe('timer queue', () => {
  it('runs what is due in order of deadline, then of creation, each once', () => {
    const queue = new TimerQueue();
    const seen: string[] = [];
    const a = queue.create('a', () => seen.push('a'));
    const b = queue.create('b', () => seen.push('b'));
    const c = queue.create('c', () => seen.push('c'));
    a.arm(20); b.arm(10); c.arm(20);
    expect(queue.nextDeadline()).toBe(10);
    queue.runDue(9);
    expect(seen).toEqual([]);
    queue.runDue(20);
    queue.runDue(30);
    expect(seen).toEqual(['b', 'a', 'c']);
    expect(queue.nextDeadline()).toBeUndefined();
  });
  it('honours a disarm by an earlier callback and delays a timer armed again', () => {
    const queue = new TimerQueue();
    let ran = 0;
    const victim = queue.create('victim', () => { ran += 100; });
    const again = queue.create('again', () => { ran++; victim.disarm(); again.arm(0); });
    again.arm(1); victim.arm(2);
    queue.runDue(5);
    expect(ran).toBe(1);
    queue.runDue(5);
    expect(ran).toBe(2);
  });
});

describe('8254', () => {
  const program = (pit: Pit, counter: number, mode: number, count: number): void => {
    pit.write(3, 1, (counter << 6) | 0x30 | (mode << 1));
    pit.write(counter, 1, count & 0xff);
    pit.write(counter, 1, count >> 8);
  };
  const latched = (pit: Pit, counter: number): number => {
    pit.write(3, 1, counter << 6);
    return pit.read(counter, 1) | (pit.read(counter, 1) << 8);
  };
  it('mode 0 interrupts once at terminal count and counts on', () => {
    const bench = new Bench();
    const pit = bench.pit();
    program(pit, 0, 0, 100);
    bench.to(99 * TICK);
    expect([bench.pulses, latched(pit, 0)]).toEqual([0, 1]);
    bench.to(101 * TICK);
    expect([bench.pulses, latched(pit, 0)]).toEqual([1, 0xffff]);
    bench.to(1e9);
    expect(bench.pulses).toBe(1);
  });
  it.each([2, 3])('mode %i interrupts once per period, without drift or doubles', (mode) => {
    const bench = new Bench();
    program(bench.pit(), 0, mode, 11932);
    bench.to(1e10 + 1e6);
    expect(bench.pulses).toBe(Math.floor(((1e10 + 1e6) / TICK) / 11932));
  });
  it('mode 3 is high for half of the count, one more when it is odd, and counts by two', () => {
    const bench = new Bench();
    const pit = bench.pit();
    pit.port61.write(0, 1, 1);
    program(pit, 2, 3, 5);
    const seen: [number, number][] = [];
    for (let tick = 0; tick < 5; tick++) {
      bench.time = (tick + 0.5) * TICK;
      seen.push([(pit.port61.read(0, 1) >> 5) & 1, latched(pit, 2)]);
    }
    expect(seen).toEqual([[1, 4], [1, 2], [1, 0], [0, 4], [0, 2]]);
  });
  it('a latched count stays until both bytes are read', () => {
    const bench = new Bench();
    const pit = bench.pit();
    program(pit, 0, 2, 0x1234);
    pit.write(3, 1, 0);
    bench.time = 0x100 * TICK;
    expect([pit.read(0, 1), pit.read(0, 1)]).toEqual([0x34, 0x12]);
    expect([pit.read(0, 1), pit.read(0, 1)]).toEqual([0x34, 0x11]);
  });
  it('read-back gives the status first, then the count', () => {
    const bench = new Bench();
    const pit = bench.pit();
    pit.write(3, 1, 0x34);
    pit.write(3, 1, 0xe2);
    expect(pit.read(0, 1)).toBe(0xf4); // output high, null count, mode 2
    program(pit, 0, 2, 0x1234);
    pit.write(3, 1, 0xc2);
    expect([pit.read(0, 1), pit.read(0, 1), pit.read(0, 1)]).toEqual([0xb4, 0x34, 0x12]);
  });
  it('a low gate stops mode 0 where it is', () => {
    const bench = new Bench();
    const pit = bench.pit();
    pit.port61.write(0, 1, 1);
    program(pit, 2, 0, 100);
    bench.time = 40.5 * TICK;
    pit.port61.write(0, 1, 0);
    bench.time = 500 * TICK;
    expect([latched(pit, 2), pit.port61.read(0, 1) & 0x20]).toEqual([60, 0]);
    pit.port61.write(0, 1, 1);
    bench.time += 60 * TICK;
    expect(pit.port61.read(0, 1) & 0x20).toBe(0x20);
  });
  it.each([[1, [0, 0x20, 0x20]], [5, [0x20, 0, 0x20]]] as const)('mode %i begins when its gate rises, each time anew', (mode, [during, atEnd, after]) => {
    const bench = new Bench();
    const pit = bench.pit();
    const output = (): number => pit.port61.read(0, 1) & 0x20;
    const trigger = (): void => {
      pit.port61.write(0, 1, 0);
      pit.port61.write(0, 1, 1);
    };
    program(pit, 2, mode, 100);
    bench.time = 500 * TICK;
    expect(output()).toBe(0x20);
    trigger();
    bench.time += 40.5 * TICK;
    expect([latched(pit, 2), output()]).toEqual([60, during]);
    // A count that is written meanwhile waits for the next trigger.
    pit.write(2, 1, 10);
    pit.write(2, 1, 0);
    bench.time += 60 * TICK;
    expect(output()).toBe(atEnd);
    bench.time += TICK;
    expect(output()).toBe(after);
    trigger();
    bench.time += 4.5 * TICK;
    expect(latched(pit, 2)).toBe(6);
  });
  it('counts in BCD', () => {
    const bench = new Bench();
    const pit = bench.pit();
    pit.write(3, 1, 0x31);
    pit.write(0, 1, 0x00);
    pit.write(0, 1, 0x10);
    bench.time = TICK;
    expect(latched(pit, 0)).toBe(0x999);
  });
  it('state goes round and the timer with it; damage is refused', () => {
    const bench = new Bench();
    const pit = bench.pit();
    program(pit, 0, 2, 1000);
    program(pit, 2, 0, 77);
    const state = structuredClone(pit.save());
    const other = new Bench();
    const fresh = other.pit();
    fresh.load(state, 2);
    expect(fresh.save()).toEqual(state);
    expect(() => fresh.load(state, 3)).toThrow(StateError);
    expect(() => fresh.load(null, 2)).toThrow(StateError);
    for (const [key, value] of [['counters', []], ['speaker', 2], ['timer', 'soon']] as const) expect(() => fresh.load(field(state, key, value), 2)).toThrow(StateError);
    const counters = (state as { counters: Plain[] }).counters;
    for (const mode of [6, 0.5, -1, NaN]) expect(() => fresh.load(field(state, 'counters', [field(counters[0]!, 'mode', mode), counters[1]!, counters[2]!]), 2)).toThrow(StateError);
    expect(fresh.save()).toEqual(state);
    other.to(1001 * TICK);
    expect(other.pulses).toBe(1);
  });
});

describe('real-time clock', () => {
  const get = (rtc: Rtc, index: number): number => {
    rtc.write(0, 1, index);
    return rtc.read(1, 1);
  };
  const put = (rtc: Rtc, index: number, value: number): void => {
    rtc.write(0, 1, index);
    rtc.write(1, 1, value);
  };
  it('tells the time in BCD, binary, 24 and 12 hours', () => {
    const rtc = new Bench().rtc();
    expect([0, 2, 4, 6, 7, 8, 9, 0x32].map((i) => get(rtc, i))).toEqual([5, 4, 0x13, 7, 0x21, 0x11, 0x26, 0x20]);
    put(rtc, 11, 0);
    expect(get(rtc, 4)).toBe(0x81);
    put(rtc, 11, 6);
    expect([4, 7, 9].map((i) => get(rtc, i))).toEqual([13, 21, 26]);
  });
  it.each([[0x12, 0], [0x01, 1], [0x92, 12], [0x91, 23]])('12-hour %i is hour %i', (code, hour) => {
    const rtc = new Bench().rtc();
    put(rtc, 11, 0x80);
    put(rtc, 4, code);
    put(rtc, 11, 0);
    put(rtc, 11, 2);
    expect(get(rtc, 4)).toBe(Math.floor(hour / 10) * 16 + (hour % 10));
  });
  it('can be set, with SET and without, and goes on', () => {
    const bench = new Bench();
    const rtc = bench.rtc();
    put(rtc, 11, 0x82);
    put(rtc, 0, 0x59); put(rtc, 2, 0x59); put(rtc, 4, 0x23);
    put(rtc, 7, 0x31); put(rtc, 8, 0x12); put(rtc, 9, 0x99);
    bench.time = 5e9;
    expect(get(rtc, 0)).toBe(0x59);
    put(rtc, 11, 2);
    bench.time += 1e9;
    expect([0, 2, 4, 7, 8, 9, 0x32].map((i) => get(rtc, i))).toEqual([0, 0, 0, 1, 1, 0, 0x21]);
    put(rtc, 0x32, 0x20);
    expect(get(rtc, 0x32)).toBe(0x20);
  });
  it('announces the update at the end of a second', () => {
    const bench = new Bench();
    const rtc = bench.rtc();
    bench.time = 0.9e9;
    expect(get(rtc, 10) & 0x80).toBe(0);
    bench.time = 0.999e9;
    expect(get(rtc, 10) & 0x80).toBe(0x80);
  });
  it('raises the alarm once at its time; register C acknowledges', () => {
    const bench = new Bench();
    const rtc = bench.rtc();
    put(rtc, 1, 0x08); put(rtc, 3, 0xff); put(rtc, 5, 0x13);
    put(rtc, 11, 0x22);
    bench.to(2.5e9);
    expect(bench.high).toBe(false);
    bench.to(3e9);
    expect(bench.high).toBe(true);
    expect(get(rtc, 12) & 0xa0).toBe(0xa0);
    expect([bench.high, get(rtc, 12)]).toEqual([false, 0]);
    bench.to(60e9);
    expect(bench.high).toBe(false);
  });
  it('periodic interrupts come at the rate of register A; switching them off drops the line', () => {
    const bench = new Bench();
    const rtc = bench.rtc();
    put(rtc, 10, 0x26);
    put(rtc, 11, 0x42);
    let count = 0;
    for (let ms = 0; ms < 1000; ms += 0.25) {
      bench.to(ms * 1e6);
      if (bench.high) { count++; get(rtc, 12); }
    }
    expect(count).toBeGreaterThanOrEqual(1023);
    expect(count).toBeLessThanOrEqual(1024);
    bench.to(1.01e9);
    expect(bench.high).toBe(true);
    put(rtc, 11, 2);
    expect(bench.high).toBe(false);
  });
  it('shows flags without their interrupts to who polls, once each', () => {
    const bench = new Bench();
    const rtc = bench.rtc();
    put(rtc, 1, 0x07); put(rtc, 3, 0xff); put(rtc, 5, 0xff);
    expect(get(rtc, 12)).toBe(0);
    bench.to(0.5e9);
    expect([get(rtc, 12), get(rtc, 12)]).toEqual([0x40, 0]);
    bench.to(1.5e9);
    expect([get(rtc, 12), get(rtc, 12)]).toEqual([0x50, 0]);
    bench.to(4.5e9);
    expect([get(rtc, 12), bench.high]).toEqual([0x70, false]);
    bench.to(1e12);
    expect([get(rtc, 12), get(rtc, 12)]).toEqual([0x70, 0]);
  });
  it('state goes round; damage is refused', () => {
    const bench = new Bench();
    const rtc = bench.rtc();
    put(rtc, 4, 0x09); put(rtc, 11, 0x72); put(rtc, 0x40, 0xaa);
    bench.to(1.5e9);
    const state = structuredClone(rtc.save());
    const other = new Bench();
    const fresh = other.rtc();
    fresh.load(state, 2);
    expect(fresh.save()).toEqual(state);
    expect(other.high).toBe(true);
    expect(() => fresh.load(state, 3)).toThrow(StateError);
    expect(() => fresh.load(null, 2)).toThrow(StateError);
    for (const [key, value] of [['ram', new Uint8Array(127)], ['index', 128], ['index', 0.5], ['offset', NaN], ['second', 'x'], ['periodic', -1], ['seen', { time: Number.NaN, now: 0 }]] as const) {
      expect(() => fresh.load(field(state, key, value), 2)).toThrow(StateError);
    }
    expect(fresh.save()).toEqual(state);
  });
});

describe('power-management timer', () => {
  it('counts 3579545 a second, wraps at 32 bits, and is read in any width', () => {
    let now = 1e9;
    const timer = new PmTimer({ now: () => now });
    expect(timer.read(0, 4)).toBe(3579545);
    expect(timer.read(1, 1)).toBe((3579545 >> 8) & 0xff);
    expect(timer.read(2, 2)).toBe(3579545 >> 16);
    now = ((2 ** 32 + 10.5) * 1e9) / 3579545;
    expect(timer.read(0, 4)).toBe(10);
  });
});
