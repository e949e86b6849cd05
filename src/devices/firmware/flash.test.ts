import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import { Flash } from './flash.ts';

function chip(blocks = 4) {
  const data = new Uint8Array(blocks * 4096).fill(0xff);
  const modes: boolean[] = [];
  const stored: [number, number[]][] = [];
  const flash = new Flash({ data, readsArray: (array) => modes.push(array), changed: (offset, bytes) => stored.push([offset, [...bytes]]) });
  const write = (at: number, ...values: number[]): void => {
    for (const value of values) flash.write(at, 1, value);
  };
  return { data, modes, stored, flash, write };
}

describe('flash', () => {
  it('programs bytes by clearing bits, and passes them on when it reads its array again', () => {
    const { data, modes, stored, flash, write } = chip();
    write(5, 0x40, 0x5a);
    expect(flash.read(5, 1)).toBe(0x80);
    write(5, 0x10, 0xf0);
    write(6, 0x10, 1);
    expect([data[5], data[6], stored.length]).toEqual([0x50, 1, 0]);
    write(0, 0xff);
    expect([flash.read(4, 4), stored, modes]).toEqual([0xff0150ff, [[5, [0x50, 1]]], [false, true]]);
  });
  it('erases blocks, with confirmation only', () => {
    const { data, flash, write } = chip();
    data.fill(0);
    write(4096 + 77, 0x20, 0xd0);
    expect([data[4095], data[4096], data[8191], data[8192]]).toEqual([0, 0xff, 0xff, 0]);
    expect(flash.read(0, 1)).toBe(0x80);
    write(0, 0x20, 0xff);
    expect([flash.read(0, 1), data[0]]).toEqual([0xb0, 0]);
    write(0, 0x50);
    expect(flash.read(0, 1)).toBe(0);
  });
  it('programs through its buffer, and refuses more than it takes', () => {
    const { data, flash, write } = chip();
    write(0, 0xe8, 2);
    for (const [at, value] of [[16, 1], [17, 2], [18, 3]] as const) write(at, value);
    expect(data[16]).toBe(0xff);
    write(0, 0xd0);
    expect([...data.subarray(15, 20)]).toEqual([0xff, 1, 2, 3, 0xff]);
    write(0, 0xe8, 32);
    expect(flash.read(0, 1)).toBe(0xb0);
  });
  it('says what it is', () => {
    const { flash, write } = chip(132);
    write(0, 0x90);
    expect([flash.read(0, 1), flash.read(1, 1)]).toEqual([0x89, 0x18]);
    write(0, 0x98);
    expect(String.fromCharCode(flash.read(0x10, 1), flash.read(0x11, 1), flash.read(0x12, 1))).toBe('QRY');
    expect([flash.read(0x2d, 2), flash.read(0x2f, 2)]).toEqual([131, 16]);
    expect(flash.read(0x40, 4)).toBe(0);
  });
  it('saves and loads in the middle of a buffered write, and goes on; damage is refused', () => {
    const { flash, write } = chip();
    write(0, 0xe8, 1);
    write(9, 7);
    const state = structuredClone(flash.save()) as Record<string, Plain>;
    const other = chip();
    other.flash.load(state, 1);
    expect(other.flash.save()).toStrictEqual(state);
    expect(other.modes).toEqual([false]);
    expect(other.stored.map(([offset, bytes]) => [offset, bytes.length])).toEqual([[0, other.data.length]]);
    other.write(10, 8);
    other.write(0, 0xd0, 0xff);
    expect([...other.data.subarray(8, 12)]).toEqual([0xff, 7, 8, 0xff]);
    expect(other.stored[1]).toEqual([9, [7, 8]]);
    for (const [key, value] of [['data', new Uint8Array(4096)], ['reads', 'all'], ['expects', 1], ['pendingOffsets', [4 * 4096]], ['pendingValues', new Uint8Array(2)]] as const) {
      expect(() => other.flash.load({ ...state, [key]: value as Plain }, 1)).toThrow(StateError);
    }
  });
});
