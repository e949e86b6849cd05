import type { Plain } from '../../base/plain.ts';
import { MAC_BYTES, isBroadcast, isFor, isGroup } from '../network/network-card.ts';
import type { MacAddress } from '../network/network-card.ts';
import { StateFields } from '../state-fields.ts';

/** Of the table of addresses; a driver that wants more gets all frames of that kind. */
const MOST_ADDRESSES = 64;
const VLANS = 4096;
const ETHERNET_TYPE = 12;
const TYPE_VLAN = 0x8100;

/** Which frames a driver wants (virtio 1.2, sections 5.1.6.5.1 to 5.1.6.5.3): every one, until it has said something. */
export class NetFilter {
  #promiscuous = true;
  #allMulticast = false;
  #unicast: MacAddress[] = [];
  #multicast: MacAddress[] = [];
  #manyUnicast = false;
  #manyMulticast = false;
  #vlans: Uint8Array | undefined;

  reset(filtersVlans = false): void {
    this.#promiscuous = true;
    this.#allMulticast = this.#manyUnicast = this.#manyMulticast = false;
    this.#unicast = [];
    this.#multicast = [];
    this.#vlans = filtersVlans ? new Uint8Array(VLANS / 8) : undefined;
  }

  set promiscuous(on: boolean) {
    this.#promiscuous = on;
  }
  set allMulticast(on: boolean) {
    this.#allMulticast = on;
  }
  setAddresses(unicast: readonly MacAddress[], multicast: readonly MacAddress[]): void {
    this.#manyUnicast = unicast.length > MOST_ADDRESSES;
    this.#manyMulticast = multicast.length > MOST_ADDRESSES;
    this.#unicast = this.#manyUnicast ? [] : [...unicast];
    this.#multicast = this.#manyMulticast ? [] : [...multicast];
  }
  /** False for what is no VLAN. */
  setVlan(vlan: number, wanted: boolean): boolean {
    if (vlan >= VLANS || this.#vlans === undefined) return false;
    const bit = 1 << (vlan & 7);
    if (wanted) this.#vlans[vlan >>> 3]! |= bit;
    else this.#vlans[vlan >>> 3]! &= ~bit;
    return true;
  }

  accepts(frame: Uint8Array, own: MacAddress): boolean {
    if (this.#promiscuous) return true;
    if (this.#vlans !== undefined && ((frame[ETHERNET_TYPE]! << 8) | frame[ETHERNET_TYPE + 1]!) === TYPE_VLAN) {
      const vlan = ((frame[ETHERNET_TYPE + 2]! & 15) << 8) | frame[ETHERNET_TYPE + 3]!;
      if ((this.#vlans[vlan >>> 3]! & (1 << (vlan & 7))) === 0) return false;
    }
    if (isBroadcast(frame)) return true;
    if (isGroup(frame)) return this.#allMulticast || this.#manyMulticast || this.#multicast.some((address) => isFor(frame, address));
    return isFor(frame, own) || this.#manyUnicast || this.#unicast.some((address) => isFor(frame, address));
  }

  save(): Plain {
    return {
      promiscuous: this.#promiscuous, allMulticast: this.#allMulticast, manyUnicast: this.#manyUnicast, manyMulticast: this.#manyMulticast,
      unicast: this.#unicast.map((address) => address.slice()), multicast: this.#multicast.map((address) => address.slice()), vlans: this.#vlans?.slice() ?? null,
    };
  }

  load(state: Plain): void {
    const fields = new StateFields('network filter', state, 1, 1);
    const flag = (key: string): boolean => fields.boolean(key);
    const addresses = (key: string): MacAddress[] => fields.list(key, MOST_ADDRESSES).map((address) => new StateFields('network filter', { address }, 1, 1).exactBytes('address', MAC_BYTES));
    const loaded = [flag('promiscuous'), flag('allMulticast'), flag('manyUnicast'), flag('manyMulticast')] as const;
    const lists = [addresses('unicast'), addresses('multicast')] as const;
    this.#vlans = fields.nested('vlans') === null ? undefined : fields.exactBytes('vlans', VLANS / 8);
    [this.#promiscuous, this.#allMulticast, this.#manyUnicast, this.#manyMulticast] = loaded;
    [this.#unicast, this.#multicast] = lists;
  }
}
