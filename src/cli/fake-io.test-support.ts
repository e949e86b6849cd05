import { EventEmitter } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import type { CommandIo, InputStream } from './io.ts';

/** Streams and signals that tests play the terminal with. */
export class FakeIo implements CommandIo {
  readonly stdin: InputStream;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signals = new EventEmitter();
  /** Raw mode as it was set, in order. */
  readonly modes: boolean[] = [];
  out = Buffer.alloc(0);
  err = '';

  constructor(options: { readonly terminal?: boolean; readonly stdout?: Writable } = {}) {
    this.stdin = new PassThrough();
    if (options.terminal === true) Object.assign(this.stdin, { isTTY: true, setRawMode: (raw: boolean) => this.modes.push(raw) });
    this.stdout = options.stdout ?? new Writable({ write: (chunk: Buffer, _encoding, done) => {
      this.out = Buffer.concat([this.out, chunk]);
      done();
    } });
    this.stderr = new Writable({ decodeStrings: false, write: (chunk: string | Buffer, _encoding, done) => {
      this.err += String(chunk);
      done();
    } });
  }

  type(text: string): void {
    (this.stdin as PassThrough).write(text);
  }
  /** Settles when standard output holds the text. */
  async shows(text: string): Promise<void> {
    while (!this.out.includes(text)) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  get listeners(): number {
    return this.signals.eventNames().length;
  }
}
