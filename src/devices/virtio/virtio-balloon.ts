import type { Plain } from '../../base/plain.ts';
import type { ScatterList } from '../../memory/scatter-list.ts';
import { StateFields } from '../state-fields.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';

// Memory balloon (virtio 1.2, section 5.5): the guest gives memory back.

const PAGE_BYTES = 4096;
const NUMBER_BYTES = 4;
/** Of one list; drivers send 256. */
const MOST_NUMBERS = 65536;
const INFLATE = 0;
const DEFLATE = 1;

const feature = (bit: number): bigint => 1n << BigInt(bit);
const DEFLATE_ON_OOM = feature(2);
const PAGE_REPORTING = feature(5);

/** Lets the host have the memory of a range of RAM, whose contents nobody needs. */
export type ReleaseMemory = (address: number, length: number) => void;

export class VirtioBalloon implements VirtioDevice {
  readonly name = 'virtio-balloon';
  readonly type = 5;
  readonly classCode = 0x00ff00;
  readonly features = DEFLATE_ON_OOM | PAGE_REPORTING;
  /**
   * Inflate, deflate, and free page reports: the fifth queue by the standard (5.5.2), the third by Linux, which counts only those that
   * both sides have.
   */
  readonly queueSizes = [128, 128, 128, 128, 128];
  /** struct virtio_balloon_config: pages that the host wants, and those that it has. */
  readonly config = new Uint8Array(16);
  readonly #release: ReleaseMemory;
  readonly #view = new DataView(this.config.buffer);
  #driver: DriverSide | undefined;

  constructor(release: ReleaseMemory) {
    this.#release = release;
  }

  /** How much of its memory the guest is asked to give back, in bytes. */
  get target(): number {
    return this.#view.getUint32(0, true) * PAGE_BYTES;
  }
  set target(bytes: number) {
    this.#view.setUint32(0, Math.floor(bytes / PAGE_BYTES), true);
    this.#driver?.configChanged();
  }
  /** How much it says that it has given back, in bytes. */
  get actual(): number {
    return this.#view.getUint32(4, true) * PAGE_BYTES;
  }

  /** Only the pages that it has given back are the driver's to write. */
  writeConfig(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) if (offset + i >= 4 && offset + i < 8) this.config[offset + i] = value >>> (8 * i);
  }

  start(driver: DriverSide): void {
    this.#driver = driver;
  }
  stop(): void {
    this.#driver = undefined;
  }

  notified(index: number): void {
    const queue = this.#driver?.queues[index];
    for (let chain = queue?.pop(); chain !== undefined; chain = queue!.pop()) {
      if (index === INFLATE) this.#inflate(chain.readable);
      else if (index !== DEFLATE) this.#report(chain.writable);
      queue!.push(chain, 0);
    }
  }

  /** A list of page numbers: neighbours go together. */
  #inflate(list: ScatterList): void {
    const bytes = new Uint8Array(Math.min(list.bytes, MOST_NUMBERS * NUMBER_BYTES));
    const view = new DataView(bytes.buffer);
    const count = Math.floor(list.read(0, bytes) / NUMBER_BYTES);
    for (let i = 0; i < count;) {
      const first = view.getUint32(i * NUMBER_BYTES, true);
      let pages = 1;
      while (i + pages < count && view.getUint32((i + pages) * NUMBER_BYTES, true) === first + pages) pages++;
      this.#release(first * PAGE_BYTES, pages * PAGE_BYTES);
      i += pages;
    }
  }

  /** The buffers themselves are free pages, and stay so until they are given back to the driver. */
  #report({ pieces }: ScatterList): void {
    for (let i = 0; i < pieces.length; i += 2) this.#release(pieces[i]!, pieces[i + 1]!);
  }

  save(): Plain {
    return { config: this.config.slice(0, 8) };
  }
  load(state: Plain): void {
    this.config.set(new StateFields(this.name, state, 1, 1).exactBytes('config', 8));
  }
}
