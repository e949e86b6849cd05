import type { AccessSize } from '../base/addresses.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';

interface Mapping {
  readonly first: number;
  readonly end: number;
  readonly block: RegisterBlock;
}

/** Register blocks by address: sorted, disjoint, found by binary search with the last hit first. */
export class BlockMap {
  readonly #mappings: Mapping[] = [];
  /** What would overlap, until its place is free. */
  #waiting: { readonly first: number; readonly block: RegisterBlock }[] = [];
  #last: Mapping | undefined;

  /** Throws on an overlap: two devices at one address are a mistake in the wiring. */
  map(first: number, block: RegisterBlock): void {
    const end = first + block.length;
    const other = this.#overlapping(first, block);
    if (other !== undefined) throw new Error(`${block.name} at 0x${first.toString(16)} overlaps ${other.block.name} at 0x${other.first.toString(16)}`);
    this.#mappings.push({ first, end, block });
    this.#mappings.sort((a, b) => a.first - b.first);
  }

  /** Maps a block where the guest wants it: in a place that is taken it stays silent until that is free. */
  mapMovable(first: number, block: RegisterBlock): void {
    if (this.#overlapping(first, block) === undefined) this.map(first, block);
    else this.#waiting.push({ first, block });
  }

  #overlapping(first: number, block: RegisterBlock): Mapping | undefined {
    return this.#mappings.find((mapping) => first < mapping.end && mapping.first < first + block.length);
  }

  unmap(block: RegisterBlock): void {
    this.#waiting = this.#waiting.filter((entry) => entry.block !== block);
    const index = this.#mappings.findIndex((mapping) => mapping.block === block);
    if (index < 0) return;
    this.#mappings.splice(index, 1);
    this.#last = undefined;
    for (const entry of this.#waiting.splice(0)) this.mapMovable(entry.first, entry.block);
  }

  read(address: number, size: AccessSize): number {
    const mapping = this.#find(address);
    if (mapping === undefined || address + size > mapping.end) return this.#readBytes(address, size);
    return mapping.block.read(address - mapping.first, size) >>> 0;
  }

  write(address: number, size: AccessSize, value: number): void {
    const mapping = this.#find(address);
    if (mapping !== undefined && address + size <= mapping.end) mapping.block.write(address - mapping.first, size, value >>> 0);
    else if (size > 1) for (let i = 0; i < size; i++) this.write(address + i, 1, (value >>> (8 * i)) & 0xff);
  }

  /** An access that no single block covers: byte by byte, all ones where nobody answers. */
  #readBytes(address: number, size: AccessSize): number {
    if (size === 1) return 0xff;
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.read(address + i, 1) << (8 * i);
    return value >>> 0;
  }

  #find(address: number): Mapping | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.first && address < last.end) return last;
    let low = 0;
    let high = this.#mappings.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const mapping = this.#mappings[middle]!;
      if (address < mapping.first) high = middle - 1;
      else if (address >= mapping.end) low = middle + 1;
      else {
        this.#last = mapping;
        return mapping;
      }
    }
    return undefined;
  }
}
