import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { UserError } from '../base/errors.ts';
import type { Nvram } from '../machine/boot-source.ts';
import { checkNvram } from '../machine/configuration.ts';
import { writeFully } from './file-bytes.ts';
import { FileCalls } from './file-calls.ts';
import { fileTrouble } from './words.ts';

/** What is wrong while the machine runs, in one line. */
export type Warn = (line: string) => void;

/**
 * Firmware's variables in a file, which is made when it is not there, and which no other machine may use until it is closed.
 * `first`: what they are then; missing: unknown. Throws UserError.
 */
export function openNvram(path: string, first: Uint8Array | undefined, warn: Warn): Nvram {
  const file = resolve(path);
  let opened: number | undefined;
  try {
    if (!existsSync(file)) {
      if (first === undefined) throw new UserError(`nvram ${path} does not exist; copy what your firmware begins with there (Debian's OVMF: /usr/share/OVMF/OVMF_VARS_4M.fd)`);
      writeFileSync(file, first, { flag: 'wx' });
    }
    opened = openSync(file, 'r+');
    claim(opened, path);
    return { contents: checkNvram(new Uint8Array(readFileSync(opened)), `nvram ${path}`), ...kept(file, opened, warn) };
  } catch (error) {
    if (opened !== undefined) closeSync(opened);
    if (error instanceof UserError) throw error;
    throw new UserError(`nvram ${path} ${fileTrouble(error)}; give a file that can be read and written`);
  }
}

/** The file of a stored machine, which has the variables itself: trouble is told, and the machine goes on. Throws UserError when it is in use. */
export function reopenNvram(file: string, warn: Warn): Omit<Nvram, 'contents'> {
  let opened: number;
  try {
    opened = openSync(file, constants.O_RDWR | constants.O_CREAT);
  } catch (error) {
    warn(lost(file, error));
    return { file };
  }
  try {
    claim(opened, file);
  } catch (error) {
    closeSync(opened);
    throw error;
  }
  return kept(file, opened, warn);
}

function claim(opened: number, path: string): void {
  if (FileCalls.available?.claim(opened, true) === false) throw new UserError(`nvram ${path} is in use by another machine; end that one first, or give this one a copy`);
}

/** Writes changes to the file. Trouble is told once, and the machine goes on. */
function kept(file: string, opened: number, warn: Warn): Required<Omit<Nvram, 'contents'>> {
  let told = false;
  let open = true;
  return {
    file,
    store: (offset, bytes) => {
      try {
        writeFully(opened, offset, bytes);
        if (fstatSync(opened).nlink === 0) throw new Error('it has been deleted');
      } catch (error) {
        if (!told) warn(lost(file, error));
        told = true;
      }
    },
    close: () => {
      if (open) closeSync(opened);
      open = false;
    },
  };
}

function lost(file: string, error: unknown): string {
  return `nvram ${file} ${fileTrouble(error)}; what the firmware stores is lost when the machine ends`;
}
