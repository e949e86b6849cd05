import { closeSync, constants, existsSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { UserError } from '../base/errors.ts';
import type { Nvram } from '../machine/boot-source.ts';
import { checkNvram } from '../machine/configuration.ts';
import { fileTrouble } from './words.ts';

/** What is wrong while the machine runs, in one line. */
export type Warn = (line: string) => void;

/**
 * Firmware's variables in a file, which is made when it is not there. `first`: what they are then; missing: unknown.
 * Throws UserError.
 */
export function openNvram(path: string, first: Uint8Array | undefined, warn: Warn): Nvram {
  const file = resolve(path);
  try {
    if (!existsSync(file)) {
      if (first === undefined) throw new UserError(`nvram ${path} does not exist; copy what your firmware begins with there (Debian's OVMF: /usr/share/OVMF/OVMF_VARS_4M.fd)`);
      writeFileSync(file, first, { flag: 'wx' });
    }
    closeSync(openSync(file, 'r+'));
    return { contents: checkNvram(new Uint8Array(readFileSync(file)), `nvram ${path}`), file, store: storeIn(file, warn) };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`nvram ${path} ${fileTrouble(error)}; give a file that can be read and written`);
  }
}

/** Writes changes to the file. Trouble is told once, and the machine goes on. */
export function storeIn(file: string, warn: Warn): NonNullable<Nvram['store']> {
  let told = false;
  return (offset, bytes) => {
    try {
      const opened = openSync(file, constants.O_RDWR | constants.O_CREAT);
      try {
        for (let done = 0; done < bytes.length; ) done += writeSync(opened, bytes, done, bytes.length - done, offset + done);
      } finally {
        closeSync(opened);
      }
    } catch (error) {
      if (!told) warn(`nvram ${file} ${fileTrouble(error)}; what the firmware stores is lost when the machine ends`);
      told = true;
    }
  };
}
