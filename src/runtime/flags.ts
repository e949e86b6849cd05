// EFLAGS as one word, from and to the lazily kept status flags (isa/x86/state/layout.ts, FLAGS_RESULT).

import { EFLAGS, FLAGS_CARRY, FLAGS_RESULT } from "../isa/x86/state/layout.ts";

export const FLAG_CF: u32 = 1;
export const FLAG_ZF: u32 = 0x40;
export const FLAG_TF: u32 = 0x100;
export const FLAG_IF: u32 = 0x200;
export const FLAG_DF: u32 = 0x400;
export const FLAG_IOPL: u32 = 0x3000;
export const FLAG_NT: u32 = 0x4000;
export const FLAG_RF: u32 = 0x10000;
export const FLAG_VM: u32 = 0x20000;
export const FLAG_AC: u32 = 0x40000;
export const FLAG_VIF: u32 = 0x80000;
export const FLAG_VIP: u32 = 0x100000;
export const FLAG_ID: u32 = 0x200000;
export const STATUS_FLAGS: u32 = 0x8d5;

export function readFlags(cpu: usize): u32 {
  const result = load<u64>(cpu, FLAGS_RESULT);
  const carry = load<u64>(cpu, FLAGS_CARRY);
  let flags: u32 = <u32>(carry >> 63);
  flags |= <u32>(((carry >> 63) ^ (carry >> 62)) & 1) << 11;
  flags |= (<u32>carry & 8) << 1;
  if (result == 0) flags |= FLAG_ZF;
  flags |= <u32>(((result >> 63) ^ (carry >> 32)) & 1) << 7;
  const low = (<u32>result ^ (<u32>carry >> 8)) & 0xff;
  if ((popcnt<u32>(low) & 1) == 0) flags |= 4;
  return flags | load<u32>(cpu, EFLAGS);
}

export function writeStatusFlags(cpu: usize, flags: u32): void {
  const zero = (flags >> 6) & 1;
  store<u64>(cpu, <u64>(zero ^ 1), FLAGS_RESULT);
  const cf: u64 = flags & 1;
  const overflow: u64 = (flags >> 11) & 1;
  const parityFlip: u64 = zero ^ ((flags >> 2) & 1);
  store<u64>(cpu, (cf << 63) | ((cf ^ overflow) << 62) | (<u64>((flags >> 7) & 1) << 32) | (parityFlip << 8) | (<u64>((flags >> 4) & 1) << 3), FLAGS_CARRY);
}

/** Replaces the flags selected by `mask`; reserved bits keep their fixed values. */
export function writeFlags(cpu: usize, value: u32, mask: u32): void {
  const flags = (readFlags(cpu) & ~mask) | (value & mask);
  writeStatusFlags(cpu, flags);
  store<u32>(cpu, (flags & 0x3f7700) | 2, EFLAGS);
}
