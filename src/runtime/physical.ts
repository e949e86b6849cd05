// Physical to host addresses by the table of memory regions (memory/layout.ts), and what a store into RAM entails.

import {
  MACHINE_THREADS, PAGE_FLAGS, PAGE_FLAG_CODE, PAGE_FLAG_COPIED, PAGE_FLAG_TRACK, RAM_BASE, REGIONS, REGION_BYTES, REGION_FIRST_PAGE, REGION_HOST, REGION_KIND, REGION_KIND_RAM, REGION_PAGES,
} from "../memory/layout.ts";
import { codeWritten } from "./host.ts";
import { dropCopy } from "./shadow.ts";

/** REGION_KIND_* of what hostOfPhysical found last, 0 for the bus. */
export let regionKind: u32 = 0;
/** Region that matched last: tried first. */
let lastRegion: u32 = 0;

/** Host address of a physical one; 0 where neither RAM nor ROM is: the bus answers there. */
export function hostOfPhysical(physical: u64): u32 {
  regionKind = 0;
  if (physical >> 44 != 0) return 0;
  const page = <u32>(physical >> 12);
  const count = load<u32>(REGIONS);
  let i = lastRegion < count ? lastRegion : 0;
  for (let tried: u32 = 0; tried < count; tried++) {
    const region: usize = REGIONS + 16 + i * REGION_BYTES;
    const index = page - load<u32>(region, REGION_FIRST_PAGE);
    if (index < load<u32>(region, REGION_PAGES)) {
      lastRegion = i;
      regionKind = load<u32>(region, REGION_KIND);
      return load<u32>(region, REGION_HOST) + (index << 12) + (<u32>physical & 0xfff);
    }
    if (++i == count) i = 0;
  }
  return 0;
}

// Page-table entries. Where no memory is, all bits read as ones.
export function loadPhysical32(physical: u64): u32 {
  const host: usize = hostOfPhysical(physical);
  return host == 0 ? 0xffffffff : load<u32>(host);
}
export function loadPhysical64(physical: u64): u64 {
  const host: usize = hostOfPhysical(physical);
  return host == 0 ? u64.MAX_VALUE : load<u64>(host);
}

/** Sets bits in a page-table entry unless another processor changed it meanwhile. */
export function markEntry(physical: u64, entry: u64, bits: u64, wide: bool): void {
  const host: usize = hostOfPhysical(physical);
  if (regionKind != REGION_KIND_RAM) return;
  if (wide) atomic.cmpxchg<u64>(host, entry, entry | bits);
  else atomic.cmpxchg<u32>(host, <u32>entry, <u32>(entry | bits));
  afterWrite(host, wide ? 8 : 4);
}

/** What bytes of one RAM page being written entails: decoded code is dropped, a tracked page is marked as touched. */
export function afterWrite(host: usize, bytes: u32): void {
  const page = (<u32>host - RAM_BASE) >> 12;
  // Another vCPU that decodes the page sets its flag before it reads the bytes: either it sees this store or it is seen here,
  // as long as the store is not still under way when the flag is read.
  const flags = load<u32>(MACHINE_THREADS) == 0 ? load<u8>(PAGE_FLAGS + page) : atomic.or<u8>(PAGE_FLAGS + page, 0);
  if (flags == 0) return;
  // A tracked page whose flag is gone has been written since tracking began.
  if ((flags & PAGE_FLAG_TRACK) != 0) atomic.and<u8>(PAGE_FLAGS + page, ~PAGE_FLAG_TRACK);
  if ((flags & PAGE_FLAG_COPIED) != 0) dropCopy(page);
  if ((flags & (PAGE_FLAG_CODE | PAGE_FLAG_COPIED)) != 0) codeWritten(page, <u32>host & 0xfff, bytes);
}
