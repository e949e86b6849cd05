import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { A20Gate } from './a20-gate.ts';
import { DebugExit } from './debug-exit.ts';
import { I8042 } from './i8042.ts';
import { Port92 } from './port-92.ts';

function level() {
  const line = { kind: 'level' as const, high: false, rises: 0, set(high: boolean) { if (high && !line.high) line.rises++; line.high = high; } };
  return line;
}

function make() {
  const keyboardLine = level();
  const mouseLine = level();
  let resets = 0;
  const a20 = new A20Gate(() => {});
  const controller = new I8042({ keyboardLine, mouseLine, a20, reset: () => resets++ });
  const command = (value: number) => controller.commandPort.write(0, 1, value);
  const data = (value: number) => controller.dataPort.write(0, 1, value);
  const status = () => controller.commandPort.read(0, 1);
  const read = () => controller.dataPort.read(0, 1);
  /** Everything the output buffer has: auxiliary data as 0x100 and up. */
  const drain = () => {
    const all: number[] = [];
    while (status() & 1) all.push((status() & 0x20 ? 0x100 : 0) + read());
    return all;
  };
  const mouse = (...values: number[]) => {
    for (const value of values) {
      command(0xd4);
      data(value);
    }
  };
  return { controller, command, data, status, read, drain, mouse, keyboardLine, mouseLine, a20, resets: () => resets };
}

describe('I8042', () => {
  it('passes the probe of Linux: self test, auxiliary loop, no multiplexer, interface tests', () => {
    const t = make();
    t.command(0xaa);
    expect(t.drain()).toEqual([0x55]);
    t.command(0x20);
    const [mode] = t.drain();
    expect(mode! & 0x34).toBe(0x34);
    for (const value of [0x5a, 0xf0, 0x56, 0xa4]) {
      t.command(0xd3);
      t.data(value);
      expect(t.drain()).toEqual([0x100 + value]);
    }
    t.command(0xa7);
    t.command(0x20);
    expect(t.drain()[0]! & 0x20).toBe(0x20);
    t.command(0xa8);
    t.command(0x20);
    expect(t.drain()[0]! & 0x20).toBe(0);
    t.command(0xa9);
    t.command(0xab);
    expect(t.drain()).toEqual([0, 0]);
  });

  it('raises IRQ 1 once for each byte of the keyboard', () => {
    const t = make();
    t.data(0xf2);
    expect(t.keyboardLine.rises).toBe(1);
    expect(t.drain()).toEqual([0xfa, 0xab, 0x41]); // the identifier 83h comes translated
    expect(t.keyboardLine.rises).toBe(3);
    expect(t.keyboardLine.high).toBe(false);
    expect(t.mouseLine.rises).toBe(0);
  });

  it('translates set 2 to set 1, and leaves it alone when told so', () => {
    const t = make();
    t.controller.keyboard(Uint8Array.of(0x1c, 0xf0, 0x1c, 0xe0, 0x75, 0xe0, 0xf0, 0x75));
    expect(t.drain()).toEqual([0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8]);
    t.command(0x60);
    t.data(0x01);
    t.controller.keyboard(Uint8Array.of(0x1c, 0xf0, 0x1c));
    expect(t.drain()).toEqual([0x1c, 0xf0, 0x1c]);
  });

  it('holds the keyboard back while its interface is off', () => {
    const t = make();
    t.command(0xad);
    t.controller.keyboard(Uint8Array.of(0x1c));
    expect(t.status() & 1).toBe(0);
    t.command(0xae);
    expect(t.drain()).toEqual([0x1e]);
  });

  it('answers keyboard commands', () => {
    const t = make();
    t.data(0xff);
    expect(t.drain()).toEqual([0xfa, 0xaa]);
    t.data(0xed);
    t.data(0x02);
    t.data(0xee);
    expect(t.drain()).toEqual([0xfa, 0xfa, 0xee]);
    t.data(0xf5);
    t.controller.keyboard(Uint8Array.of(0x1c));
    expect(t.drain()).toEqual([0xfa]);
  });

  it('has a wheel mouse that moves', () => {
    const t = make();
    t.mouse(0xff);
    expect(t.drain()).toEqual([0x1fa, 0x1aa, 0x100]);
    t.mouse(0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2);
    expect(t.drain().at(-1)).toBe(0x103);
    t.mouse(0xf4);
    t.drain();
    const before = t.mouseLine.rises;
    t.controller.mouse(5, -3, 1, 1);
    expect(t.drain()).toEqual([0x129, 0x105, 0x1fd, 0x1ff]);
    expect(t.mouseLine.rises - before).toBe(4);
    t.controller.mouse(600, 0, 0);
    expect(t.drain().filter((_, i) => i % 4 === 1)).toEqual([0x1ff, 0x1ff, 0x100 + 90]);
  });

  it('resets the processor and drives A20', () => {
    const t = make();
    expect(t.a20.enabled).toBe(true);
    t.command(0xd1);
    t.data(0xdd);
    expect(t.a20.enabled).toBe(false);
    t.command(0xd0);
    expect(t.drain()[0]! & 0x03).toBe(0x01);
    t.command(0xfe);
    expect(t.resets()).toBe(1);
    t.command(0xff);
    expect(t.resets()).toBe(1);
  });

  it('saves and loads to the bit in the middle of a conversation', () => {
    const t = make();
    t.mouse(0xf4);
    t.drain();
    t.controller.keyboard(Uint8Array.of(0xf0, 0x1c, 0x1b));
    t.controller.mouse(3, 4, 2);
    t.command(0xd1);
    const state = t.controller.save();
    const other = make();
    other.controller.load(state, 1);
    expect(other.controller.save()).toEqual(state);
    expect(other.keyboardLine.high).toBe(true);
    other.data(0xdf);
    expect(other.drain()).toEqual(t.drain());
    expect(() => other.controller.load({ ...(state as object), ram: new Uint8Array(3) }, 1)).toThrow(StateError);
  });

  it('survives any sequence of writes', () => {
    const t = make();
    for (let i = 0; i < 20000; i++) {
      const value = (i * 167 + (i >> 8) * 13) & 0xff;
      if (i % 3) t.data(value);
      else t.command(value);
    }
    expect(t.drain().length).toBeLessThan(1000);
    const state = t.controller.save();
    const other = make();
    other.controller.load(state, 1);
    expect(other.controller.save()).toEqual(state);
  });
});

describe('Port92', () => {
  it('opens A20 and resets at a rising bit 0', () => {
    const applied: boolean[] = [];
    const gate = new A20Gate((enabled) => applied.push(enabled));
    let resets = 0;
    const port = new Port92(gate, () => resets++);
    port.write(0, 1, 2);
    port.write(0, 1, 3);
    port.write(0, 1, 3);
    expect([applied, resets, port.read(0, 1)]).toEqual([[true], 1, 3]);
    const state = port.save();
    const other = new Port92(new A20Gate(() => {}), () => {});
    other.load(state, 1);
    expect(other.save()).toEqual(state);
    expect(() => other.load({ value: 4 }, 1)).toThrow(StateError);
  });
});

describe('DebugExit', () => {
  it('hands over what is written', () => {
    const values: number[] = [];
    const port = new DebugExit((value) => values.push(value));
    port.write(0, 1, 0x10);
    port.write(0, 4, 0xffffffff);
    expect([values, port.read(0, 4)]).toEqual([[0x10, 0xffffffff], 0]);
  });
});
