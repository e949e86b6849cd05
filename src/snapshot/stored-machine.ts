import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import type { FileReader, FileWriter, Packing } from '../host/files.ts';
import { ContainerReader, ContainerWriter } from './container.ts';
import type { Check } from './container.ts';
import { decodePlain, encodePlain } from './plain-bytes.ts';

// A stored machine in a container: a section for each component, RAM's pages that are not zero, and the files that it
// boots from again when it resets.

const RAM = 'ram';
const RAM_PAGES = 'ram-pages';
const FILE = 'file-';
const COMPONENT_VERSION = 1;

/** RAM as runs of pages that are not all zero. Offsets count from the start of RAM. */
export interface StoredPages {
  readonly bytes: number;
  readonly runs: readonly { readonly offset: number; readonly data: Uint8Array }[];
}

export interface MachineParts {
  /** Plain JSON. */
  readonly description: unknown;
  /** Sections by component, as `Machine.saveDevices` gives them. */
  readonly devices: Readonly<Record<string, Plain>>;
  readonly ram: StoredPages;
  readonly files: Readonly<Record<string, Uint8Array>>;
}

export interface WriteOptions {
  readonly packing: Packing;
  readonly compress: boolean;
  /** This program's version. */
  readonly program: string;
}

export function writeStoredMachine(file: FileWriter, parts: MachineParts, options: WriteOptions): void {
  const writer = new ContainerWriter(file, options.packing, options.compress);
  for (const [name, section] of Object.entries(parts.devices)) {
    const { version, state } = section as { readonly version: number; readonly state: Plain };
    writer.add(name, version, [encodePlain(state)]);
  }
  const runs = parts.ram.runs.map(({ offset, data }) => [offset, data.length]);
  writer.add(RAM, COMPONENT_VERSION, [encodePlain({ bytes: parts.ram.bytes, runs })]);
  writer.add(RAM_PAGES, COMPONENT_VERSION, parts.ram.runs.map((run) => run.data));
  for (const [name, contents] of Object.entries(parts.files)) writer.add(FILE + name, COMPONENT_VERSION, [contents]);
  writer.finish({ program: options.program, machine: parts.description });
}

/** A stored machine that is read piece by piece. Everything throws StateError, whose message goes behind the file's name. */
export class StoredMachine {
  readonly #container: ContainerReader;

  constructor(file: FileReader, packing: Packing) {
    this.#container = new ContainerReader(file, packing);
  }

  get program(): string {
    return this.#container.program;
  }
  get description(): unknown {
    return this.#container.machine;
  }
  /** A file that the machine boots from, if it has that one. */
  file(name: string): Uint8Array | undefined {
    return this.#container.version(FILE + name) === undefined ? undefined : this.#container.read(FILE + name);
  }
  devices(): Readonly<Record<string, Plain>> {
    const names = this.#container.names.filter((name) => name !== RAM && name !== RAM_PAGES && !name.startsWith(FILE));
    return Object.fromEntries(names.map((name) => [name, { version: this.#container.version(name)!, state: decodePlain(this.#container.read(name)) }]));
  }
  /** Fills RAM that is zero yet. `view` gives a piece of it to write to. Returns the checks of what was not looked at, for the file is shown there. */
  fillRam(ram: { readonly bytes: number; view(offset: number, length: number): Uint8Array }): Check[] {
    const versions = [RAM, RAM_PAGES].map((name) => this.#container.version(name));
    for (const version of versions) if (version !== undefined && version !== COMPONENT_VERSION) throw new StateError(`has RAM of version ${version}, this version reads ${COMPONENT_VERSION}`);
    const { bytes, runs } = (decodePlain(this.#container.read(RAM)) ?? {}) as { readonly bytes?: Plain; readonly runs?: Plain };
    if (bytes !== ram.bytes || !Array.isArray(runs)) throw new StateError(`is damaged: its RAM has ${String(bytes)} bytes, its machine ${ram.bytes}`);
    const unchecked: Check[] = [];
    this.#container.readInto(RAM_PAGES, runs.map((run: Plain) => {
      const [offset, length] = Array.isArray(run) ? (run as readonly Plain[]) : [];
      const isCount = (value: Plain | undefined): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 0;
      if (!isCount(offset) || !isCount(length) || offset + length > ram.bytes) throw new StateError('is damaged: a run of pages does not lie in RAM');
      return ram.view(offset, length);
    }), unchecked);
    return unchecked;
  }
}
