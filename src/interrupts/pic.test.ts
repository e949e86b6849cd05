import { describe, expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import { PicPair } from './pic.ts';

function started(icw4 = 1): PicPair {
  const pic = new PicPair(() => {});
  for (const [chip, base, icw3] of [[pic.master, 0x20, 4], [pic.slave, 0x28, 2]] as const) {
    chip.write(0, 1, 0x11);
    for (const value of [base, icw3, icw4, 0]) chip.write(1, 1, value);
  }
  return pic;
}
const raise = (pic: PicPair, ...irqs: number[]): void => irqs.forEach((irq) => pic.setLine(irq, true));

describe('8259A pair', () => {
  it('is silent until initialised, then delivers by the vector base', () => {
    const pic = new PicPair(() => {});
    raise(pic, 1);
    expect(pic.pending).toBe(false);
    const ready = started();
    raise(ready, 1);
    expect([ready.pending, ready.acknowledge(), ready.pending]).toEqual([true, 0x21, false]);
  });
  it('single mode has no ICW3', () => {
    const pic = new PicPair(() => {});
    pic.master.write(0, 1, 0x13);
    for (const value of [0x40, 0x01, 0xfb]) pic.master.write(1, 1, value);
    expect(pic.master.read(1, 1)).toBe(0xfb);
  });
  it('serves by priority and nests only upwards', () => {
    const pic = started();
    raise(pic, 5, 3);
    expect([pic.acknowledge(), pic.pending]).toEqual([0x23, false]);
    raise(pic, 1);
    expect(pic.acknowledge()).toBe(0x21);
    pic.master.write(0, 1, 0x20);
    expect(pic.pending).toBe(false);
    pic.master.write(0, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x25);
  });
  it('masks, and reads IRR, ISR and IMR', () => {
    const pic = started();
    pic.master.write(1, 1, 0x02);
    raise(pic, 1, 4);
    expect(pic.acknowledge()).toBe(0x24);
    expect(pic.master.read(0, 1)).toBe(0x02);
    pic.master.write(0, 1, 0x0b);
    expect([pic.master.read(0, 1), pic.master.read(1, 1)]).toEqual([0x10, 0x02]);
  });
  it('cascades: input 2 of the master outranks 3, and both chips want an EOI', () => {
    const pic = started();
    raise(pic, 3, 12, 8);
    expect(pic.acknowledge()).toBe(0x28);
    pic.slave.write(0, 1, 0x20);
    expect(pic.pending).toBe(false);
    pic.master.write(0, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x2c);
    pic.slave.write(0, 1, 0x20);
    pic.master.write(0, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x23);
  });
  it('fully nested lets the slave interrupt itself only in the special mode', () => {
    for (const [icw4, expected] of [[0x01, false], [0x11, true]] as const) {
      const pic = started(icw4);
      raise(pic, 12);
      pic.acknowledge();
      raise(pic, 8);
      expect(pic.pending).toBe(expected);
    }
  });
  it('answers spuriously when the request has gone, without service', () => {
    const pic = started();
    raise(pic, 4);
    pic.setLine(4, false);
    expect([pic.pending, pic.acknowledge()]).toEqual([false, 0x27]);
    pic.master.write(0, 1, 0x0b);
    expect(pic.master.read(0, 1)).toBe(0);
  });
  it('an input that is high asks for service when it becomes level-triggered', () => {
    const pic = started();
    pic.setLine(5, true);
    expect(pic.acknowledge()).toBe(0x25);
    pic.master.write(0, 1, 0x20);
    expect(pic.pending).toBe(false);
    pic.edgeLevel.write(0, 1, 0x20);
    expect([pic.pending, pic.acknowledge()]).toEqual([true, 0x25]);
  });
  it('edges need a new edge, levels come back until they fall', () => {
    const pic = started();
    pic.edgeLevel.write(0, 2, 0xffff);
    expect(pic.edgeLevel.read(0, 2)).toBe(0xdef8);
    raise(pic, 1, 5);
    for (const vector of [0x21, 0x25, 0x25]) {
      expect(pic.acknowledge()).toBe(vector);
      pic.master.write(0, 1, 0x20);
    }
    pic.setLine(5, false);
    expect(pic.pending).toBe(false);
  });
  it('automatic EOI, rotation, set priority and specific EOI', () => {
    const auto = started(3);
    raise(auto, 3, 4);
    expect([auto.acknowledge(), auto.acknowledge()]).toEqual([0x23, 0x24]);
    const pic = started();
    raise(pic, 3, 4);
    pic.master.write(0, 1, 0xc3); // 3 lowest, 4 highest
    expect(pic.acknowledge()).toBe(0x24);
    pic.master.write(0, 1, 0x63);
    expect(pic.pending).toBe(false);
    pic.master.write(0, 1, 0x64);
    expect(pic.acknowledge()).toBe(0x23);
    pic.master.write(0, 1, 0xa0); // rotate on non-specific EOI
    raise(pic, 2 + 1);
    pic.setLine(3, false);
    raise(pic, 3, 7);
    expect(pic.acknowledge()).toBe(0x27);
  });
  it('special mask mode lets lower ones through and spares masked ones at EOI', () => {
    const pic = started();
    raise(pic, 3, 5);
    pic.acknowledge();
    pic.master.write(1, 1, 0x08);
    pic.master.write(0, 1, 0x68);
    expect(pic.acknowledge()).toBe(0x25);
    pic.master.write(0, 1, 0x20);
    pic.master.write(0, 1, 0x0b);
    expect(pic.master.read(0, 1)).toBe(0x08);
  });
  it('polls', () => {
    const pic = started();
    raise(pic, 6);
    pic.master.write(0, 1, 0x0c);
    expect(pic.master.read(0, 1)).toBe(0x86);
    pic.master.write(0, 1, 0x0c);
    expect(pic.master.read(0, 1)).toBe(0);
  });
  it('state goes round; damage is refused', () => {
    const pic = started();
    raise(pic, 3, 12);
    pic.acknowledge();
    const state = structuredClone(pic.save()) as { master: Plain; slave: Plain };
    const fresh = new PicPair(() => {});
    fresh.load(state, 1);
    expect(fresh.save()).toEqual(state);
    expect(() => fresh.load(state, 2)).toThrow(StateError);
    for (const bad of [null, { master: state.master }, { ...state, slave: { ...(state.slave as object), irr: 256 } }, { ...state, slave: { ...(state.slave as object), isr: 'x' } }]) {
      expect(() => fresh.load(bad as Plain, 1)).toThrow(StateError);
    }
    expect(fresh.save()).toEqual(state);
  });
});
