import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { Serial16550 } from './serial-16550.ts';

function make() {
  const sent: number[] = [];
  const line = { kind: 'level' as const, high: false, set(high: boolean) { line.high = high; } };
  const serial = new Serial16550({ name: 'com1', sink: { write: (bytes) => sent.push(...bytes) }, line });
  const write = (offset: number, value: number) => serial.write(offset, 1, value);
  const read = (offset: number) => serial.read(offset, 1);
  return { serial, sent, line, write, read };
}

const bytes = (...values: number[]) => Uint8Array.from(values);

describe('Serial16550', () => {
  it('sends in batches: at flush, or when 4 KiB wait', () => {
    const { serial, sent, write } = make();
    write(0, 0x41);
    expect(sent).toEqual([]);
    serial.flush();
    expect(sent).toEqual([0x41]);
    for (let i = 0; i < 4096; i++) write(0, i & 0xff);
    expect(sent.length).toBe(4097);
  });

  it('identifies as a 16550A and no later part, with a scratch register and a divisor', () => {
    const { read, write } = make();
    expect(read(2)).toBe(0x01);
    write(2, 0x01);
    expect(read(2)).toBe(0xc1);
    write(3, 0x80);
    write(2, 0x21); // a 16750 would show bit 5
    write(0, 0x34);
    write(1, 0x12);
    expect([read(0), read(1), read(2)]).toEqual([0x34, 0x12, 0xc1]);
    write(3, 0x03);
    expect(read(1)).toBe(0);
    write(1, 0xff);
    expect(read(1)).toBe(0x0f);
    write(7, 0x5a);
    expect(read(7)).toBe(0x5a);
  });

  it('raises the transmitter interrupt when it is enabled, and again after each byte; reading IIR resets it', () => {
    const { read, write, line } = make();
    write(4, 0x0b);
    write(1, 0x02);
    expect(line.high).toBe(true);
    expect(read(2)).toBe(0x02);
    expect(line.high).toBe(false);
    expect(read(2)).toBe(0x01);
    write(0, 0x41);
    expect(line.high).toBe(true);
    expect(read(2)).toBe(0x02);
    // Linux's test for lost THRE interrupts: off and on again has to raise it once more.
    write(1, 0x00);
    write(1, 0x02);
    expect(read(2)).toBe(0x02);
    write(1, 0x02); // stays enabled: no new event
    expect(read(2)).toBe(0x01);
  });

  it('interrupts only while OUT2 is set', () => {
    const { write, line } = make();
    write(1, 0x02);
    expect(line.high).toBe(false);
    write(4, 0x08);
    expect(line.high).toBe(true);
    write(4, 0x18);
    expect(line.high).toBe(false);
  });

  it('tells trigger level and timeout apart and keeps what the FIFO cannot take', () => {
    const { serial, read, write, line } = make();
    write(2, 0x81); // FIFO on, trigger at 8
    write(4, 0x0b);
    write(1, 0x01);
    serial.receive(Uint8Array.from({ length: 40 }, (_, i) => i));
    expect(read(2)).toBe(0xc4);
    const got: number[] = [];
    while (read(5) & 1) {
      got.push(read(0));
      if (got.length === 33) expect(read(2)).toBe(0xcc); // 7 left: below the trigger, nothing more comes
    }
    expect(got).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(line.high).toBe(false);
    expect(serial.unread).toBe(0);
  });

  it('tells whether the guest waits for input, by interrupt or by polling', () => {
    const { serial, read, write } = make();
    expect(serial.listening).toBe(false);
    write(1, 1);
    expect(serial.listening).toBe(true);
    write(1, 2);
    expect(serial.listening).toBe(false);
    for (let i = 0; i < 200; i++) {
      read(5);
      write(0, 0x41);
    }
    expect(serial.listening).toBe(false);
    for (let i = 0; i < 200; i++) read(5);
    expect(serial.listening).toBe(true);
    serial.reset();
    expect(serial.listening).toBe(false);
  });

  it('has a receiver of one byte without FIFO', () => {
    const { serial, read } = make();
    serial.receive(bytes(1, 2));
    expect([read(5) & 1, read(0), read(0), read(5) & 1, read(0)]).toEqual([1, 1, 2, 0, 2]);
  });

  it('loops back data and modem lines, and notes an overrun', () => {
    const { serial, sent, read, write } = make();
    expect(read(6)).toBe(0xb0);
    write(4, 0x1a); // loopback, OUT2, RTS
    expect(read(6) & 0xf0).toBe(0x90);
    write(0, 0x11);
    write(0, 0x22);
    expect(read(5) & 0x03).toBe(0x03);
    expect(read(5) & 0x02).toBe(0);
    expect(read(0)).toBe(0x22);
    serial.receive(bytes(0x77));
    expect(read(5) & 1).toBe(0);
    write(4, 0x0b);
    expect(read(0)).toBe(0x77);
    expect(sent).toEqual([]);
  });

  it('reports a break as a line status interrupt', () => {
    const { serial, read, write, line } = make();
    write(4, 0x0b);
    write(1, 0x05);
    serial.receiveBreak();
    expect([line.high, read(2)]).toEqual([true, 0x06]);
    expect(read(5) & 0x11).toBe(0x11);
    expect(read(2)).toBe(0x04);
  });

  it('saves and loads to the bit', () => {
    const { serial, write } = make();
    write(2, 0xc1);
    write(4, 0x0b);
    write(1, 0x03);
    write(7, 0x99);
    serial.receive(Uint8Array.from({ length: 50 }, (_, i) => i * 5));
    write(0, 0x41);
    const state = serial.save();
    const other = make();
    other.serial.load(state, 1);
    expect(other.serial.save()).toEqual(state);
    expect(other.line.high).toBe(true);
    expect(other.read(0)).toBe(0);
    expect(other.read(0)).toBe(5);
  });

  it('refuses foreign and damaged state', () => {
    const { serial } = make();
    const state = serial.save() as object;
    expect(() => serial.load({ ...state, ier: 0x10 }, 1)).toThrow(StateError);
    expect(() => serial.load({ ...state, receiver: new Uint8Array(2) }, 1)).toThrow(StateError);
    expect(() => serial.load(null, 1)).toThrow(StateError);
    expect(() => serial.load(serial.save(), 2)).toThrow(/version 2/);
    expect(serial.save()).toEqual(state);
  });
});
