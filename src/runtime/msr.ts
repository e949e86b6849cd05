// RDMSR and WRMSR (Intel SDM 4, table 2-2): what CPUID announces, and what operating systems read without asking.

import {
  CPL, CR0, EFER, LEAVE_NEXT, MSR_BIOS_SIGN_ID, MSR_CSTAR, MSR_DEBUGCTL, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_MISC_ENABLE, MSR_MTRR_DEF_TYPE, MSR_MTRR_FIXED,
  MSR_MTRR_VARIABLE, MSR_PAT, MSR_SFMASK, MSR_SPEC_CTRL, MSR_STAR, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, MSR_TSC_ADJUST, MSR_TSC_AUX, PHYSICAL_MASK, PKRS, RAX,
  RCX, RDX, SCRATCH, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FS, SEG_GS, TSC_OFFSET,
} from "../isa/x86/state/layout.ts";
import { timeStamp } from "./control.ts";
import { registerExists, speculationControls } from "./cpuid.ts";
import { raiseGeneralProtection } from "./faults.ts";
import { apicMsrRead, apicMsrWrite } from "./host.ts";
import { isParavirtRegister, readParavirtRegister, writeParavirtRegister, writeSystemTime } from "./paravirt.ts";
import { flushAccessRights, flushTlb, isCanonical } from "./paging.ts";

const EFER_SCE: u64 = 1;
const EFER_LME: u64 = 0x100;
const EFER_LMA: u64 = 0x400;
const EFER_NXE: u64 = 0x800;
const CR0_PG: u64 = 0x80000000;

const IA32_PKRS: u32 = 0x6e1;
const IA32_TSC_DEADLINE: u32 = 0x6e0;
const FS_BASE: usize = SEGMENTS + SEG_FS * SEGMENT_BYTES + SEG_BASE;
const GS_BASE: usize = SEGMENTS + SEG_GS * SEGMENT_BYTES + SEG_BASE;

/**
 * IA32_ARCH_CAPABILITIES: none of the known side channels, by construction (SDM 4, table 2-2, 10AH): RDCL_NO, IBRS_ALL,
 * SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO,
 * GDS_NO, RFDS_NO, ITS_NO. It keeps guests from isolating page tables and from avoiding indirect branches and returns.
 */
const ARCH_CAPABILITIES: u64 = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 8) | (1 << 13) | (1 << 14) | (1 << 15) | (1 << 20)
  | (1 << 24) | (1 << 26) | (1 << 27) | ((<u64>1) << 62);

/** MISC_ENABLE bits that only report: fast strings, no branch trace storage, no precise event sampling. */
const MISC_ENABLE_FIXED: u64 = 0x1801;
/** Those that may be written: fast strings, thermal control, SpeedStep, MONITOR, CPUID limit, xTPR messages off, no-execute off. */
const MISC_ENABLE_WRITABLE: u64 = 0x400c50009;

/** State offset of a register that is plain storage; 0 when it is none. */
function plainOffset(index: u32): usize {
  switch (index) {
    case 0x8b: return MSR_BIOS_SIGN_ID;
    case 0x174: return MSR_SYSENTER_CS;
    case 0x175: return MSR_SYSENTER_ESP;
    case 0x176: return MSR_SYSENTER_EIP;
    case 0x1d9: return MSR_DEBUGCTL;
    case 0x48: return MSR_SPEC_CTRL;
    case 0x277: return MSR_PAT;
    case 0x2ff: return MSR_MTRR_DEF_TYPE;
    case 0x250: return MSR_MTRR_FIXED;
    case 0x258: return MSR_MTRR_FIXED + 8;
    case 0x259: return MSR_MTRR_FIXED + 16;
    case 0xc0000081: return MSR_STAR;
    case 0xc0000082: return MSR_LSTAR;
    case 0xc0000083: return MSR_CSTAR;
    case 0xc0000084: return MSR_SFMASK;
    case 0xc0000100: return FS_BASE;
    case 0xc0000101: return GS_BASE;
    case 0xc0000102: return MSR_KERNEL_GS_BASE;
    case 0xc0000103: return MSR_TSC_AUX;
  }
  if (index >= 0x200 && index < 0x210) return MSR_MTRR_VARIABLE + (index - 0x200) * 8;
  if (index >= 0x268 && index < 0x270) return MSR_MTRR_FIXED + 24 + (index - 0x268) * 8;
  return 0;
}

/** A memory type that MTRRs know (SDM 3A, table 12-8). */
function isMemoryType(type: u64): bool {
  return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

/** May a plain register take the value? */
function accepts(cpu: usize, index: u32, value: u64): bool {
  switch (index) {
    case 0x175:
    case 0x176:
    case 0xc0000082:
    case 0xc0000083:
    case 0xc0000100:
    case 0xc0000101:
    case 0xc0000102:
      return isCanonical(value);
    case 0xc0000084:
    case 0xc0000103:
      return value >> 32 == 0;
    case 0x48: return (value & ~speculationControls(cpu)) == 0;
    case 0x1d9: return (value & ~3) == 0; // LBR, BTF
    case 0x277:
      for (let i: u64 = 0; i < 64; i += 8) {
        const type = (value >> i) & 0xff;
        if (!isMemoryType(type) && type != 7) return false;
      }
      return true;
    case 0x2ff: return (value & ~0xcff) == 0 && isMemoryType(value & 0xff);
  }
  if (index >= 0x200 && index < 0x210) {
    const high = ~(load<u64>(cpu, PHYSICAL_MASK) | 0x1fffff);
    return (index & 1) == 0 ? (value & (high | 0xf00)) == 0 && isMemoryType(value & 0xff) : (value & (high | 0x7ff)) == 0;
  }
  if (index >= 0x250 && index < 0x270) {
    for (let i: u64 = 0; i < 64; i += 8) if (!isMemoryType((value >> i) & 0xff)) return false;
  }
  return true;
}

function isApicRegister(index: u32): bool {
  return index == 0x1b || index == IA32_TSC_DEADLINE || (index >= 0x800 && index < 0x900);
}

/** The deadline as the host side counts, without the guest's offset; 0 is disarmed on both sides. */
function writeDeadline(cpu: usize, guest: u64): bool {
  let host = guest == 0 ? 0 : guest - load<u64>(cpu, TSC_OFFSET);
  if (guest != 0 && host == 0) host = 1;
  return apicMsrWrite(IA32_TSC_DEADLINE, <i32>host, <i32>(host >> 32)) != 0;
}
function readDeadline(cpu: usize): u64 {
  if (apicMsrRead(IA32_TSC_DEADLINE) == 0) return 0;
  const host = load<u64>(cpu, SCRATCH);
  return host == 0 ? 0 : host + load<u64>(cpu, TSC_OFFSET);
}

/** Moves the guest's time stamp counter; an armed deadline keeps its value in guest time (SDM 3A, 10.5.4.1). */
function moveTimeStamp(cpu: usize, delta: u64): void {
  const deadline = readDeadline(cpu);
  store<u64>(cpu, load<u64>(cpu, TSC_OFFSET) + delta, TSC_OFFSET);
  store<u64>(cpu, load<u64>(cpu, MSR_TSC_ADJUST) + delta, MSR_TSC_ADJUST);
  if (deadline != 0) writeDeadline(cpu, deadline);
  writeSystemTime(cpu);
}

function give(cpu: usize, value: u64): i32 {
  store<u64>(cpu, <u32>value, RAX);
  store<u64>(cpu, value >> 32, RDX);
  return 0;
}

/** RDMSR: EDX:EAX from the register in ECX. #GP(0) unless CPL is 0, and for unknown registers. */
export function readMsr(cpu: usize): i32 {
  if (load<u32>(cpu, CPL) != 0) return raiseGeneralProtection(cpu, 0);
  const index = load<u32>(cpu, RCX);
  if (!registerExists(cpu, index)) return raiseGeneralProtection(cpu, 0);
  const plain = plainOffset(index);
  if (plain != 0) return give(cpu, load<u64>(cpu + plain));
  if (index == IA32_TSC_DEADLINE) return give(cpu, readDeadline(cpu));
  if (isApicRegister(index)) return apicMsrRead(index) != 0 ? give(cpu, load<u64>(cpu, SCRATCH)) : raiseGeneralProtection(cpu, 0);
  if (isParavirtRegister(cpu, index)) return give(cpu, readParavirtRegister(cpu, index));
  switch (index) {
    case 0x10: return give(cpu, timeStamp(cpu));
    case IA32_PKRS: return give(cpu, load<u32>(cpu, PKRS));
    case 0x3b: return give(cpu, load<u64>(cpu, MSR_TSC_ADJUST));
    case 0x3a: return give(cpu, 1); // FEATURE_CONTROL: locked, nothing enabled
    case 0xcd: return give(cpu, 3); // bus clock 100 MHz
    case 0xce: return give(cpu, 10 << 8); // PLATFORM_INFO: ratio 10
    case 0xfe: return give(cpu, 0x508); // MTRRcap: 8 variable ranges, fixed ranges, write combining
    case 0x10a: return give(cpu, ARCH_CAPABILITIES);
    case 0x198: return give(cpu, 10 << 8); // PERF_STATUS
    case 0x1a0: return give(cpu, (load<u64>(cpu, MSR_MISC_ENABLE) & MISC_ENABLE_WRITABLE) | MISC_ENABLE_FIXED);
    case 0xc0000080: return give(cpu, load<u64>(cpu, EFER));
    case 0x00: // P5_MC_ADDR, P5_MC_TYPE
    case 0x01:
    case 0x17: // PLATFORM_ID
    case 0x2a: // EBL_CR_POWERON
    case 0x140: // MISC_FEATURES_ENABLES
    case 0x179: // MCG_CAP: no banks
    case 0x17a: // MCG_STATUS
    case 0x199: // PERF_CTL
    case 0x19a: // CLOCK_MODULATION
    case 0x19b: // THERM_INTERRUPT
    case 0x19c: // THERM_STATUS
    case 0x1a2: // TEMPERATURE_TARGET
    case 0x1db: // last branch and interrupt records
    case 0x1dc:
    case 0x1dd:
    case 0x1de:
      return give(cpu, 0);
  }
  return raiseGeneralProtection(cpu, 0);
}

/** WRMSR: the register in ECX from EDX:EAX. #GP(0) unless CPL is 0, for unknown registers and reserved bits. */
export function writeMsr(cpu: usize): i32 {
  if (load<u32>(cpu, CPL) != 0) return raiseGeneralProtection(cpu, 0);
  const index = load<u32>(cpu, RCX);
  const value = <u64>load<u32>(cpu, RAX) | (<u64>load<u32>(cpu, RDX) << 32);
  if (!registerExists(cpu, index)) return raiseGeneralProtection(cpu, 0);
  const plain = plainOffset(index);
  if (plain != 0) {
    if (!accepts(cpu, index, value)) return raiseGeneralProtection(cpu, 0);
    store<u64>(cpu + plain, value);
    return 0;
  }
  // What an APIC register does may be an interrupt at once: the block is left, so that it is looked for.
  if (index == IA32_TSC_DEADLINE) return writeDeadline(cpu, value) ? LEAVE_NEXT : raiseGeneralProtection(cpu, 0);
  if (isApicRegister(index)) return apicMsrWrite(index, <i32>value, <i32>(value >> 32)) != 0 ? LEAVE_NEXT : raiseGeneralProtection(cpu, 0);
  if (isParavirtRegister(cpu, index)) return writeParavirtRegister(cpu, index, value) ? 0 : raiseGeneralProtection(cpu, 0);
  switch (index) {
    case 0x10:
      moveTimeStamp(cpu, value - timeStamp(cpu));
      return 0;
    case 0x3b:
      moveTimeStamp(cpu, value - load<u64>(cpu, MSR_TSC_ADJUST));
      return 0;
    case IA32_PKRS:
      if (value >> 32 != 0) return raiseGeneralProtection(cpu, 0);
      store<u32>(cpu, <u32>value, PKRS);
      flushAccessRights(cpu);
      return 0;
    case 0x49: // PRED_CMD: IBPB
      return (value & ~1) == 0 ? 0 : raiseGeneralProtection(cpu, 0);
    case 0x1a0:
      store<u64>(cpu, value & MISC_ENABLE_WRITABLE, MSR_MISC_ENABLE);
      return 0;
    case 0xc0000080: {
      if ((value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) != 0) return raiseGeneralProtection(cpu, 0);
      const old = load<u64>(cpu, EFER);
      // LME may not change while paging is on; LMA is read-only.
      if (((old ^ value) & EFER_LME) != 0 && (load<u64>(cpu, CR0) & CR0_PG) != 0) return raiseGeneralProtection(cpu, 0);
      store<u64>(cpu, (value & ~EFER_LMA) | (old & EFER_LMA), EFER);
      if (((old ^ value) & EFER_NXE) != 0) flushTlb(cpu);
      return LEAVE_NEXT;
    }
    case 0x2a: // EBL_CR_POWERON
    case 0x79: // microcode update: accepted, nothing to load
    case 0x140: // MISC_FEATURES_ENABLES
    case 0x17a: // MCG_STATUS
    case 0x199: // PERF_CTL
    case 0x19a:
    case 0x19b:
      return 0;
  }
  return raiseGeneralProtection(cpu, 0);
}
