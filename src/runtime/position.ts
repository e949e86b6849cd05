// Where the guest stands while a routine runs for the instruction at RECORD.

import { IP_BASE, MODE, MODE_CODE64, MODE_CODE_MASK, RECORD } from "../isa/x86/state/layout.ts";
import { REC_LENGTH, REC_PAGE_OFFSET } from "../isa/x86/decode/record.ts";

export function currentIp(cpu: usize): u64 {
  const rip = load<u64>(cpu, IP_BASE) + load<u16>(load<u32>(cpu, RECORD), REC_PAGE_OFFSET);
  return (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64 ? rip : rip & 0xffffffff;
}

/** RIP of the instruction behind it. */
export function nextIp(cpu: usize): u64 {
  const rip = currentIp(cpu) + load<u8>(load<u32>(cpu, RECORD), REC_LENGTH);
  return (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64 ? rip : rip & 0xffffffff;
}
