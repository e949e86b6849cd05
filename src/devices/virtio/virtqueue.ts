import type { Plain } from '../../base/plain.ts';
import { StateError } from '../../base/errors.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { StateFields } from '../state-fields.ts';
import { DescriptorChain, QueueError } from './descriptor-chain.ts';
import type { Ring, UsedBuffer } from './ring.ts';

export interface QueueEvents {
  /** The driver wants to hear of a buffer given back. */
  interrupt(): void;
  /** The driver has broken a rule. Nothing more comes out of the queue. */
  broken(reason: string): void;
}

/** A queue as a device sees it: buffers come out, are worked on in any order, and go back. */
export class Virtqueue {
  readonly #ring: Ring;
  readonly #size: number;
  readonly #events: QueueEvents;
  /** Taken and not given back, in order. */
  readonly #inFlight = new Set<DescriptorChain>();
  #broken = false;

  constructor(ring: Ring, size: number, events: QueueEvents) {
    this.#ring = ring;
    this.#size = size;
    this.#events = events;
  }

  get inFlight(): readonly DescriptorChain[] {
    return [...this.#inFlight];
  }

  pop(): DescriptorChain | undefined {
    if (this.#broken) return undefined;
    try {
      const chain = this.#ring.pop();
      if (chain === undefined) return undefined;
      // A driver that offers what it has not got back would fill the host's memory with requests.
      if (this.#inFlight.size >= this.#size) throw new QueueError(`more than ${this.#size} buffers are under way`);
      this.#inFlight.add(chain);
      return chain;
    } catch (error) {
      if (!(error instanceof QueueError)) throw error;
      this.fail(error.message);
      return undefined;
    }
  }

  /** Gives a buffer back. Without effect for one that is not in flight, and once the queue is broken. */
  push(chain: DescriptorChain, written: number): void {
    this.pushAll([{ chain, written }]);
  }

  /** Gives several back, which belong together: the driver sees all or none. */
  pushAll(buffers: readonly UsedBuffer[]): void {
    const known = buffers.filter(({ chain }) => this.#inFlight.delete(chain));
    if (known.length === 0 || this.#broken) return;
    if (this.#ring.push(known)) this.#events.interrupt();
  }

  /** The device cannot make sense of a buffer. */
  fail(reason: string): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#events.broken(reason);
  }

  save(): Plain {
    return { ring: this.#ring.save(), broken: this.#broken, inFlight: this.inFlight.map((chain) => chain.save()) };
  }
  load(state: Plain, memory: GuestMemory): void {
    const fields = new StateFields('virtqueue', state, 1, 1);
    const broken = fields.boolean('broken');
    let chains: DescriptorChain[];
    try {
      chains = fields.list('inFlight', this.#size).map((chain) => DescriptorChain.load(memory, chain, this.#size));
    } catch (error) {
      if (error instanceof QueueError) throw new StateError(`virtqueue: ${error.message}`);
      throw error;
    }
    this.#ring.load(fields.nested('ring'));
    this.#broken = broken;
    for (const chain of chains) this.#inFlight.add(chain);
  }
}
