import { closeSync, fstatSync, openSync, renameSync, rmSync } from 'node:fs';
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { StateError, UserError } from '../base/errors.ts';
import type { FileReader, FileWriter, Packing } from '../host/files.ts';
import { StoredMachine, writeStoredMachine } from '../snapshot/stored-machine.ts';
import type { MachineParts } from '../snapshot/stored-machine.ts';
import { readFully, writeFully } from './file-bytes.ts';
import { mapFile } from './file-mapping.ts';
import { packageVersion } from './version.ts';
import { fileTrouble, outputTrouble } from './words.ts';

/** RAM compresses well at any level; the lowest takes a third of the time. */
const LEVEL = 1;

const packing: Packing = {
  checksum: (bytes, before) => crc32(bytes, before),
  deflate: (bytes) => deflateRawSync(bytes, { level: LEVEL }),
  inflate: (bytes, length) => {
    const out = inflateRawSync(bytes, { maxOutputLength: length });
    if (out.length !== length) throw new Error('the length does not fit');
    return out;
  },
};

/** Stores a machine in a file, which is there wholly or not at all. Returns its length in bytes. Throws UserError. */
export function writeStateFile(path: string, parts: MachineParts, compress: boolean): number {
  const unfinished = `${path}.new`;
  try {
    const file = openSync(unfinished, 'w');
    let bytes: number;
    try {
      writeStoredMachine(writer(file), parts, { packing, compress, program: packageVersion() });
      bytes = fstatSync(file).size;
    } finally {
      closeSync(file);
    }
    renameSync(unfinished, path);
    return bytes;
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw new UserError(`the machine cannot be saved: ${path} ${outputTrouble(error)}; give a file that can be written`);
  }
}

/** An opened file with a stored machine. */
export class StateFile {
  readonly path: string;
  readonly machine: StoredMachine;
  readonly #file: number;
  #closed = false;

  /** Throws UserError. */
  constructor(path: string) {
    this.path = path;
    try {
      this.#file = openSync(path, 'r');
    } catch (error) {
      throw new UserError(`the stored machine ${path} ${fileTrouble(error)}; give a file that Ctrl-A S or saveFile has written`);
    }
    try {
      this.machine = this.tell(() => new StoredMachine(reader(this.#file, fstatSync(this.#file).size), packing));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Runs what reads from the file; a StateError becomes a UserError with the file's name. */
  tell<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof StateError) throw new UserError(`the stored machine ${this.path} ${error.message}; it cannot be restored`);
      if (typeof (error as NodeJS.ErrnoException).code === 'string') throw new UserError(`the stored machine ${this.path} ${fileTrouble(error)}; give a file that Ctrl-A S or saveFile has written`);
      throw error;
    }
  }

  /** Legal again and again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }
}

function writer(file: number): FileWriter {
  return { write: (offset, source) => writeFully(file, offset, source) };
}

function reader(file: number, bytes: number): FileReader {
  return {
    bytes,
    map: (offset, target) => mapFile(file, offset, target),
    read: (offset, target) => {
      if (!readFully(file, offset, target)) throw new StateError('is truncated');
    },
  };
}
