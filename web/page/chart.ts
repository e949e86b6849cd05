/** Points of a chart: a minute at one a second. */
const POINTS = 60;

/** A small line chart of the last minute. */
export class Chart {
  readonly #canvas: HTMLCanvasElement;
  readonly #values: number[] = [];
  /** Top of the scale; missing: the largest value. */
  readonly #top: number | undefined;

  constructor(canvas: HTMLCanvasElement, top?: number) {
    this.#canvas = canvas;
    this.#top = top;
  }

  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    this.#draw();
  }
  clear(): void {
    this.#values.length = 0;
    this.#draw();
  }

  #draw(): void {
    const scale = devicePixelRatio;
    const width = Math.round(this.#canvas.clientWidth * scale);
    const height = Math.round(this.#canvas.clientHeight * scale);
    this.#canvas.width = width;
    this.#canvas.height = height;
    const context = this.#canvas.getContext('2d')!;
    const colour = getComputedStyle(this.#canvas).getPropertyValue('--accent');
    const top = this.#top ?? Math.max(1e-9, ...this.#values);
    const x = (i: number): number => width - ((this.#values.length - 1 - i) * width) / (POINTS - 1);
    const y = (value: number): number => height - scale - (Math.min(value, top) / top) * (height - 3 * scale);
    if (this.#values.length < 2) return;
    context.beginPath();
    this.#values.forEach((value, i) => context.lineTo(x(i), y(value)));
    context.strokeStyle = colour;
    context.lineWidth = 1.5 * scale;
    context.lineJoin = 'round';
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(x(0), height);
    context.globalAlpha = 0.15;
    context.fillStyle = colour;
    context.fill();
  }
}
