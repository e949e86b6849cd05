import type { Plain } from '../../../base/plain.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { StateFields } from '../../state-fields.ts';
import { FOR_ALL, FOR_CARD, FOR_GROUP } from './receive-filter.ts';

const DUMP_BYTES = 64;

/** The counters that a C+ dumps into memory. Here no frame is ever damaged, collides or is late. */
export class Tally {
  #sent = 0;
  #received = 0;
  #own = 0;
  #broadcast = 0;
  #group = 0;

  countSent(): void {
    this.#sent++;
  }
  countReceived(why: number): void {
    this.#received++;
    if (why === FOR_CARD) this.#own++;
    else if (why === FOR_ALL) this.#broadcast++;
    else if (why === FOR_GROUP) this.#group++;
  }

  dump(memory: GuestMemory, address: number): void {
    const bytes = new Uint8Array(DUMP_BYTES);
    const view = new DataView(bytes.buffer);
    for (const [at, value] of [[0, this.#sent], [8, this.#received], [40, this.#own], [48, this.#broadcast]] as const) view.setBigUint64(at, BigInt(value), true);
    view.setUint32(56, this.#group, true);
    memory.write(address, bytes);
  }

  reset(): void {
    this.#sent = this.#received = this.#own = this.#broadcast = this.#group = 0;
  }
  save(): Plain {
    return { sent: this.#sent, received: this.#received, own: this.#own, broadcast: this.#broadcast, group: this.#group };
  }
  load(state: Plain): void {
    const fields = new StateFields('rtl8139 counters', state, 1, 1);
    const count = (key: string): number => fields.integer(key, Number.MAX_SAFE_INTEGER);
    [this.#sent, this.#received, this.#own, this.#broadcast, this.#group] = [count('sent'), count('received'), count('own'), count('broadcast'), count('group')];
  }
}
