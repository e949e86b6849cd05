// Data breakpoints of DR0 to DR3 (Intel SDM 3B, 17.2).

import { BREAKPOINTS_ARMED, DR, DR7, PENDING_DEBUG } from "../isa/x86/state/layout.ts";
import { updateTlbBase } from "./paging.ts";

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

/** Records in PENDING_DEBUG which armed breakpoints an access of user or kernel code hits. */
export function noteAccess(cpu: usize, linear: u64, bytes: u32, write: bool): void {
  const dr7 = load<u64>(cpu, DR7);
  for (let n: u32 = 0; n < 4; n++) {
    const kind = kindOf(dr7, n);
    if (!isEnabled(dr7, n) || (kind & 1) == 0 || (kind == 1 && !write)) continue;
    const field = <u32>(dr7 >> (18 + n * 4)) & 3;
    const length: u64 = field == 2 ? 8 : field + 1;
    // The address is aligned to the length by the processor.
    const first = load<u64>(cpu + n * 8, DR) & ~(length - 1);
    if (linear < first + length && first < linear + bytes) store<u32>(cpu, load<u32>(cpu, PENDING_DEBUG) | (1 << n), PENDING_DEBUG);
  }
}
