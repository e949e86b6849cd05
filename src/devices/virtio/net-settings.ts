import type { Plain } from '../../base/plain.ts';
import type { ScatterList } from '../../memory/scatter-list.ts';
import { MAC_BYTES } from '../network/network-card.ts';
import type { MacAddress } from '../network/network-card.ts';
import { StateFields } from '../state-fields.ts';
import { NetFilter } from './net-filter.ts';

// What a driver says over the control queue (virtio 1.2, section 5.1.6.5).

const CLASS_RX = 0;
const RX_PROMISCUOUS = 0;
const RX_ALL_MULTICAST = 1;
const CLASS_MAC = 1;
const MAC_TABLE = 0;
const MAC_ADDRESS = 1;
const CLASS_VLAN = 2;
const VLAN_ADD = 0;
const VLAN_REMOVE = 1;
const CLASS_PAIRS = 4;
const PAIRS_SET = 0;
const CLASS_OFFLOADS = 5;
const OFFLOADS_SET = 0;
/** Of one table of addresses; the longest command has two. */
const MOST_TABLE = 4096;
const COUNT_BYTES = 4;

export interface NetLimits {
  readonly pairs: number;
  /** Offloads that may be turned on and off. */
  readonly offloads: bigint;
}

export class NetSettings {
  readonly filter = new NetFilter();
  readonly #permanent: MacAddress;
  readonly #limits: NetLimits;
  #address: MacAddress;
  #pairs = 1;
  #offloads = 0n;

  constructor(permanent: MacAddress, limits: NetLimits) {
    this.#permanent = permanent;
    this.#limits = limits;
    this.#address = permanent;
  }

  get address(): MacAddress {
    return this.#address;
  }
  /** Pairs of queues in use. */
  get pairs(): number {
    return this.#pairs;
  }
  get offloads(): bigint {
    return this.#offloads;
  }

  /** A driver begins. */
  reset(offloads: bigint, filtersVlans: boolean): void {
    this.#address = this.#permanent;
    this.#pairs = 1;
    this.#offloads = offloads & this.#limits.offloads;
    this.filter.reset(filtersVlans);
  }

  /** Class, command, and what belongs to it. False: there is no such command, or it makes no sense. */
  execute(command: ScatterList, agreed: bigint): boolean {
    const bytes = new Uint8Array(Math.min(command.bytes, 2 + 2 * MOST_TABLE));
    command.read(0, bytes);
    if (bytes.length < 2) return false;
    const [group, code] = bytes;
    const data = bytes.subarray(2);
    switch (group) {
      case CLASS_RX: return this.#receiveMode(code!, data);
      case CLASS_MAC: return code === MAC_TABLE ? this.#setTables(data) : code === MAC_ADDRESS && this.#setAddress(data);
      case CLASS_VLAN: return data.length === 2 && (code === VLAN_ADD || code === VLAN_REMOVE) && this.filter.setVlan(data[0]! | (data[1]! << 8), code === VLAN_ADD);
      case CLASS_PAIRS: return code === PAIRS_SET && data.length === 2 && this.#setPairs(data[0]! | (data[1]! << 8));
      case CLASS_OFFLOADS: return code === OFFLOADS_SET && data.length === 8 && this.#setOffloads(new DataView(data.slice().buffer).getBigUint64(0, true), agreed);
      default: return false;
    }
  }

  #receiveMode(code: number, data: Uint8Array): boolean {
    if (data.length !== 1) return false;
    if (code === RX_PROMISCUOUS) this.filter.promiscuous = data[0] !== 0;
    else if (code === RX_ALL_MULTICAST) this.filter.allMulticast = data[0] !== 0;
    else return false;
    return true;
  }

  /** Two tables, unicast and multicast, each a count and so many addresses. */
  #setTables(data: Uint8Array): boolean {
    const tables: MacAddress[][] = [];
    let at = 0;
    for (let i = 0; i < 2; i++) {
      if (at + COUNT_BYTES > data.length) return false;
      const count = new DataView(data.buffer, data.byteOffset + at, COUNT_BYTES).getUint32(0, true);
      at += COUNT_BYTES;
      if (count * MAC_BYTES > data.length - at) return false;
      const from = at;
      tables.push(Array.from({ length: count }, (_, j) => data.slice(from + j * MAC_BYTES, from + (j + 1) * MAC_BYTES)));
      at += count * MAC_BYTES;
    }
    if (at !== data.length) return false;
    this.filter.setAddresses(tables[0]!, tables[1]!);
    return true;
  }

  #setAddress(data: Uint8Array): boolean {
    if (data.length !== MAC_BYTES) return false;
    this.#address = data.slice();
    return true;
  }

  #setPairs(pairs: number): boolean {
    if (pairs < 1 || pairs > this.#limits.pairs) return false;
    this.#pairs = pairs;
    return true;
  }

  #setOffloads(offloads: bigint, agreed: bigint): boolean {
    if ((offloads & ~(agreed & this.#limits.offloads)) !== 0n) return false;
    this.#offloads = offloads;
    return true;
  }

  save(): Plain {
    return { address: this.#address.slice(), morePairs: this.#pairs - 1, offloads: this.#offloads, filter: this.filter.save() };
  }

  load(state: Plain): void {
    const fields = new StateFields('virtio-net', state, 1, 1);
    const [address, more, offloads] = [fields.exactBytes('address', MAC_BYTES), fields.integer('morePairs', this.#limits.pairs - 1), fields.bits('offloads', this.#limits.offloads)];
    this.filter.load(fields.nested('filter'));
    this.#address = address;
    this.#pairs = 1 + more;
    this.#offloads = offloads;
  }
}
