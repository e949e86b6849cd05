import type { Plain } from '../../../base/plain.ts';
import { StateFields } from '../../state-fields.ts';
import { STATUS } from './nvme-command.ts';
import type { Answer } from './nvme-command.ts';

// Features (NVM Express 1.4, section 5.21.1).

const WRITE_CACHE = 0x06;
const QUEUES = 0x07;
const SAVE = 0x80000000;
const SELECT_SUPPORTED = 3;
const CHANGEABLE = 4;

/** Default values, and the bits of each that a guest can change. */
const FEATURES: ReadonlyMap<number, { readonly initial: number; readonly writable: number }> = new Map([
  [0x01, { initial: 0x07, writable: 0xffffff07 }], // arbitration
  [0x02, { initial: 0, writable: 0x1f }], // power state
  [0x04, { initial: 343, writable: 0xffff }], // temperature threshold
  [0x05, { initial: 0, writable: 0x1ffff }], // error recovery
  [WRITE_CACHE, { initial: 1, writable: 1 }],
  [QUEUES, { initial: 0, writable: 0 }],
  [0x08, { initial: 0, writable: 0xffff }], // interrupt coalescing
  [0x09, { initial: 0, writable: 0x1ffff }], // interrupt vector
  [0x0a, { initial: 0, writable: 1 }], // write atomicity
  [0x0b, { initial: 0, writable: 0xffff }], // asynchronous events
]);

export class NvmeFeatures {
  readonly #values = new Map<number, number>();
  /** How many pairs of I/O queues there can be. */
  readonly #queuePairs: number;

  constructor(queuePairs: number) {
    this.#queuePairs = queuePairs;
  }

  reset(): void {
    this.#values.clear();
  }
  get writeCache(): boolean {
    return this.#value(WRITE_CACHE) === 1;
  }

  #value(id: number): number {
    // Both counts are less one.
    if (id === QUEUES) return (this.#queuePairs - 1) * 0x10001;
    return this.#values.get(id) ?? FEATURES.get(id)!.initial;
  }

  get(word10: number): Answer {
    const id = word10 & 0xff;
    const select = (word10 >>> 8) & 7;
    const feature = FEATURES.get(id);
    if (feature === undefined || select > SELECT_SUPPORTED) return { status: STATUS.invalidField };
    if (select === SELECT_SUPPORTED) return { status: STATUS.success, result: CHANGEABLE };
    // Nothing is saved, so what is saved is the default.
    return { status: STATUS.success, result: select === 0 || id === QUEUES ? this.#value(id) : feature.initial };
  }

  set(word10: number, word11: number): Answer {
    const id = word10 & 0xff;
    const feature = FEATURES.get(id);
    if (feature === undefined) return { status: STATUS.invalidField };
    if ((word10 & SAVE) !== 0) return { status: STATUS.notSaveable };
    if (id === QUEUES) {
      // 5.21.1.7: FFFFh asks for none less than 65536. What is allocated may be more or less than asked for.
      if ((word11 & 0xffff) === 0xffff || word11 >>> 16 === 0xffff) return { status: STATUS.invalidField };
      return { status: STATUS.success, result: this.#value(QUEUES) };
    }
    this.#values.set(id, (word11 & feature.writable) >>> 0);
    return { status: STATUS.success };
  }

  save(): Plain {
    return [...this.#values].sort(([a], [b]) => a - b).flat();
  }
  load(state: Plain): void {
    const numbers = new StateFields('nvme', { state }, 1, 1).integers('state', 2 * FEATURES.size, 0xffffffff);
    this.#values.clear();
    for (let i = 0; i + 1 < numbers.length; i += 2) if (FEATURES.has(numbers[i]!)) this.#values.set(numbers[i]!, numbers[i + 1]!);
  }
}
