import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { ScatterList } from '../../../memory/scatter-list.ts';
import type { Segment } from '../../../memory/scatter-list.ts';
import { COMMAND_FIS_BYTES } from './fis.ts';

// Command list and command tables (Serial ATA AHCI 1.3.1, section 4.2).

export const SLOTS = 32;
const HEADER_BYTES = 32;
const REGION_BYTES = 16;
const REGIONS = 0x80;
const TRANSFERRED = 4;
/** The longest transfer, 65536 sectors: regions behind it are not looked at. */
const MOST_BYTES = 65536 * 512;

/** A command as a slot describes it, its data checked to lie in RAM. */
export interface SlotCommand {
  readonly fis: Uint8Array;
  readonly data: ScatterList;
}

/** Undefined when the slot's table or data do not lie in memory. */
export function readSlot(memory: GuestMemory, list: number, slot: number): SlotCommand | undefined {
  const header = list + slot * HEADER_BYTES;
  if (!memory.contains(header, HEADER_BYTES)) return undefined;
  const regions = memory.readU32(header) >>> 16;
  const table = (memory.readU32(header + 8) & ~0x7f) >>> 0;
  const at = table + memory.readU32(header + 12) * 2 ** 32;
  if (!memory.contains(at, REGIONS + regions * REGION_BYTES)) return undefined;
  const fis = new Uint8Array(COMMAND_FIS_BYTES);
  memory.read(at, fis);
  const data = readRegions(memory, at + REGIONS, regions);
  return data === undefined ? undefined : { fis, data };
}

function readRegions(memory: GuestMemory, table: number, count: number): ScatterList | undefined {
  const segments: Segment[] = [];
  let bytes = 0;
  for (let i = 0; i < count && bytes < MOST_BYTES; i++) {
    const at = table + i * REGION_BYTES;
    const address = ((memory.readU32(at) & ~1) >>> 0) + memory.readU32(at + 4) * 2 ** 32;
    const length = (memory.readU32(at + 12) & 0x3fffff) + 1;
    segments.push({ address, length });
    bytes += length;
  }
  return ScatterList.check(memory, segments);
}

/** Tells how many bytes a command that was not queued has transferred. */
export function writeTransferred(memory: GuestMemory, list: number, slot: number, bytes: number): void {
  memory.writeU32(list + slot * HEADER_BYTES + TRANSFERRED, bytes);
}
