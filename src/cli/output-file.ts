import { closeSync, openSync, writeFileSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import { outputTrouble } from '../host-node/words.ts';

/** A file for what is known at the end: a path that cannot be written shows before the machine starts. */
export class OutputFile {
  readonly #what: string;
  readonly #path: string;

  /** `what` it is, for messages: `report`. */
  constructor(what: string, path: string) {
    this.#what = what;
    this.#path = path;
    // Opened for appending: what is there stays until there is something new.
    this.#try(() => closeSync(openSync(path, 'a')));
  }

  /** Throws UserError, a full disk's too. */
  write(text: string): void {
    this.#try(() => writeFileSync(this.#path, text));
  }

  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      throw new UserError(`${this.#what} file ${this.#path} ${outputTrouble(error)}; give a path that can be written`);
    }
  }
}
