const ENTER = [10, 13];
const ERASE = [8, 0x7f];
const CONTROL_U = 0x15;
/** Escape, Ctrl-C, Ctrl-A. */
const CANCEL = [0x1b, 3, 1];
const PRINTABLE = 0x20;

/** Asks for a line on a terminal in raw mode; what is typed meanwhile is not the guest's. */
export class LinePrompt {
  readonly #question: string;
  readonly #show: (text: string) => void;
  readonly #answered: (line: string | undefined) => void;
  #typed: number[] = [];

  /** `answered` gets undefined when the prompt was cancelled. */
  constructor(question: string, show: (text: string) => void, answered: (line: string | undefined) => void) {
    this.#question = question;
    this.#show = show;
    this.#answered = answered;
    show(`\r\n${question}`);
  }

  /** Takes bytes up to the end of the line; returns those behind it, undefined while the line goes on. */
  feed(bytes: Uint8Array): Uint8Array | undefined {
    for (const [at, byte] of bytes.entries()) {
      const ends = ENTER.includes(byte) || CANCEL.includes(byte);
      if (ends) {
        this.#show('\r\n');
        this.#answered(CANCEL.includes(byte) ? undefined : this.#text);
        return bytes.subarray(at + 1);
      }
      if (ERASE.includes(byte)) this.#typed = Array.from(Buffer.from([...this.#text].slice(0, -1).join('')));
      else if (byte === CONTROL_U) this.#typed = [];
      else if (byte >= PRINTABLE) this.#typed.push(byte);
    }
    // Back to the first column, and what was longer is wiped.
    this.#show(`\r\x1b[K${this.#question}${this.#text}`);
    return undefined;
  }

  get #text(): string {
    return Buffer.from(this.#typed).toString();
  }
}
