import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import type { Console } from '../library/console.ts';

/** A guest's serial console in a terminal. */
export class SerialView {
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #observer: ResizeObserver;
  #console: Console | undefined;
  #ends: (() => void)[] = [];

  /** Shows a terminal at a place in the document, in several turns: making all of it takes too long for one. */
  static async open(place: HTMLElement): Promise<SerialView> {
    await turn();
    const view = new SerialView();
    await turn();
    view.#show(place);
    return view;
  }

  private constructor() {
    this.#terminal = new Terminal({ convertEol: false, scrollback: 5000, fontSize: 14, screenReaderMode: false, theme: { background: '#14161a', foreground: '#e6e8eb', cursor: '#7fb3ff' } });
    this.#terminal.loadAddon(this.#fit);
    this.#observer = new ResizeObserver(() => this.#fitNow());
    this.#terminal.onData((text) => this.#console?.write(text));
    this.#terminal.onBinary((bytes) => this.#console?.write(Uint8Array.from(bytes, (character) => character.charCodeAt(0))));
    // Ctrl-C belongs to the guest: copying is with Shift.
    this.#terminal.attachCustomKeyEventHandler((event) => {
      if (event.type !== 'keydown' || !event.ctrlKey || !event.shiftKey || event.code !== 'KeyC') return true;
      event.preventDefault();
      void navigator.clipboard?.writeText(this.#terminal.getSelection());
      return false;
    });
  }

  #show(place: HTMLElement): void {
    this.#terminal.open(place);
    this.#observer.observe(place);
  }

  #fitNow(): void {
    // A hidden one has no size.
    if (this.#terminal.element?.offsetParent !== null) this.#fit.fit();
  }

  /** Shows a console from now on. */
  attach(console: Console): void {
    this.detach();
    this.#terminal.reset();
    this.#console = console;
    this.#ends = [console.onData((bytes) => this.#terminal.write(bytes))];
  }
  /** What was shown stays. */
  detach(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#console = undefined;
  }
  /** Types a text on the console, as pasting does. */
  paste(text: string): void {
    this.#terminal.paste(text);
  }
  focus(): void {
    this.#terminal.focus();
  }
  /** What can be seen, line by line. */
  get text(): string {
    const { active } = this.#terminal.buffer;
    return Array.from({ length: this.#terminal.rows }, (_, row) => active.getLine(active.viewportY + row)?.translateToString(true) ?? '').join('\n').trimEnd();
  }
  close(): void {
    this.detach();
    this.#observer.disconnect();
    this.#terminal.dispose();
  }
}

/** Behind what the page has to do. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
