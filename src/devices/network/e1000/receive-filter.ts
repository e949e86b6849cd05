import { MAC_BYTES, isBroadcast, isGroup } from '../network-card.ts';
import { isTagged } from '../vlan-tag.ts';
import { ADDRESSES, MTA, RAH, RAL, RCTL, VET, VFTA } from './registers.ts';

// Which frames come in (8254x manual, sections 3.2.1 and 13.4.22, 13.5.1 to 13.5.3).

const UNICAST_ALL = 0x08;
const MULTICAST_ALL = 0x10;
const BROADCAST = 0x8000;
const VLAN_FILTER = 0x40000;
const ADDRESS_VALID = 0x80000000;

export type ReadRegister = (offset: number) => number;

export function isWanted(frame: Uint8Array, read: ReadRegister): boolean {
  const control = read(RCTL);
  if ((control & VLAN_FILTER) !== 0 && isTagged(frame, read(VET))) {
    const vlan = ((frame[14]! & 15) << 8) | frame[15]!;
    if (((read(VFTA + 4 * (vlan >>> 5)) >>> (vlan & 31)) & 1) === 0) return false;
  }
  if (isBroadcast(frame)) return (control & (BROADCAST | MULTICAST_ALL)) !== 0;
  if (isGroup(frame)) {
    if ((control & MULTICAST_ALL) !== 0) return true;
    const hash = ((frame[4]! | (frame[5]! << 8)) >>> [4, 3, 2, 0][(control >>> 12) & 3]!) & 0xfff;
    if (((read(MTA + 4 * (hash >>> 5)) >>> (hash & 31)) & 1) !== 0) return true;
  } else if ((control & UNICAST_ALL) !== 0) return true;
  for (let i = 0; i < ADDRESSES; i++) if (isAddress(frame, read(RAL + 8 * i), read(RAH + 8 * i))) return true;
  return false;
}

function isAddress(frame: Uint8Array, low: number, high: number): boolean {
  if ((high & ADDRESS_VALID) === 0) return false;
  for (let i = 0; i < MAC_BYTES; i++) if (frame[i] !== (((i < 4 ? low >>> (8 * i) : high >>> (8 * i - 32)) & 0xff))) return false;
  return true;
}
