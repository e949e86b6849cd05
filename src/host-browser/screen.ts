import type { Display, TextCells } from '../machine/machine.ts';

/** A picture may take this part of the machine's time. */
const SHARE = 0.1;
/** A display that stands still is looked at this seldom in the end. */
const LONGEST_PAUSE_MS = 100;

/** Paints what a display shows on a canvas, as often as the page is painted at most, and less where that takes long. */
export class Screen {
  readonly #display: Display;
  readonly #canvas: OffscreenCanvas;
  readonly #context: OffscreenCanvasRenderingContext2D;
  #shown: TextCells | undefined;
  #pixels: Uint32Array | undefined;
  #pause = 0;
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
    const words = new Uint32Array(pixels.buffer, pixels.byteOffset, width * height);
    const still = this.#canvas.width === width && this.#canvas.height === height && this.#pixels !== undefined && isSamePicture(words, this.#pixels);
    if (!still) {
      this.#canvas.width = width;
      this.#canvas.height = height;
      this.#context.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer as ArrayBuffer, pixels.byteOffset, pixels.byteLength), width, height), 0, 0);
    }
    this.#pixels = words;
    this.#pause = still ? Math.min(2 * this.#pause + 1, LONGEST_PAUSE_MS) : 0;
    this.#next = began + Math.max((performance.now() - began) / SHARE, this.#pause);
  }
}

function isSamePicture(a: Uint32Array, b: Uint32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function isSame(a: TextCells, b: TextCells): boolean {
  return a.columns === b.columns && a.rows === b.rows && a.cursor === b.cursor && a.cells.every((cell, i) => cell === b.cells[i]) && a.colours.every((colour, i) => colour === b.colours[i]);
}
