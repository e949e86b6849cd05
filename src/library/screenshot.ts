import type { Display, Picture, TextCells } from '../machine/machine.ts';

/** Code page 437 above 7Fh, and what it shows below 20h. */
const HIGH =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';
const LOW = ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼';

/** The character that a code of code page 437 shows. */
export function character437(code: number): string {
  if (code < 0x20) return LOW[code]!;
  return code < 0x7f ? String.fromCharCode(code) : code === 0x7f ? '⌂' : HIGH[code - 0x80]!;
}

/** A display's contents at one moment. */
export class Screenshot {
  /** The picture; four bytes a pixel: red, green, blue, 255. */
  readonly picture: Picture;
  /** Cells with attributes; undefined in graphics modes. */
  readonly cells: TextCells | undefined;

  constructor(display: Display) {
    this.picture = display.picture();
    this.cells = display.text();
  }

  /** Lines of a text mode without the blanks at their ends, joined by newlines; empty in graphics modes. */
  get text(): string {
    const { cells } = this;
    if (cells === undefined) return '';
    const line = (row: number): string => [...cells.cells.subarray(row * cells.columns, (row + 1) * cells.columns)].map((cell) => character437(cell & 0xff)).join('').trimEnd();
    return Array.from({ length: cells.rows }, (_, row) => line(row)).join('\n').trimEnd();
  }
}
