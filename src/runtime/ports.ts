// Port access and its permission (Intel SDM 1, chapter 19).

import { CPL, EFLAGS, FAULT_PENDING, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_TR } from "../isa/x86/state/layout.ts";
import { notePort } from "./breakpoints.ts";
import { raiseGeneralProtection } from "./faults.ts";
import { FLAG_IOPL } from "./flags.ts";
import { readPort, writePort } from "./host.ts";
import { loadSystem } from "./memory.ts";
import { isReal, isV86, segment } from "./segments.ts";

/** 0, or LEAVE_FAULT with #GP(0) when neither IOPL nor the I/O permission bitmap allows the access. */
export function checkPort(cpu: usize, port: i32, size: i32): i32 {
  if (isReal(cpu)) return 0;
  if (!isV86(cpu) && load<u32>(cpu, CPL) <= (load<u32>(cpu, EFLAGS) & FLAG_IOPL) >> 12) return 0;
  const tr = segment(cpu, SEG_TR);
  const limit = load<u32>(tr, SEG_LIMIT);
  const base = load<u64>(tr, SEG_BASE);
  if ((load<u32>(tr, SEG_ATTRIBUTES) & 13) != 9 || limit < 103) return raiseGeneralProtection(cpu, 0);
  const map = <u32>loadSystem(cpu, base + 102, 2);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  const at = map + (<u32>port >> 3);
  if (at + 1 > limit) return raiseGeneralProtection(cpu, 0);
  const bits = <u32>loadSystem(cpu, base + at, 2);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  const mask: u32 = ((1 << size) - 1) << (port & 7);
  return (bits & mask) != 0 ? raiseGeneralProtection(cpu, 0) : 0;
}

export function portIn(cpu: usize, port: i32, size: i32): i32 {
  if (checkPort(cpu, port & 0xffff, size) != 0) return 0;
  notePort(cpu, port & 0xffff, size);
  return readPort(port & 0xffff, size);
}

export function portOut(cpu: usize, port: i32, size: i32, value: i32): void {
  if (checkPort(cpu, port & 0xffff, size) != 0) return;
  notePort(cpu, port & 0xffff, size);
  writePort(port & 0xffff, size, value);
}
