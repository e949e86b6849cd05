import type { BlockPort } from '../../host/blocks.ts';

/** A disk in memory. While `held`, requests wait; `fail` makes them fail. */
export class MemoryDisk implements BlockPort {
  readonly contents: Uint8Array;
  readonly readOnly: boolean;
  readonly log: string[] = [];
  fail = false;
  #held: (() => void)[] | undefined;

  constructor(bytes: number, readOnly = false) {
    this.contents = Uint8Array.from({ length: bytes }, (_, i) => (i >> 9) ^ i);
    this.readOnly = readOnly;
  }

  get bytes(): number {
    return this.contents.length;
  }
  hold(): void {
    this.#held ??= [];
  }
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const go of held) go();
  }

  async #turn(what: string): Promise<void> {
    this.log.push(what);
    if (this.#held !== undefined) await new Promise<void>((resolve) => this.#held!.push(resolve));
    if (this.fail) throw new Error('the medium is damaged');
  }
  readNow(): boolean {
    return false;
  }
  async read(offset: number, target: Uint8Array): Promise<void> {
    await this.#turn(`read ${offset} ${target.length}`);
    target.set(this.contents.subarray(offset, offset + target.length));
  }
  async write(offset: number, source: Uint8Array): Promise<void> {
    await this.#turn(`write ${offset} ${source.length}`);
    this.contents.set(source, offset);
  }
  readonly releases = true;
  async zero(offset: number, bytes: number): Promise<void> {
    await this.#turn(`zero ${offset} ${bytes}`);
    this.contents.fill(0, offset, offset + bytes);
  }
  async flush(): Promise<void> {
    await this.#turn('flush');
  }
  async close(): Promise<void> {}
}

/** Lets everything that is ready happen. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}
