import { character437 } from '../library/screenshot.ts';
import type { TextCells } from '../machine/machine.ts';

/** Order of the colours of ECMA-48 (red is bit 0) and of the PC (blue is bit 0). */
const ANSI = [0, 4, 2, 6, 1, 5, 3, 7] as const;
const GRAPHICS = 'The guest shows graphics; --display png:FILE makes a picture of it.';

/** Draws a text mode on a terminal: what has changed since the last time, row by row. */
export class TerminalScreen {
  #rows: string[] = [];
  #cursor = '';

  /** Puts the terminal into its other screen. */
  begin(): string {
    return '\x1b[?1049h\x1b[2J';
  }
  end(): string {
    return '\x1b[0m\x1b[?25h\x1b[?1049l';
  }

  /** Escape sequences that bring the terminal up to date; undefined: no text mode. */
  draw(text: TextCells | undefined): string {
    const rows = text === undefined ? [`\x1b[0m${GRAPHICS}`] : Array.from({ length: text.rows }, (_, row) => drawRow(text, row));
    let out = '';
    if (rows.length !== this.#rows.length) out += '\x1b[0m\x1b[2J';
    rows.forEach((row, i) => {
      if (out !== '' || row !== this.#rows[i]) out += `\x1b[${i + 1};1H${row}\x1b[0m\x1b[K`;
    });
    this.#rows = rows;
    const at = text?.cursor;
    const cursor = text === undefined || at === undefined ? '\x1b[?25l' : `\x1b[${Math.floor(at / text.columns) + 1};${(at % text.columns) + 1}H\x1b[?25h`;
    if (out !== '' || cursor !== this.#cursor) out += cursor;
    this.#cursor = cursor;
    return out;
  }
}

function drawRow(text: TextCells, row: number): string {
  let out = '';
  let last = -1;
  for (let column = 0; column < text.columns; column++) {
    const cell = text.cells[row * text.columns + column]!;
    const attribute = cell >> 8;
    if (attribute !== last) out += `\x1b[0;${colour(attribute & 15, 30)};${colour((attribute >> 4) & 7, 40)}m`;
    last = attribute;
    out += character437(cell & 0xff);
  }
  return out;
}

function colour(index: number, base: number): number {
  return base + ANSI[index & 7]! + (index > 7 ? 60 : 0);
}
