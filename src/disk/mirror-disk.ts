import type { ByteRuns } from '../base/byte-runs.ts';
import type { BlockPort } from '../host/blocks.ts';

/** Unit of copying. */
const REGION = 1 << 20;

export interface MirrorLeg {
  readonly block: BlockPort;
  /** What it holds may be old: it is copied anew from the others, and not read before. */
  readonly stale: boolean;
}

export interface MirrorEvents {
  /** A leg has failed: it is closed and gets no more writes. The guest's write is answered when this has settled. */
  failed(leg: number, error: unknown): Promise<void>;
  /** A leg holds again what the others hold. */
  returned(leg: number): Promise<void>;
}

type Health = 'good' | 'copying' | 'failed';

interface Leg {
  block: BlockPort;
  health: Health;
  /** Reads under way. */
  reads: number;
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly over: Promise<unknown>;
}

/**
 * The same contents on several disks of the same size. As long as one of them works the guest sees no error. At least one
 * leg must not be stale.
 */
export class MirrorDisk implements BlockPort {
  readonly bytes: number;
  readonly readOnly = false;
  readonly #legs: readonly Leg[];
  readonly #events: MirrorEvents;
  /** Writes under way. */
  readonly #writing = new Set<Range>();
  /** What is being copied; writes there wait. */
  #copied: Range | undefined;
  #copying: Promise<void> | undefined;
  #closed = false;

  constructor(legs: readonly MirrorLeg[], events: MirrorEvents) {
    this.#events = events;
    this.bytes = legs[0]!.block.bytes;
    this.#legs = legs.map(({ block, stale }) => ({ block, health: stale ? 'failed' : 'good', reads: 0 }));
    for (let index = 0; index < legs.length; index++) if (legs[index]!.stale) this.#startCopy(index);
  }

  get releases(): boolean {
    return this.#legs.some(({ block }) => block.releases);
  }
  /** By leg. */
  get health(): readonly Health[] {
    return this.#legs.map(({ health }) => health);
  }
  /** Settles when no leg is being copied to. */
  async settled(): Promise<void> {
    while (this.#copying !== undefined) await this.#copying;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    for (;;) {
      const index = this.#leastBusy();
      const leg = this.#legs[index]!;
      const { block } = leg;
      leg.reads++;
      try {
        return await block.read(offset, target);
      } catch (error) {
        // Nothing is gained from failing the last one.
        if (this.#good().every((other) => other === leg)) throw error;
        if (leg.block === block) await this.#fail(index, error);
      } finally {
        leg.reads--;
      }
    }
  }

  readNow(offset: number, target: ByteRuns): boolean {
    return this.#legs[this.#leastBusy()]!.block.readNow(offset, target);
  }

  #good(): Leg[] {
    return this.#legs.filter(({ health }) => health === 'good');
  }
  #leastBusy(): number {
    const best = this.#good().reduce((least, leg) => (leg.reads < least.reads ? leg : least));
    return this.#legs.indexOf(best);
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    return this.#change(offset, source.length, (block) => block.write(offset, source));
  }
  zero(offset: number, bytes: number): Promise<void> {
    return this.#change(offset, bytes, (block) => block.zero(offset, bytes));
  }

  async #change(offset: number, bytes: number, ask: (block: BlockPort) => Promise<void>): Promise<void> {
    while (this.#copied !== undefined && overlap(this.#copied, offset, offset + bytes)) await this.#copied.over;
    const over = this.#everywhere(ask);
    const range = { from: offset, to: offset + bytes, over };
    this.#writing.add(range);
    try {
      await over;
    } finally {
      this.#writing.delete(range);
    }
  }

  flush(): Promise<void> {
    return this.#everywhere((block) => block.flush());
  }

  /** Asks all legs that take part. Those that fail are left out from then on, unless no good one is left. */
  async #everywhere(ask: (block: BlockPort) => Promise<void>): Promise<void> {
    const asked = this.#legs.map((leg, index) => ({ leg, index, block: leg.block })).filter(({ leg }) => leg.health !== 'failed');
    const outcomes = await Promise.allSettled(asked.map(({ block }) => ask(block)));
    const bad = asked.flatMap((asking, i) => {
      const outcome = outcomes[i]!;
      return outcome.status === 'rejected' ? [{ ...asking, reason: outcome.reason as unknown }] : [];
    });
    const someGood = asked.some(({ leg }, i) => leg.health === 'good' && outcomes[i]!.status === 'fulfilled');
    for (const { leg, index, block, reason } of bad) {
      if (!someGood) throw reason;
      if (leg.block === block) await this.#fail(index, reason);
    }
  }

  async #fail(index: number, error: unknown): Promise<void> {
    const leg = this.#legs[index]!;
    if (leg.health === 'failed') return;
    leg.health = 'failed';
    await leg.block.close().catch(() => {});
    await this.#events.failed(index, error);
  }

  /** Brings a failed leg back, on a disk opened anew, perhaps another one: it is filled while the guest runs on. */
  async giveBack(index: number, block: BlockPort): Promise<void> {
    const leg = this.#legs[index]!;
    if (leg.health !== 'failed') throw new Error(`leg ${index} has not failed`);
    if (block.bytes !== this.bytes) throw new Error(`it has ${block.bytes} bytes, the mirror has ${this.bytes}`);
    leg.block = block;
    this.#startCopy(index);
    await this.settled();
  }

  /** One leg at a time. */
  #startCopy(index: number): void {
    const before = this.#copying ?? Promise.resolve();
    this.#legs[index]!.health = 'copying';
    const copying = before.then(() => this.#copy(index)).then(() => {
      if (this.#copying === copying) this.#copying = undefined;
    });
    this.#copying = copying;
  }

  async #copy(index: number): Promise<void> {
    const leg = this.#legs[index]!;
    try {
      for (let from = 0; from < this.bytes; from += REGION) {
        if (this.#closed || leg.health !== 'copying') return;
        await this.#copyRegion(leg, from);
      }
      await leg.block.flush();
    } catch (error) {
      await this.#fail(index, error);
      return;
    }
    leg.health = 'good';
    await this.#events.returned(index);
  }

  /** No write is under way there meanwhile. */
  async #copyRegion(leg: Leg, from: number): Promise<void> {
    const to = Math.min(from + REGION, this.bytes);
    let done = (): void => {};
    this.#copied = { from, to, over: new Promise<void>((resolve) => (done = resolve)) };
    try {
      await Promise.allSettled([...this.#writing].filter((range) => overlap(range, from, to)).map(({ over }) => over));
      const [wanted, found] = [new Uint8Array(to - from), new Uint8Array(to - from)];
      await Promise.all([this.read(from, wanted), leg.block.read(from, found)]);
      if (wanted.some((byte, i) => byte !== found[i])) await leg.block.write(from, wanted);
    } finally {
      this.#copied = undefined;
      done();
    }
  }

  /** A leg that is not good then stays stale. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.settled();
    await Promise.allSettled(this.#legs.map(({ block }) => block.close()));
  }
}

function overlap(range: Range, from: number, to: number): boolean {
  return range.from < to && from < range.to;
}
