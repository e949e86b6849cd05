import { closeSync, openSync, writeSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import type { ByteSink } from '../host/bytes.ts';
import { outputTrouble } from '../host-node/words.ts';

/** Bytes of a device into a file, which is made anew. `what` it is, for messages: `serial output`. Throws UserError. */
export function openFileSink(what: string, path: string, failed: (error: UserError) => void): ByteSink & { close(): void } {
  const trouble = (error: unknown): UserError => new UserError(`${what} file ${path} ${outputTrouble(error)}; give a path that can be written`);
  let file: number;
  try {
    file = openSync(path, 'w');
  } catch (error) {
    throw trouble(error);
  }
  let broken = false;
  return {
    write: (bytes) => {
      if (broken) return;
      try {
        for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      } catch (error) {
        broken = true;
        failed(trouble(error));
      }
    },
    close: () => closeSync(file),
  };
}
