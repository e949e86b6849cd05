import { StateError, UserError } from '../base/errors.ts';
import type { FileReader as StoredReader, FileWriter } from '../host/files.ts';
import { StoredMachine, writeStoredMachine } from '../snapshot/stored-machine.ts';
import type { MachineParts } from '../snapshot/stored-machine.ts';
import { StorageFull, openStored, removeStored, renameStored, storedBlob } from './opfs.ts';
import { packing } from './packing.ts';

declare const POLYVISOR_VERSION: string;

/** Stores a machine in the page's storage, wholly or not at all. Returns its length in bytes. Throws UserError. */
export async function writeStateFile(name: string, parts: MachineParts, compress: boolean): Promise<number> {
  const unfinished = `${name}.new`;
  const file = await openStored('states', unfinished, true);
  let bytes: number;
  try {
    writeStoredMachine(file, parts, { packing, compress, program: POLYVISOR_VERSION });
    file.flush();
    bytes = file.bytes;
    file.close();
    await renameStored('states', unfinished, name);
    return bytes;
  } catch (error) {
    file.close();
    await removeStored('states', unfinished);
    if (error instanceof StorageFull) throw new UserError(`the machine cannot be saved: ${error.message}`);
    throw error;
  }
}

/** Stores a machine in memory. */
export function writeStateBlob(parts: MachineParts, compress: boolean): Blob {
  const pieces: { readonly offset: number; readonly bytes: Uint8Array<ArrayBuffer> }[] = [];
  const file: FileWriter = { write: (offset, source) => void pieces.push({ offset, bytes: new Uint8Array(source) }) };
  writeStoredMachine(file, parts, { packing, compress, program: POLYVISOR_VERSION });
  pieces.sort((a, b) => a.offset - b.offset);
  const all: Uint8Array<ArrayBuffer>[] = [];
  let at = 0;
  for (const { offset, bytes } of pieces) {
    if (offset > at) all.push(new Uint8Array(offset - at));
    all.push(bytes);
    at = offset + bytes.length;
  }
  return new Blob(all, { type: 'application/octet-stream' });
}

/** A stored machine that was opened: under its name, or as a file. */
export class StateFile {
  readonly name: string;
  readonly machine: StoredMachine;

  private constructor(name: string, blob: Blob) {
    this.name = name;
    this.machine = this.tell(() => new StoredMachine(reader(blob), packing));
  }

  /** Throws UserError. */
  static async open(stored: string | Blob): Promise<StateFile> {
    if (typeof stored === 'string') return new StateFile(stored, await storedBlob('states', stored));
    return new StateFile(stored instanceof File ? stored.name : 'file', stored);
  }

  /** Runs what reads from the file; a StateError becomes a UserError with the file's name. */
  tell<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof StateError) throw new UserError(`the stored machine ${this.name} ${error.message}; it cannot be restored`);
      throw error;
    }
  }
}

/** Pieces are read this long at least: each one is a request to another process. */
const PIECE = 1 << 22;

function reader(blob: Blob): StoredReader {
  const files = new FileReaderSync();
  let [first, piece] = [0, new Uint8Array(0)];
  return {
    bytes: blob.size,
    read: (offset, target) => {
      for (let done = 0; done < target.length;) {
        const at = offset + done;
        if (at < first || at >= first + piece.length) {
          first = at;
          piece = new Uint8Array(files.readAsArrayBuffer(blob.slice(at, at + Math.max(PIECE, target.length - done))));
          if (piece.length === 0) throw new StateError('is truncated');
        }
        const part = piece.subarray(at - first, at - first + target.length - done);
        target.set(part, done);
        done += part.length;
      }
    },
  };
}
