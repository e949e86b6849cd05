import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { ScatterList } from '../../../memory/scatter-list.ts';
import { STATUS } from './nvme-command.ts';

// Physical region pages (NVM Express 1.4, section 4.3), of 4 KiB.

export const PAGE = 4096;
const ENTRY_BYTES = 8;

/** The memory of a transfer; a status where the entries cannot be. `bytes` is bounded by the caller. */
export function readPrps(memory: GuestMemory, prp1: number, prp2: number, bytes: number): ScatterList | number {
  if (prp1 % 4 !== 0) return STATUS.invalidPrpOffset;
  const pieces: number[] = [];
  let left = bytes;
  const add = (address: number): void => {
    const length = Math.min(left, PAGE - (address % PAGE));
    const last = pieces.length - 2;
    // Neighbours become one piece: fewer, longer copies.
    if (last >= 0 && pieces[last]! + pieces[last + 1]! === address) pieces[last + 1]! += length;
    else pieces.push(address, length);
    left -= length;
  };
  add(prp1);
  if (left > PAGE) {
    const status = walkList(memory, prp2, () => left, add);
    if (status !== STATUS.success) return status;
  } else if (left > 0) {
    if (prp2 % PAGE !== 0) return STATUS.invalidPrpOffset;
    add(prp2);
  }
  return ScatterList.check(memory, pieces) ?? STATUS.dataTransferError;
}

/** A list fills its page up to the end; when it is not done there, the last entry points to the next page. */
function walkList(memory: GuestMemory, start: number, left: () => number, add: (address: number) => void): number {
  let at = start;
  if (at % ENTRY_BYTES !== 0) return STATUS.invalidPrpOffset;
  while (left() > 0) {
    if (!memory.contains(at, ENTRY_BYTES)) return STATUS.dataTransferError;
    const entry = memory.readU32(at) + memory.readU32(at + 4) * 2 ** 32;
    if (entry % PAGE !== 0) return STATUS.invalidPrpOffset;
    if (at % PAGE === PAGE - ENTRY_BYTES && left() > PAGE) {
      at = entry;
      if (!memory.contains(at, ENTRY_BYTES)) return STATUS.dataTransferError;
      // The page that an entry at a page's end leads to begins with an entry for data, so each round adds some.
      continue;
    }
    add(entry);
    at += ENTRY_BYTES;
  }
  return STATUS.success;
}
