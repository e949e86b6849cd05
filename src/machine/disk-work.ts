import type { BlockPort } from '../host/blocks.ts';

/** Counts what a machine's drives have under way with the host. */
export class DiskWork {
  #underWay = 0;

  get underWay(): number {
    return this.#underWay;
  }

  /** The same storage, whose requests are counted. */
  watch(block: BlockPort): BlockPort {
    const count = async (work: Promise<void>): Promise<void> => {
      this.#underWay++;
      try {
        await work;
      } finally {
        this.#underWay--;
      }
    };
    return {
      bytes: block.bytes,
      readOnly: block.readOnly,
      get releases() {
        return block.releases;
      },
      readNow: (offset, target) => block.readNow(offset, target),
      read: (offset, target) => count(block.read(offset, target)),
      write: (offset, source) => count(block.write(offset, source)),
      zero: (offset, bytes) => count(block.zero(offset, bytes)),
      flush: () => count(block.flush()),
      close: () => block.close(),
    };
  }
}
