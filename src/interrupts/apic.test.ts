import { describe, expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import { TimerQueue } from '../timers/timer-queue.ts';
import { ApicBus } from './apic-bus.ts';
import { IoApic } from './io-apic.ts';
import { IrqRouter } from './irq-router.ts';
import { LocalApic } from './local-apic.ts';
import { PicPair } from './pic.ts';

class Bench {
  time = 0;
  kicks = 0;
  readonly windows: number[] = [];
  readonly queue = new TimerQueue();
  readonly bus = new ApicBus();
  readonly pic: PicPair = new PicPair(() => this.apic?.picChanged());
  readonly apic: LocalApic = new LocalApic({
    id: 0, boot: true, bus: this.bus, clock: { now: () => this.time }, timers: this.queue, kick: { kick: () => void this.kicks++ },
    tsc: () => Math.floor(this.time) + 1000, pic: this.pic, processor: { init: () => {}, startup: () => {} },
    windowMoved: (address) => this.windows.push(address),
  });
  readonly io = new IoApic(this.bus);
  constructor() {
    this.bus.add(this.apic);
    this.write(0xf0, 0x1ff);
  }
  write(offset: number, value: number): void {
    this.apic.registers.write(offset, 4, value);
  }
  read(offset: number): number {
    return this.apic.registers.read(offset, 4);
  }
  redirect(pin: number, low: number): void {
    this.io.write(0, 4, 0x11 + 2 * pin);
    this.io.write(0x10, 4, 0);
    this.io.write(0, 4, 0x10 + 2 * pin);
    this.io.write(0x10, 4, low);
  }
  entry(pin: number): number {
    this.io.write(0, 4, 0x10 + 2 * pin);
    return this.io.read(0x10, 4);
  }
  to(time: number): void {
    this.time = time;
    this.queue.runDue(time);
  }
}
const field = (state: Plain, key: string, value: Plain): Plain => ({ ...(state as object), [key]: value });

describe('local APIC', () => {
  it('serves the highest vector; only a higher class interrupts it', () => {
    const { apic, write, read } = bound();
    for (const vector of [0x41, 0x52]) apic.accept('fixed', vector, false);
    expect(apic.acknowledge()).toBe(0x52);
    expect([read(0xa0), apic.pending()]).toEqual([0x50, false]);
    apic.accept('fixed', 0x5f, false);
    expect(apic.pending()).toBe(false);
    apic.accept('fixed', 0x60, false);
    expect(apic.acknowledge()).toBe(0x60);
    write(0xb0, 0);
    write(0xb0, 0);
    expect(apic.acknowledge()).toBe(0x5f);
    write(0xb0, 0);
    expect(apic.acknowledge()).toBe(0x41);
    expect(apic.acknowledge()).toBe(-1);
  });
  it('task priority holds back its class and those below', () => {
    const { apic, read } = bound();
    apic.writeTaskPriority(5);
    apic.accept('fixed', 0x5f, false);
    expect([read(0x80), apic.pending()]).toEqual([0x50, false]);
    apic.writeTaskPriority(4);
    expect(apic.pending()).toBe(true);
  });
  it('takes nothing while software-disabled, and masks its LVT', () => {
    const { apic, write, read } = bound();
    write(0x320, 0x40);
    write(0xf0, 0xff);
    apic.accept('fixed', 0x40, false);
    expect([apic.pending(), read(0x320)]).toEqual([false, 0x10040]);
  });
  it('offers to leave out the EOI of an edge-triggered interrupt that is alone, and asks before anybody looks', () => {
    const { apic, write, read } = bound();
    const asked: boolean[] = [];
    const settle = (ended: boolean) => (): boolean => {
      asked.push(ended);
      return ended;
    };
    expect(apic.offerEoi(settle(true))).toBe(false);
    apic.accept('fixed', 0x41, false);
    apic.acknowledge();
    expect(apic.offerEoi(settle(true))).toBe(true);
    expect([apic.pending(), asked]).toEqual([false, []]);
    // The guest has ended it: a lower one gets through.
    apic.accept('fixed', 0x31, false);
    expect([asked, apic.acknowledge(), read(0x120)]).toEqual([[true], 0x31, 0]);
    // It has not.
    expect(apic.offerEoi(settle(false))).toBe(true);
    apic.accept('fixed', 0x21, false);
    expect([asked, apic.pending(), read(0xa0)]).toEqual([[true, false], false, 0x30]);
    write(0xb0, 0);
    expect([apic.acknowledge(), asked]).toEqual([0x21, [true, false]]);
    // Each of those who look.
    const looks: (() => unknown)[] = [() => read(0xa0), () => read(0x100), () => apic.save(), () => apic.processorPriority, () => apic.settleEoi(), () => apic.reset()];
    for (const look of looks) {
      expect(apic.offerEoi(settle(false)), String(look)).toBe(true);
      look();
      expect(asked.splice(0).at(-1), String(look)).toBe(false);
    }
  });
  it('makes no such offer where the end lets something through, or another one is in service', () => {
    const { apic } = bound();
    const never = (): boolean => {
      throw new Error('there was an offer');
    };
    apic.accept('fixed', 0x41, true);
    apic.acknowledge();
    expect(apic.offerEoi(never)).toBe(false);
    apic.accept('fixed', 0x51, false);
    apic.acknowledge();
    expect(apic.offerEoi(never)).toBe(false);
    const other = bound();
    for (const vector of [0x41, 0x42]) other.apic.accept('fixed', vector, false);
    other.apic.acknowledge();
    expect(other.apic.offerEoi(never)).toBe(false);
  });
  it('reports illegal vectors in the ESR after a write', () => {
    const { apic, write, read } = bound();
    apic.accept('fixed', 3, false);
    expect(read(0x280)).toBe(0);
    write(0x280, 0);
    expect(read(0x280)).toBe(0x40);
    write(0x280, 0);
    expect(read(0x280)).toBe(0);
  });
  it('one-shot: once, with the divider', () => {
    const b = new Bench();
    b.write(0x3e0, 0x3); // by 16
    b.write(0x320, 0x40);
    b.write(0x380, 100);
    b.to(800);
    expect([b.read(0x390), b.apic.pending()]).toEqual([50, false]);
    b.to(1600);
    expect([b.read(0x390), b.apic.acknowledge()]).toEqual([0, 0x40]);
    b.write(0xb0, 0);
    b.to(1e6);
    expect(b.apic.pending()).toBe(false);
  });
  it('periodic: keeps its phase when the host is late', () => {
    const b = new Bench();
    b.write(0x3e0, 0xb); // by 1
    b.write(0x320, 0x20040);
    b.write(0x380, 1000);
    b.to(3300);
    expect(b.apic.acknowledge()).toBe(0x40);
    b.write(0xb0, 0);
    expect(b.read(0x390)).toBe(700);
    b.to(3999);
    expect(b.apic.pending()).toBe(false);
    b.to(4000);
    expect(b.apic.pending()).toBe(true);
    b.write(0x380, 0);
    expect(b.queue.nextDeadline()).toBeUndefined();
  });
  it('periodic: begins anew where the guest reads it before the machine comes to the interrupt', () => {
    const b = new Bench();
    b.write(0x3e0, 0xb);
    b.write(0x320, 0x20040);
    b.write(0x380, 1000);
    b.time = 1300;
    expect([b.apic.pending(), b.read(0x390), b.apic.acknowledge(), b.queue.nextDeadline()]).toEqual([false, 700, 0x40, 2000]);
    b.write(0xb0, 0);
    b.time = 2100;
    b.write(0x320, 0x50);
    expect([b.apic.acknowledge(), b.read(0x390)]).toEqual([0x40, 900]);
    b.write(0xb0, 0);
    b.time = 3100;
    expect([b.read(0x390), b.apic.acknowledge(), b.queue.nextDeadline()]).toEqual([0, 0x50, undefined]);
  });
  it('a masked timer counts without interrupting', () => {
    const b = new Bench();
    b.write(0x320, 0x10040);
    b.write(0x380, 10);
    b.to(20);
    expect([b.read(0x390), b.apic.pending()]).toEqual([0, false]);
  });
  it('TSC deadline: fires at the value, ignores the count, far ones never', () => {
    const b = new Bench();
    expect(b.apic.writeMsr(0x6e0, 5000n)).toBe(true);
    expect(b.apic.readMsr(0x6e0)).toBe(0n);
    b.write(0x320, 0x40040);
    b.write(0x380, 10);
    expect(b.read(0x380)).toBe(0);
    b.apic.writeMsr(0x6e0, 5000n);
    b.to(3999);
    expect([b.apic.pending(), b.apic.readMsr(0x6e0)]).toEqual([false, 5000n]);
    b.to(4000);
    expect([b.apic.acknowledge(), b.apic.readMsr(0x6e0)]).toEqual([0x40, 0n]);
    b.write(0xb0, 0);
    b.apic.writeMsr(0x6e0, 0xffffffffffffffffn);
    b.to(1e12);
    expect(b.apic.pending()).toBe(false);
    const fresh = new Bench().apic;
    fresh.load(b.apic.save(), 1);
    expect(fresh.save()).toEqual(b.apic.save());
    b.apic.writeMsr(0x6e0, 1n);
    b.to(1e12);
    expect(b.apic.pending()).toBe(true);
  });
  it('x2APIC: registers move to MSRs, back only by way of off', () => {
    const { apic, read } = bound();
    expect(apic.readMsr(0x802)).toBeUndefined();
    expect(apic.writeMsr(0x1b, 0xfee00c00n)).toBe(true);
    expect([apic.readMsr(0x802), apic.readMsr(0x80d), read(0x20)]).toEqual([0n, 1n, 0xffffffff]);
    expect(apic.writeMsr(0x83f, 0x77n)).toBe(true);
    expect(apic.acknowledge()).toBe(0x77);
    expect([apic.writeMsr(0x80b, 1n), apic.writeMsr(0x80b, 0n), apic.writeMsr(0x1b, 0xfee00800n)]).toEqual([false, true, false]);
    expect([apic.writeMsr(0x1b, 0xfee00000n), apic.writeMsr(0x1b, 0xfee00800n)]).toEqual([true, true]);
  });
  it('has registers that MSRs cannot write, or not read', () => {
    const { apic } = bound();
    apic.writeMsr(0x1b, 0xfee00c00n);
    for (const index of [0x802, 0x803, 0x809, 0x80a, 0x80d, 0x810, 0x81f, 0x827, 0x82f, 0x831, 0x839]) expect([index, apic.writeMsr(index, 0n)]).toEqual([index, false]);
    for (const index of [0x809, 0x80b, 0x82f, 0x831, 0x83f]) expect([index, apic.readMsr(index)]).toEqual([index, undefined]);
    expect([apic.writeMsr(0x83f, 0x100n), apic.readMsr(0x827)]).toEqual([false, 0n]);
  });
  it('moves its window, and is off the bus while it is off', () => {
    const b = new Bench();
    expect([b.apic.writeMsr(0x1b, 0x1_4200_0800n), b.apic.writeMsr(0x1b, 0x100_4200_0800n)]).toEqual([true, false]);
    expect([b.windows, b.apic.readMsr(0x1b), b.read(0x30)]).toEqual([[0x1_4200_0000], 0x1_4200_0900n, 0x50014]);
    const other = new Bench();
    other.apic.load(structuredClone(b.apic.save()), 1);
    expect(other.windows).toEqual([0x1_4200_0000]);
    b.apic.writeMsr(0x1b, 0x1_4200_0000n);
    b.write(0x80, 0x20);
    expect(b.read(0x30)).toBe(0xffffffff);
    b.apic.writeMsr(0x1b, 0xfee00800n);
    expect(b.read(0x80)).toBe(0);
    b.apic.writeMsr(0x1b, 0x1_4200_0800n);
    b.apic.reset();
    expect(b.windows.at(-1)).toBe(0xfee00000);
  });
  it('a deadline that has passed fires at once', () => {
    const { apic, write } = bound();
    write(0x320, 0x40055);
    apic.writeMsr(0x6e0, 1000n);
    expect([apic.acknowledge(), apic.readMsr(0x6e0)]).toEqual([0x55, 0n]);
  });
  it('passes the 8259 through LINT0 as ExtINT', () => {
    const b = new Bench();
    b.pic.master.write(0, 1, 0x11);
    for (const value of [0x20, 4, 1, 0]) b.pic.master.write(1, 1, value);
    b.pic.setLine(1, true);
    expect(b.apic.pending()).toBe(false);
    b.write(0x350, 0x700);
    expect([b.apic.pending(), b.apic.acknowledge()]).toEqual([true, 0x21]);
  });
  it('state goes round; damage is refused', () => {
    const b = new Bench();
    b.write(0x320, 0x20040);
    b.write(0x380, 1000);
    b.to(2500);
    b.apic.accept('nmi', 0, false);
    b.apic.accept('fixed', 1, false);
    const state = structuredClone(b.apic.save());
    const fresh = new Bench().apic;
    fresh.load(state, 1);
    expect(fresh.save()).toEqual(state);
    expect([fresh.acknowledge(), fresh.takeNmi(), fresh.takeNmi()]).toEqual([0x40, true, false]);
    fresh.load(state, 1);
    expect(() => fresh.load(state, 2)).toThrow(StateError);
    expect(() => fresh.load(null, 1)).toThrow(StateError);
    for (const [key, value] of [['registers', new Uint8Array(255)], ['base', -1], ['nmi', 3], ['errors', 'x'], ['countStart', NaN], ['deadlineTsc', 1n << 64n], ['timer', -1]] as const) {
      expect(() => fresh.load(field(state, key, value), 1)).toThrow(StateError);
    }
    expect(fresh.save()).toEqual(state);
  });
});

function bound(): { apic: LocalApic; write(offset: number, value: number): void; read(offset: number): number } {
  const b = new Bench();
  return { apic: b.apic, write: (offset, value) => b.write(offset, value), read: (offset) => b.read(offset) };
}

describe('I/O APIC', () => {
  it('has 24 masked entries, version 20h', () => {
    const b = new Bench();
    b.io.write(0, 4, 1);
    expect(b.io.read(0x10, 4)).toBe(0x170020);
    expect(b.entry(23)).toBe(0x10000);
    b.io.setLine(4, true);
    expect(b.apic.pending()).toBe(false);
  });
  it('edges fire once', () => {
    const b = new Bench();
    b.redirect(4, 0x44);
    b.io.setLine(4, true);
    b.io.setLine(4, true);
    expect(b.apic.acknowledge()).toBe(0x44);
    b.write(0xb0, 0);
    expect(b.apic.pending()).toBe(false);
  });
  it('levels come again at the EOI until the line falls; remote IRR is between', () => {
    const b = new Bench();
    b.redirect(10, 0x8050);
    b.io.setLine(10, true);
    expect(b.entry(10)).toBe(0xc050);
    expect(b.apic.acknowledge()).toBe(0x50);
    expect(b.apic.pending()).toBe(false);
    b.write(0xb0, 0);
    expect(b.apic.acknowledge()).toBe(0x50);
    b.io.setLine(10, false);
    b.write(0xb0, 0);
    expect([b.apic.pending(), b.entry(10)]).toEqual([false, 0x8050]);
  });
  it('an asserted level fires when it is unmasked; a reserved mode leaves no remote IRR', () => {
    const b = new Bench();
    b.io.setLine(10, true);
    b.redirect(10, 0x8350);
    expect(b.entry(10)).toBe(0x8350);
    b.redirect(10, 0x8050);
    expect(b.apic.acknowledge()).toBe(0x50);
  });
  it('state goes round; damage is refused', () => {
    const b = new Bench();
    b.redirect(10, 0x8050);
    b.io.setLine(10, true);
    const state = structuredClone(b.io.save());
    const fresh = new Bench().io;
    fresh.load(state, 1);
    expect(fresh.save()).toEqual(state);
    expect(() => fresh.load(state, 2)).toThrow(StateError);
    expect(() => fresh.load(null, 1)).toThrow(StateError);
    for (const [key, value] of [['low', []], ['high', null], ['select', -1], ['id', 0.5], ['lines', 2 ** 32]] as const) expect(() => fresh.load(field(state, key, value), 1)).toThrow(StateError);
    expect(fresh.save()).toEqual(state);
  });
});

describe('router', () => {
  it('ORs sharers, drives both controllers, and moves the timer to pin 2', () => {
    const b = new Bench();
    const router = new IrqRouter(b.pic, b.io);
    b.redirect(11, 0x8061);
    b.redirect(2, 0x62);
    const [one, two] = [router.level(11), router.level(11)];
    one.set(true);
    two.set(true);
    one.set(false);
    one.set(false);
    expect(b.apic.acknowledge()).toBe(0x61);
    b.write(0xb0, 0);
    expect(b.apic.acknowledge()).toBe(0x61);
    two.set(false);
    b.write(0xb0, 0);
    expect(b.apic.pending()).toBe(false);
    router.edge(0).pulse();
    expect(b.apic.acknowledge()).toBe(0x62);
    expect(b.pic.master.read(0, 1) & 1).toBe(1);
  });
});
