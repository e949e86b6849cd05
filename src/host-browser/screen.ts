import type { Display, TextCells } from '../machine/machine.ts';

/** A picture may take this part of the machine's time. */
const SHARE = 0.1;

/** Paints what a display shows on a canvas, as often as the page is painted at most, and less where that takes long. */
export class Screen {
  readonly #display: Display;
  readonly #canvas: OffscreenCanvas;
  readonly #context: OffscreenCanvasRenderingContext2D;
  #shown: TextCells | undefined;
  /** When the next picture may be made. */
  #next = 0;
  #open = true;

  constructor(display: Display, canvas: OffscreenCanvas) {
    this.#display = display;
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false })!;
    const frame = (now: number): void => {
      if (!this.#open) return;
      if (now >= this.#next) this.#paint();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  close(): void {
    this.#open = false;
    this.#paint();
  }

  #paint(): void {
    const began = performance.now();
    const text = this.#display.text();
    if (text !== undefined && this.#shown !== undefined && isSame(text, this.#shown)) return;
    this.#shown = text;
    const { width, height, pixels } = this.#display.picture();
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    this.#context.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer as ArrayBuffer, pixels.byteOffset, pixels.byteLength), width, height), 0, 0);
    this.#next = began + (performance.now() - began) / SHARE;
  }
}

function isSame(a: TextCells, b: TextCells): boolean {
  return a.columns === b.columns && a.rows === b.rows && a.cursor === b.cursor && a.cells.every((cell, i) => cell === b.cells[i]) && a.colours.every((colour, i) => colour === b.colours[i]);
}
