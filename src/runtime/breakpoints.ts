// Data and I/O breakpoints of DR0 to DR3 (Intel SDM 3B, 17.2).

import { BREAKPOINTS_ARMED, CR4, DR, DR7, PENDING_DEBUG } from "../isa/x86/state/layout.ts";
import { updateTlbBase } from "./paging.ts";

const CR4_DE: u64 = 8;

/** R/W field of breakpoint n: 0 execution, 1 data writes, 2 I/O, 3 data reads and writes. */
function kindOf(dr7: u64, n: u32): u32 {
  return <u32>(dr7 >> (16 + n * 4)) & 3;
}

function isEnabled(dr7: u64, n: u32): bool {
  return (dr7 >> (n * 2) & 3) != 0;
}

/** BREAKPOINTS_ARMED from DR7; due whenever DR7 changed. */
export function updateBreakpoints(cpu: usize): void {
  const dr7 = load<u64>(cpu, DR7);
  let armed: u32 = 0;
  for (let n: u32 = 0; n < 4; n++) {
    if (isEnabled(dr7, n) && (kindOf(dr7, n) & 1) != 0) armed |= 1 << n;
  }
  store<u32>(cpu, armed, BREAKPOINTS_ARMED);
  updateTlbBase(cpu);
}

/** The address of breakpoint n is aligned to its length by the processor. */
function overlaps(cpu: usize, dr7: u64, n: u32, address: u64, bytes: u32): bool {
  const field = <u32>(dr7 >> (18 + n * 4)) & 3;
  const length: u64 = field == 2 ? 8 : field + 1;
  const first = load<u64>(cpu + n * 8, DR) & ~(length - 1);
  return address < first + length && first < address + bytes;
}

/** The same for a port access: R/W field 2, under CR4.DE. */
export function notePort(cpu: usize, port: u32, bytes: u32): void {
  const dr7 = load<u64>(cpu, DR7);
  if ((dr7 & 0xff) == 0 || (load<u64>(cpu, CR4) & CR4_DE) == 0) return;
  for (let n: u32 = 0; n < 4; n++) {
    if (isEnabled(dr7, n) && kindOf(dr7, n) == 2 && overlaps(cpu, dr7, n, port, bytes)) store<u32>(cpu, load<u32>(cpu, PENDING_DEBUG) | (1 << n), PENDING_DEBUG);
  }
}

/** Records in PENDING_DEBUG which armed breakpoints an access of user or kernel code hits. */
export function noteAccess(cpu: usize, linear: u64, bytes: u32, write: bool): void {
  const dr7 = load<u64>(cpu, DR7);
  for (let n: u32 = 0; n < 4; n++) {
    const kind = kindOf(dr7, n);
    if (!isEnabled(dr7, n) || (kind & 1) == 0 || (kind == 1 && !write)) continue;
    if (overlaps(cpu, dr7, n, linear, bytes)) store<u32>(cpu, load<u32>(cpu, PENDING_DEBUG) | (1 << n), PENDING_DEBUG);
  }
}
