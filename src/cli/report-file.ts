import { closeSync, openSync, writeFileSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import type { Report } from '../host-node/report.ts';
import { fileTrouble } from '../host-node/words.ts';

/** `--report FILE`: a path that cannot be written shows before the machine starts. */
export class ReportFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    // Opened for appending: what is there stays until there is something new.
    this.#try(() => closeSync(openSync(path, 'a')));
  }

  /** Throws UserError, a full disk's too. */
  write(report: Report & { readonly exitStatus: number }): void {
    this.#try(() => writeFileSync(this.#path, `${JSON.stringify(report, null, 2)}\n`));
  }

  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      throw new UserError(`report file ${this.#path} ${fileTrouble(error)}; give a path that can be written`);
    }
  }
}
