import { crc32 } from '../../../base/crc32.ts';
import { MAC_BYTES, isBroadcast, isFor, isGroup } from '../network-card.ts';
import { IDR, MAR, RCR_ALL_UNICAST, RCR_BROADCAST, RCR_MULTICAST, RCR_OWN } from './registers.ts';

/** Why a frame came in, as the header in front of it says; shifted, also as a C+'s descriptor does. */
export const FOR_GROUP = 0x8000;
export const FOR_CARD = 0x4000;
export const FOR_ALL = 0x2000;

/** Which of these the frame is; undefined: it does not come in. `registers` has addresses and hashes. */
export function admission(frame: Uint8Array, accepted: number, registers: Uint8Array): number | undefined {
  if (isBroadcast(frame)) return (accepted & RCR_BROADCAST) !== 0 ? FOR_ALL : undefined;
  if (isGroup(frame)) return (accepted & RCR_MULTICAST) !== 0 && isHashed(frame, registers) ? FOR_GROUP : undefined;
  if (isFor(frame, registers.subarray(IDR, IDR + MAC_BYTES))) return (accepted & (RCR_OWN | RCR_ALL_UNICAST)) !== 0 ? FOR_CARD : undefined;
  return (accepted & RCR_ALL_UNICAST) !== 0 ? 0 : undefined;
}

/** The six bits that the check sequence's register shifts out first choose one of MAR's 64. */
function isHashed(frame: Uint8Array, registers: Uint8Array): boolean {
  const register = ~crc32(frame.subarray(0, MAC_BYTES));
  let index = 0;
  for (let bit = 0; bit < 6; bit++) index = (index << 1) | ((register >>> bit) & 1);
  return ((registers[MAR + (index >>> 3)]! >>> (index & 7)) & 1) !== 0;
}
