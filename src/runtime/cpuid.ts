// CPUID (Intel SDM 2A, CPUID): a processor of the x86-64-v3 class. Announces what the engines implement, nothing else:
// isa/x86/features.ts lists the same for the decoder, and a test compares the two.

import { APIC_ID, CORE_THREADS, CPUID_HIDDEN, CR4, MODE, MODE_CODE64, MODE_CODE_MASK, MSR_BIOS_SIGN_ID, PACKAGE_THREADS, PARAVIRT, PHYSICAL_MASK, RAX, RBX, RCX, RDX, SCRATCH, TSC_KHZ, XCR0 } from "../isa/x86/state/layout.ts";
import { VCPU_ATTENTION } from "../memory/layout.ts";
import { apicMsrRead, interruptPending } from "./host.ts";

/** Family 6, model 44 (2Ch), stepping 2; resetVcpu leaves it in EDX as well. */
export const SIGNATURE: u32 = 0x000206c2;
/** The local APIC timer's input, which counts as the crystal; the time stamp counter's rate unless TSC_KHZ says. */
const CRYSTAL_HZ: u32 = 1000000000;
const CRYSTAL_KHZ: u32 = 1000000;
/** Kernels multiply the crystal's kHz by the numerator in 32 bits. */
const MAX_NUMERATOR: u32 = 4294;
const MICROCODE_REVISION: u64 = 1;
const MAX_BASIC: u32 = 0x16;
const MAX_HYPERVISOR: u32 = 0x40000010;
const MAX_EXTENDED: u32 = 0x80000008;

// One constant per bit, so that the features in use read as a list.
const ECX1_SSE3: u32 = 1 << 0;
const ECX1_PCLMULQDQ: u32 = 1 << 1;
const ECX1_SSSE3: u32 = 1 << 9;
const ECX1_FMA: u32 = 1 << 12;
const ECX1_CX16: u32 = 1 << 13;
const ECX1_SSE41: u32 = 1 << 19;
const ECX1_SSE42: u32 = 1 << 20;
const ECX1_PCID: u32 = 1 << 17;
const ECX1_X2APIC: u32 = 1 << 21;
const ECX1_MOVBE: u32 = 1 << 22;
const ECX1_POPCNT: u32 = 1 << 23;
const ECX1_TSC_DEADLINE: u32 = 1 << 24;
const ECX1_AES: u32 = 1 << 25;
const ECX1_XSAVE: u32 = 1 << 26;
/** Follows CR4.OSXSAVE. */
const ECX1_OSXSAVE: u32 = 1 << 27;
const ECX1_AVX: u32 = 1 << 28;
const ECX1_F16C: u32 = 1 << 29;
const ECX1_RDRAND: u32 = 1 << 30;
const ECX1_HYPERVISOR: u32 = 1 << 31;
/** FPU VME DE PSE TSC MSR PAE CX8 APIC SEP MTRR PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2. */
const FEATURES_1_EDX: u32 = 0x078bbb7f;
const EDX1_APIC: u32 = 1 << 9;
const EDX1_HTT: u32 = 1 << 28;
const EBX7_FSGSBASE: u32 = 1 << 0;
const EBX7_TSC_ADJUST: u32 = 1 << 1;
const EBX7_BMI1: u32 = 1 << 3;
const EBX7_AVX2: u32 = 1 << 5;
const EBX7_SMEP: u32 = 1 << 7;
const EBX7_BMI2: u32 = 1 << 8;
const EBX7_ERMS: u32 = 1 << 9;
const EBX7_INVPCID: u32 = 1 << 10;
const EBX7_RDSEED: u32 = 1 << 18;
const EBX7_ADX: u32 = 1 << 19;
const EBX7_SMAP: u32 = 1 << 20;
const EBX7_CLFLUSHOPT: u32 = 1 << 23;
const EBX7_CLWB: u32 = 1 << 24;
const EBX7_SHA: u32 = 1 << 29;
const ECX7_UMIP: u32 = 1 << 2;
const ECX7_PKU: u32 = 1 << 3;
/** CR4.PKE, as the operating system has set it. */
const ECX7_OSPKE: u32 = 1 << 4;
const ECX7_PKS: u32 = 1 << 31;
const CR4_PKE: u64 = 0x400000;
const ECX7_RDPID: u32 = 1 << 22;
const EDX7_FSRM: u32 = 1 << 4;
const EDX7_SPEC_CTRL: u32 = 1 << 26;
const EDX7_STIBP: u32 = 1 << 27;
const EDX7_ARCH_CAPABILITIES: u32 = 1 << 29;
const EDX7_SSBD: u32 = 1 << 31;
/** Of leaf 7, subleaf 2 (SDM 4, table 2-2, IA32_SPEC_CTRL): BHI_DIS_S exists, so that kernels need not clear branch history by a loop. */
const EDX72_BHI_CTRL: u32 = 1 << 4;
const ECX81_LAHF: u32 = 1 << 0;
const ECX81_LZCNT: u32 = 1 << 5;
const EDX81_SYSCALL: u32 = 1 << 11;
const EDX81_NX: u32 = 1 << 20;
const EDX81_1G: u32 = 1 << 26;
const EDX81_RDTSCP: u32 = 1 << 27;
const EDX81_LM: u32 = 1 << 29;
const EAX6_ARAT: u32 = 1 << 2;
const EDX87_INVARIANT_TSC: u32 = 1 << 8;

const FEATURES_1_ECX: u32 = ECX1_SSE3 | ECX1_SSSE3 | ECX1_CX16 | ECX1_SSE41 | ECX1_SSE42 | ECX1_X2APIC | ECX1_MOVBE | ECX1_POPCNT | ECX1_TSC_DEADLINE | ECX1_HYPERVISOR
  | ECX1_PCID | ECX1_PCLMULQDQ | ECX1_AES | ECX1_XSAVE | ECX1_AVX | ECX1_FMA | ECX1_F16C | ECX1_RDRAND;
const FEATURES_7_EBX: u32 = EBX7_FSGSBASE | EBX7_TSC_ADJUST | EBX7_SMEP | EBX7_ERMS | EBX7_RDSEED | EBX7_ADX | EBX7_SHA | EBX7_BMI1 | EBX7_AVX2 | EBX7_BMI2
  | EBX7_INVPCID | EBX7_SMAP | EBX7_CLFLUSHOPT | EBX7_CLWB;
const FEATURES_7_ECX: u32 = ECX7_UMIP | ECX7_PKU | ECX7_PKS | ECX7_RDPID;
const FEATURES_7_EDX: u32 = EDX7_FSRM | EDX7_SPEC_CTRL | EDX7_STIBP | EDX7_ARCH_CAPABILITIES | EDX7_SSBD;
const FEATURES_81_ECX: u32 = ECX81_LAHF | ECX81_LZCNT;
const FEATURES_81_EDX: u32 = EDX81_SYSCALL | EDX81_NX | EDX81_1G | EDX81_RDTSCP | EDX81_LM;

/** Bits of IA32_SPEC_CTRL (SDM 4, table 2-2, 48H) by what announces them: IBRS, STIBP, SSBD, BHI_DIS_S. */
const SPEC_CTRL_IBRS: u64 = 1;
const SPEC_CTRL_STIBP: u64 = 2;
const SPEC_CTRL_SSBD: u64 = 4;
const SPEC_CTRL_BHI_DIS_S: u64 = 0x400;

// Words of CPUID_HIDDEN.
const HIDDEN_1_ECX: usize = 0;
const HIDDEN_1_EDX: usize = 4;
const HIDDEN_7_EBX: usize = 8;
const HIDDEN_7_ECX: usize = 12;
const HIDDEN_7_EDX: usize = 16;
const HIDDEN_81_ECX: usize = 20;
const HIDDEN_81_EDX: usize = 24;
const HIDDEN_87_EDX: usize = 28;
const HIDDEN_6_EAX: usize = 32;
const HIDDEN_72_EDX: usize = 36;

function give(cpu: usize, a: u32, b: u32, c: u32, d: u32): void {
  store<u64>(cpu, a, RAX);
  store<u64>(cpu, b, RBX);
  store<u64>(cpu, c, RCX);
  store<u64>(cpu, d, RDX);
}

// @ts-ignore: decorator
@inline function offered(cpu: usize, features: u32, word: usize): u32 {
  return features & ~load<u32>(cpu + word, CPUID_HIDDEN);
}

/** Leaf 7, subleaf 2. Without IA32_SPEC_CTRL's first bit nobody looks for its others. */
function branchHistory(cpu: usize): u32 {
  return (offered(cpu, FEATURES_7_EDX, HIDDEN_7_EDX) & EDX7_SPEC_CTRL) != 0 ? offered(cpu, EDX72_BHI_CTRL, HIDDEN_72_EDX) : 0;
}

/** What IA32_SPEC_CTRL may hold; without any bit the register does not exist. */
export function speculationControls(cpu: usize): u64 {
  const edx = offered(cpu, FEATURES_7_EDX, HIDDEN_7_EDX);
  return ((edx & EDX7_SPEC_CTRL) != 0 ? SPEC_CTRL_IBRS : 0) | ((edx & EDX7_STIBP) != 0 ? SPEC_CTRL_STIBP : 0) | ((edx & EDX7_SSBD) != 0 ? SPEC_CTRL_SSBD : 0)
    | (branchHistory(cpu) != 0 ? SPEC_CTRL_BHI_DIS_S : 0);
}

/** Does the feature exist that a register belongs to? True for those that every processor of the model has. */
export function registerExists(cpu: usize, index: u32): bool {
  switch (index) {
    case 0x3b: return (offered(cpu, FEATURES_7_EBX, HIDDEN_7_EBX) & EBX7_TSC_ADJUST) != 0;
    case 0x48: return speculationControls(cpu) != 0;
    case 0x49: return (offered(cpu, FEATURES_7_EDX, HIDDEN_7_EDX) & EDX7_SPEC_CTRL) != 0;
    case 0x10a: return (offered(cpu, FEATURES_7_EDX, HIDDEN_7_EDX) & EDX7_ARCH_CAPABILITIES) != 0;
    case 0x6e0: return (offered(cpu, FEATURES_1_ECX, HIDDEN_1_ECX) & ECX1_TSC_DEADLINE) != 0;
    case 0x6e1: return (offered(cpu, FEATURES_7_ECX, HIDDEN_7_ECX) & ECX7_PKS) != 0;
    case 0xc0000103:
      return (offered(cpu, FEATURES_81_EDX, HIDDEN_81_EDX) & EDX81_RDTSCP) != 0 || (offered(cpu, FEATURES_7_ECX, HIDDEN_7_ECX) & ECX7_RDPID) != 0;
  }
  return true;
}

function packageThreads(cpu: usize): u32 {
  return max<u32>(load<u32>(cpu, PACKAGE_THREADS), 1);
}
function coreThreads(cpu: usize): u32 {
  return max<u32>(load<u32>(cpu, CORE_THREADS), 1);
}

/** Bits of an APIC id that number so many. */
function idBits(count: u32): u32 {
  return 32 - clz<u32>(count - 1);
}
/** Bits of an APIC id that number the cores of a package (SDM 3A, 9.9.1). */
function coreBits(cpu: usize): u32 {
  return idBits(max<u32>(packageThreads(cpu) / coreThreads(cpu), 1));
}

/** Is IA32_APIC_BASE's enable bit set? CPUID shows no APIC while it is clear (SDM 3A, 10.4.3). */
function apicEnabled(cpu: usize): bool {
  return apicMsrRead(0x1b) == 0 || (load<u32>(cpu, SCRATCH) & 0x800) != 0;
}

function osPke(cpu: usize): u32 {
  return (load<u64>(cpu, CR4) & CR4_PKE) != 0 ? ECX7_OSPKE : 0;
}

function featureLeaf(cpu: usize): void {
  const count = packageThreads(cpu);
  let edx = offered(cpu, FEATURES_1_EDX, HIDDEN_1_EDX);
  if (count > 1) edx |= EDX1_HTT;
  if (!apicEnabled(cpu)) edx &= ~EDX1_APIC;
  let ecx = offered(cpu, FEATURES_1_ECX, HIDDEN_1_ECX);
  if ((ecx & ECX1_XSAVE) != 0 && (load<u64>(cpu, CR4) & 0x40000) != 0) ecx |= ECX1_OSXSAVE;
  // EBX: CLFLUSH of 64 bytes, processors of the package, APIC id.
  give(cpu, SIGNATURE, (8 << 8) | (count << 16) | (load<u32>(cpu, APIC_ID) << 24), ecx, edx);
  // Executing this leaf loads the microcode's revision (SDM 3A, 9.11.7.1).
  store<u64>(cpu, MICROCODE_REVISION << 32, MSR_BIOS_SIGN_ID);
}

/** Leaf 4: type, level, APIC ids that share it, ways, sets; lines of 64 bytes. Numbers of ids are powers of two. */
function cacheLeaf(cpu: usize, index: u32): void {
  const threadBits = idBits(coreThreads(cpu));
  const cores = (((1 << coreBits(cpu)) - 1) << 26) | (((1 << threadBits) - 1) << 14);
  const all = ((1 << coreBits(cpu)) - 1) << 26 | (((1 << (threadBits + coreBits(cpu))) - 1) << 14);
  switch (index) {
    case 0: give(cpu, cores | 0x121, (7 << 22) | 63, 63, 0); return; // 32 KiB data
    case 1: give(cpu, cores | 0x122, (7 << 22) | 63, 63, 0); return; // 32 KiB code
    case 2: give(cpu, cores | 0x143, (7 << 22) | 63, 511, 0); return; // 256 KiB
    case 3: give(cpu, all | 0x163, (15 << 22) | 63, 8191, 0); return; // 8 MiB, shared
    default: give(cpu, 0, 0, 0, 0);
  }
}

/** What XCR0 may hold: x87, SSE and AVX state and PKRU, as far as they are announced. */
export function supportedXcr0(cpu: usize): u64 {
  const ecx = offered(cpu, FEATURES_1_ECX, HIDDEN_1_ECX);
  if ((ecx & ECX1_XSAVE) == 0) return 0;
  const keys: u64 = (offered(cpu, FEATURES_7_ECX, HIDDEN_7_ECX) & ECX7_PKU) != 0 ? 0x200 : 0;
  return keys | ((ecx & ECX1_AVX) == 0 ? 3 : 7);
}

/** Leaf 13 (SDM 1, 13.2): sizes of the XSAVE area; XSAVEOPT, XSAVEC and XGETBV of register 1; where AVX state and PKRU lie. */
function extendedStateLeaf(cpu: usize, index: u32): void {
  const supported = supportedXcr0(cpu);
  const enabled = load<u64>(cpu, XCR0);
  if (index == 0 && supported != 0) give(cpu, <u32>supported, standardSize(enabled), standardSize(supported), 0);
  else if (index == 1 && supported != 0) give(cpu, 7, 576 + ((enabled & 4) != 0 ? 256 : 0) + ((enabled & 0x200) != 0 ? 8 : 0), 0, 0);
  else if (index == 2 && (supported & 4) != 0) give(cpu, 256, 576, 0, 0);
  else if (index == 9 && (supported & 0x200) != 0) give(cpu, 8, 832, 0, 0);
  else give(cpu, 0, 0, 0, 0);
}
function standardSize(components: u64): u32 {
  return (components & 0x200) != 0 ? 840 : (components & 4) != 0 ? 832 : 576;
}

/** Leaf 11: bits of the id below the level, processors of it; threads, then cores. */
function topologyLeaf(cpu: usize, index: u32): void {
  const id = load<u32>(cpu, APIC_ID);
  const threadBits = idBits(coreThreads(cpu));
  if (index == 0) give(cpu, threadBits, coreThreads(cpu), 0x100, id);
  else if (index == 1) give(cpu, threadBits + coreBits(cpu), packageThreads(cpu), 0x201, id);
  else give(cpu, 0, 0, index, id);
}

/** Rate of the time stamp counter in kHz. */
export function tscKhz(cpu: usize): u32 {
  const khz = load<u32>(cpu, TSC_KHZ);
  return khz == 0 ? CRYSTAL_KHZ : khz;
}

/** Leaf 15h: TSC = crystal * EBX / EAX, by the fraction that comes nearest. */
function timeStampLeaf(cpu: usize): void {
  const khz = <u64>tscKhz(cpu);
  let best: u64 = u64.MAX_VALUE;
  let numerator: u64 = 0;
  let denominator: u64 = 1;
  for (let d: u64 = 1; d <= 1000; d++) {
    const n = (khz * d + CRYSTAL_KHZ / 2) / CRYSTAL_KHZ;
    if (n == 0 || n > MAX_NUMERATOR) continue;
    // Error in kHz times 1000, so that small differences count.
    const rate = n * CRYSTAL_KHZ * 1000 / d;
    const error = rate > khz * 1000 ? rate - khz * 1000 : khz * 1000 - rate;
    if (error >= best) continue;
    best = error;
    numerator = n;
    denominator = d;
    if (error == 0) break;
  }
  give(cpu, <u32>denominator, <u32>numerator, CRYSTAL_HZ, 0);
}

export function cpuid(cpu: usize): void {
  // It serializes: code that other processors have overwritten is no longer executed (SDM 3A, 9.1.3).
  if (load<u32>(cpu, VCPU_ATTENTION) != 0) interruptPending();
  let leaf = load<u32>(cpu, RAX);
  const index = load<u32>(cpu, RCX);
  // Beyond the last basic or extended leaf Intel processors answer as for the last basic one, which is leaf 0x16 here.
  if ((leaf > MAX_BASIC && leaf < 0x40000000) || leaf > MAX_EXTENDED || (leaf > MAX_HYPERVISOR && leaf < 0x80000000)) leaf = MAX_BASIC;
  switch (leaf) {
    case 0: give(cpu, MAX_BASIC, 0x756e6547, 0x6c65746e, 0x49656e69); return; // "GenuineIntel"
    case 1: featureLeaf(cpu); return;
    case 2: give(cpu, 0x00fff001, 0, 0, 0); return; // see leaf 4; 64-byte prefetch
    case 4: cacheLeaf(cpu, index); return;
    case 6: give(cpu, offered(cpu, EAX6_ARAT, HIDDEN_6_EAX), 0, 0, 0); return;
    case 7:
      if (index == 2) give(cpu, 0, 0, 0, branchHistory(cpu));
      else if (index != 0) give(cpu, 0, 0, 0, 0);
      else give(cpu, 2, offered(cpu, FEATURES_7_EBX, HIDDEN_7_EBX), offered(cpu, FEATURES_7_ECX, HIDDEN_7_ECX) | osPke(cpu), offered(cpu, FEATURES_7_EDX, HIDDEN_7_EDX));
      return;
    case 0xb: topologyLeaf(cpu, index); return;
    case 0xd: extendedStateLeaf(cpu, index); return;
    case 0x15: timeStampLeaf(cpu); return;
    case 0x16: give(cpu, tscKhz(cpu) / 1000, tscKhz(cpu) / 1000, 100, 0); return;
    case 0x40000000:
      if (load<u32>(cpu, PARAVIRT) != 0) give(cpu, MAX_HYPERVISOR, 0x4b4d564b, 0x564b4d56, 0x0000004d); // "KVMKVMKVM", as its interface is there
      else give(cpu, MAX_HYPERVISOR, 0x796c6f50, 0x6f736976, 0x20202072); // "Polyvisor   "
      return;
    case 0x40000001: give(cpu, load<u32>(cpu, PARAVIRT), 0, 0, 0); return;
    case 0x40000010: give(cpu, tscKhz(cpu), CRYSTAL_KHZ, 0, 0); return; // TSC and APIC timer in kHz
    case 0x80000000: give(cpu, MAX_EXTENDED, 0, 0, 0); return;
    case 0x80000001: {
      let edx = offered(cpu, FEATURES_81_EDX, HIDDEN_81_EDX);
      // SYSCALL exists in 64-bit mode only.
      if ((load<u32>(cpu, MODE) & MODE_CODE_MASK) != MODE_CODE64) edx &= ~EDX81_SYSCALL;
      give(cpu, 0, 0, offered(cpu, FEATURES_81_ECX, HIDDEN_81_ECX), edx);
      return;
    }
    case 0x80000002: give(cpu, 0x796c6f50, 0x6f736976, 0x69762072, 0x61757472); return; // "Polyvisor virtua"
    case 0x80000003: give(cpu, 0x5043206c, 0x00000055, 0, 0); return; // "l CPU"
    case 0x80000006: give(cpu, 0, 0, 0x01006040, 0); return; // 256 KiB, 8 ways, lines of 64 bytes
    case 0x80000007: give(cpu, 0, 0, 0, offered(cpu, EDX87_INVARIANT_TSC, HIDDEN_87_EDX)); return;
    case 0x80000008: give(cpu, (64 - <u32>clz<u64>(load<u64>(cpu, PHYSICAL_MASK))) | (48 << 8), 0, 0, 0); return;
    default: give(cpu, 0, 0, 0, 0);
  }
}
