// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (Intel SDM 2B, 4.1): comparison of two strings of bytes or words.

import { CPL, SCRATCH } from "../isa/x86/state/layout.ts";
import { probeAligned, storeLinear8, wrapped } from "./memory.ts";

/** Element i of the string at `at`, sign-extended when the control says signed. */
function element(at: usize, i: i32, control: i32): i32 {
  switch (control & 3) {
    case 0: return load<u8>(at + i);
    case 1: return load<u16>(at + (i << 1));
    case 2: return load<i8>(at + i);
    default: return load<i16>(at + (i << 1));
  }
}

/** Elements before the first zero, all when there is none. */
function lengthOf(at: usize, control: i32, count: i32): i32 {
  let i = 0;
  while (i < count && element(at, i, control) != 0) i++;
  return i;
}

/** IntRes2 in bits 15:0; CF, ZF, SF, OF at their places in EFLAGS, 16 bits up. */
function compareStrings(first: usize, second: usize, firstLength: i32, secondLength: i32, control: i32): i32 {
  const count: i32 = (control & 1) != 0 ? 8 : 16;
  const all = (1 << count) - 1;
  let result = 0;
  for (let j = 0; j < count; j++) {
    let hit = false;
    switch ((control >> 2) & 3) {
      case 0: // equal any: element j is one of the set
        if (j < secondLength) {
          const value = element(second, j, control);
          for (let i = 0; i < firstLength; i++) if (element(first, i, control) == value) hit = true;
        }
        break;
      case 1: // ranges: pairs of bounds
        if (j < secondLength) {
          const value = element(second, j, control);
          for (let i = 0; i + 1 < firstLength; i += 2) {
            if (value >= element(first, i, control) && value <= element(first, i + 1, control)) hit = true;
          }
        }
        break;
      case 2: // equal each: both past their ends are equal (table 4-7)
        if (j < firstLength && j < secondLength) hit = element(first, j, control) == element(second, j, control);
        else hit = j >= firstLength && j >= secondLength;
        break;
      default: // equal ordered: the first string is found at j, as far as the register goes
        hit = true;
        for (let i = 0; i < firstLength && i + j < count; i++) {
          if (i + j >= secondLength || element(first, i, control) != element(second, i + j, control)) hit = false;
        }
    }
    if (hit) result |= 1 << j;
  }
  const polarity = (control >> 4) & 3;
  if (polarity == 1) result ^= all;
  else if (polarity == 3) result ^= (1 << secondLength) - 1;
  let flags = 0;
  if (result != 0) flags |= 1;
  if (secondLength < count) flags |= 0x40;
  if (firstLength < count) flags |= 0x80;
  if ((result & 1) != 0) flags |= 0x800;
  return result | (flags << 16);
}

function saturated(length: i64, count: i32): i32 {
  // The most negative length stays negative as a magnitude: it is beyond the register all the same.
  const magnitude = length < 0 ? -length : length;
  return <u64>magnitude > <u64>count ? count : <i32>magnitude;
}

/** PCMPESTRx: lengths from rAX and rDX, their magnitudes cut to the register's number of elements. */
export function compareStringsExplicit(cpu: usize, first: v128, second: v128, firstLength: i64, secondLength: i64, control: i32): i32 {
  const count: i32 = (control & 1) != 0 ? 8 : 16;
  v128.store(cpu, first, SCRATCH);
  v128.store(cpu, second, SCRATCH + 16);
  return compareStrings(cpu + SCRATCH, cpu + SCRATCH + 16, saturated(firstLength, count), saturated(secondLength, count), control);
}

/** PCMPISTRx: a zero element ends a string. */
export function compareStringsImplicit(cpu: usize, first: v128, second: v128, control: i32): i32 {
  const count: i32 = (control & 1) != 0 ? 8 : 16;
  v128.store(cpu, first, SCRATCH);
  v128.store(cpu, second, SCRATCH + 16);
  const a = cpu + SCRATCH;
  const b = cpu + SCRATCH + 16;
  return compareStrings(a, b, lengthOf(a, control, count), lengthOf(b, control, count), control);
}

/**
 * MASKMOVDQU, MASKMOVQ (`count` 16 or 8): bytes whose mask has bit 7 set. All of them are writable before the first is
 * written; faults are those of a store of all of them even when the mask is empty, which the manual leaves open (SDM 2B, MASKMOVDQU).
 */
export function storeMasked(cpu: usize, linear: i64, value: v128, mask: v128, count: i32): void {
  const bits = i8x16.bitmask(mask) & ((1 << count) - 1);
  if (!probeAligned(cpu, linear, count, 8, true)) return;
  v128.store(cpu, value, SCRATCH);
  for (let i = 0; i < count; i++) if ((bits & (1 << i)) != 0) storeLinear8(cpu, wrapped(cpu, linear + i), load<u8>(cpu + i, SCRATCH));
}
