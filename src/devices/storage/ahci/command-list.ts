import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { ScatterList } from '../../../memory/scatter-list.ts';
import type { DataMemory } from '../ata/ata-disk.ts';
import { COMMAND_FIS_BYTES } from './fis.ts';

// Command list and command tables (Serial ATA AHCI 1.3.1, section 4.2).

export const SLOTS = 32;
const HEADER_BYTES = 32;
const REGION_BYTES = 16;
const REGIONS = 0x80;
const TRANSFERRED = 4;

/** A command as a slot describes it. */
export interface SlotCommand {
  readonly fis: Uint8Array;
  /** Memory for so many bytes; undefined when there is less, or it does not lie in RAM. Regions behind it do not matter. */
  readonly data: DataMemory;
}

/** Undefined when the slot's table does not lie in memory. */
export function readSlot(memory: GuestMemory, list: number, slot: number): SlotCommand | undefined {
  const header = list + slot * HEADER_BYTES;
  if (!memory.contains(header, HEADER_BYTES)) return undefined;
  const regions = memory.readU32(header) >>> 16;
  const table = (memory.readU32(header + 8) & ~0x7f) >>> 0;
  const at = table + memory.readU32(header + 12) * 2 ** 32;
  if (!memory.contains(at, REGIONS + regions * REGION_BYTES)) return undefined;
  const fis = new Uint8Array(COMMAND_FIS_BYTES);
  memory.read(at, fis);
  return { fis, data: (bytes) => readRegions(memory, at + REGIONS, regions, bytes) };
}

function readRegions(memory: GuestMemory, table: number, count: number, wanted: number): ScatterList | undefined {
  const pieces: number[] = [];
  let bytes = 0;
  for (let i = 0; i < count && bytes < wanted; i++) {
    const at = table + i * REGION_BYTES;
    const address = ((memory.readU32(at) & ~1) >>> 0) + memory.readU32(at + 4) * 2 ** 32;
    const length = Math.min((memory.readU32(at + 12) & 0x3fffff) + 1, wanted - bytes);
    pieces.push(address, length);
    bytes += length;
  }
  return bytes === wanted ? ScatterList.check(memory, pieces) : undefined;
}

/** Tells how many bytes a command that was not queued has transferred. */
export function writeTransferred(memory: GuestMemory, list: number, slot: number, bytes: number): void {
  memory.writeU32(list + slot * HEADER_BYTES + TRANSFERRED, bytes);
}
