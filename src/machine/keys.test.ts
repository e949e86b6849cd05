import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { TimerQueue } from '../timers/timer-queue.ts';
import { keystrokes } from './keys.ts';
import { Typist } from './typist.ts';

const hex = (keys: readonly Uint8Array[]) => keys.map((key) => Buffer.from(key).toString('hex'));

describe('keystrokes', () => {
  it('types texts with Shift where it is needed', () => {
    expect(hex(keystrokes('a!\n'))).toEqual(['1c', 'f01c', '12', '16', 'f016', 'f012', '5a', 'f05a']);
  });
  it('presses named keys, together when joined', () => {
    expect(hex(keystrokes(['F12', 'Control+Alt+Delete']))).toEqual(['07', 'f007', '14', '11', 'e071', 'e0f071', 'f011', 'f014']);
    expect(hex(keystrokes(['+', 'ArrowUp']))).toEqual(['12', '55', 'f055', 'f012', 'e075', 'e0f075']);
  });
  it('knows every character that a US keyboard has', () => {
    for (let code = 0x20; code < 0x7f; code++) expect(keystrokes(String.fromCharCode(code)).length).toBeGreaterThanOrEqual(2);
    expect(() => keystrokes('ä')).toThrow(UserError);
    expect(() => keystrokes(['constructor'])).toThrow('"constructor" is not on the keyboard');
  });
});

it('the typist presses one key at a time', () => {
  const timers = new TimerQueue();
  const pressed: string[] = [];
  let now = 0;
  const typist = new Typist(timers, { now: () => now }, (key) => pressed.push(...hex([key])));
  typist.type(keystrokes('ab'));
  typist.type(keystrokes('c'));
  expect(pressed).toEqual(['1c']);
  for (let i = 0; i < 20; i++) timers.runDue((now += 2_000_000));
  expect(pressed).toEqual(['1c', 'f01c', '32', 'f032', '21', 'f021']);
});
