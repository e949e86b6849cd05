import { expect, it } from 'vitest';
import { keysOfTerminal } from './terminal-keyboard.ts';
import { TerminalScreen } from './terminal-screen.ts';

it("names the keys that terminals' bytes stand for", () => {
  const keys = (text: string) => keysOfTerminal(new TextEncoder().encode(text));
  expect(keys('aB\r\x7f\t')).toEqual(['a', 'B', 'Enter', 'Backspace', 'Tab']);
  expect(keys('\x1b[A\x1b[24~\x1bOP\x1b')).toEqual(['ArrowUp', 'F12', 'F1', 'Escape']);
  expect(keys('\x03\x1b[99~ä')).toEqual(['Control+c']);
});

it('draws what has changed', () => {
  const screen = new TerminalScreen();
  const cells = new Uint16Array(8).fill(0x0720);
  const text = (cursor?: number) => ({ columns: 4, rows: 2, cells: cells.slice(), cursor, colours: [] });
  cells[5] = 0x1fda;
  expect(screen.draw(text(1))).toContain('\x1b[2;1H\x1b[0;37;40m \x1b[0;97;44m┌\x1b[0;37;40m  ');
  expect(screen.draw(text(1))).toBe('');
  expect(screen.draw(text(4))).toBe('\x1b[2;1H\x1b[?25h');
  cells[0] = 0x0741;
  expect(screen.draw(text())).toBe('\x1b[1;1H\x1b[0;37;40mA   \x1b[0m\x1b[K\x1b[2;1H\x1b[0;37;40m \x1b[0;97;44m┌\x1b[0;37;40m  \x1b[0m\x1b[K\x1b[?25l');
  expect(screen.draw(undefined)).toContain('graphics');
});
