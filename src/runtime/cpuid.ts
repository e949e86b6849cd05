// CPUID (Intel SDM 2A, CPUID). Announces what the engines implement, nothing else.

import { CR4, RAX, RBX, RCX, RDX, VCPU_INDEX } from "../isa/x86/state/layout.ts";

function give(cpu: usize, a: u32, b: u32, c: u32, d: u32): void {
  store<u64>(cpu, a, RAX);
  store<u64>(cpu, b, RBX);
  store<u64>(cpu, c, RCX);
  store<u64>(cpu, d, RDX);
}

/** Leaf 1 ECX: SSE3, SSSE3, CX16, SSE4.1, SSE4.2, x2APIC, MOVBE, POPCNT, TSC deadline, hypervisor. */
const FEATURES_ECX: u32 = (1 << 13) | (1 << 21) | (1 << 22) | (1 << 23) | (1 << 24) | (1 << 31);
/** Leaf 1 EDX: FPU, DE, PSE, TSC, MSR, PAE, CX8, APIC, SEP, MTRR, PGE, CMOV, PAT, PSE36, CLFSH, MMX, FXSR, SSE, SSE2. */
const FEATURES_EDX: u32 = 0x078bbb7d;
/** 0x80000001 ECX: LAHF in long mode; EDX: SYSCALL, NX, 1 GiB pages, RDTSCP, long mode. */
const EXTENDED_ECX: u32 = 1;
const EXTENDED_EDX: u32 = (1 << 11) | (1 << 20) | (1 << 26) | (1 << 27) | (1 << 29);

export function cpuid(cpu: usize): void {
  const leaf = <u32>load<u64>(cpu, RAX);
  const index = load<u32>(cpu, VCPU_INDEX);
  switch (leaf) {
    case 0: // "GenuineIntel"
      give(cpu, 0x16, 0x756e6547, 0x6c65746e, 0x49656e69);
      return;
    case 1:
      give(cpu, 0x000006f8 | (0 << 16), (index << 24) | (1 << 16) | (8 << 8), FEATURES_ECX | ((load<u64>(cpu, CR4) & 0x40000) != 0 ? 1 << 27 : 0), FEATURES_EDX);
      return;
    case 2:
      give(cpu, 0x00000001, 0, 0, 0);
      return;
    case 7:
      give(cpu, 0, 0, 0, 0);
      return;
    case 0x15: // TSC = 25 MHz crystal * 40 / 1
      give(cpu, 1, 40, 25000000, 0);
      return;
    case 0x16:
      give(cpu, 1000, 1000, 100, 0);
      return;
    case 0x40000000: // "Polyvisor   "
      give(cpu, 0x40000010, 0x796c6f50, 0x6f736976, 0x20202072);
      return;
    case 0x40000010: // TSC and bus frequency in kHz
      give(cpu, 1000000, 1000000, 0, 0);
      return;
    case 0x80000000:
      give(cpu, 0x80000008, 0, 0, 0);
      return;
    case 0x80000001:
      give(cpu, 0, 0, EXTENDED_ECX, EXTENDED_EDX);
      return;
    case 0x80000002: // "Polyvisor virtual CPU"
      give(cpu, 0x796c6f50, 0x6f736976, 0x69762072, 0x61757472);
      return;
    case 0x80000003:
      give(cpu, 0x5043206c, 0x00000055, 0, 0);
      return;
    case 0x80000007: // invariant TSC
      give(cpu, 0, 0, 0, 1 << 8);
      return;
    case 0x80000008: // 40 physical, 48 linear address bits
      give(cpu, 0x3028, 0, 0, 0);
      return;
    default:
      give(cpu, 0, 0, 0, 0);
  }
}
