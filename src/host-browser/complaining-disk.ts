import type { ByteRuns } from '../base/byte-runs.ts';
import type { BlockPort } from '../host/blocks.ts';

/** The disk below, whose first refused write is told. */
export class ComplainingDisk implements BlockPort {
  readonly bytes: number;
  readonly readOnly: boolean;
  readonly releases: boolean;
  readonly #below: BlockPort;
  readonly #name: string;
  readonly #complain: (line: string) => void;
  #told = false;

  /** Takes over the disk, which lines call `name`. */
  constructor(below: BlockPort, name: string, complain: (line: string) => void) {
    this.#below = below;
    this.#name = name;
    this.#complain = complain;
    ({ bytes: this.bytes, readOnly: this.readOnly, releases: this.releases } = below);
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    return this.#below.read(offset, target);
  }
  readNow(offset: number, target: ByteRuns): boolean {
    return this.#below.readNow(offset, target);
  }
  write(offset: number, source: Uint8Array): Promise<void> {
    return this.#tell(this.#below.write(offset, source));
  }
  zero(offset: number, bytes: number): Promise<void> {
    return this.#tell(this.#below.zero(offset, bytes));
  }
  flush(): Promise<void> {
    return this.#below.flush();
  }
  close(): Promise<void> {
    return this.#below.close();
  }

  async #tell(writing: Promise<void>): Promise<void> {
    try {
      await writing;
    } catch (error) {
      if (!this.#told) this.#complain(`${this.#name}: a write fails, which the guest sees as an error of its disk: ${(error as Error).message}`);
      this.#told = true;
      throw error;
    }
  }
}
