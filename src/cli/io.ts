import type { EventEmitter } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/** Standard input: a terminal has `isTTY` and `setRawMode`. */
export type InputStream = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };

/** What the command line uses of its process; tests give streams of their own. */
export interface CommandIo {
  readonly stdin: InputStream;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Signals by name, and `exit`. */
  readonly signals: Pick<EventEmitter, 'on' | 'off'>;
}

export function processIo(): CommandIo {
  return { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, signals: process };
}
