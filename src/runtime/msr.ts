// Model-specific registers (Intel SDM 4, table 2-2).

import {
  CPL, CR0, EFER, MSR_BIOS_SIGN_ID, MSR_CSTAR, MSR_DEBUGCTL, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_MISC_ENABLE, MSR_MTRR_DEF_TYPE, MSR_MTRR_FIXED, MSR_MTRR_VARIABLE, MSR_PAT,
  MSR_SFMASK, MSR_STAR, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, MSR_TSC_ADJUST, MSR_TSC_AUX, RAX, RCX, RDX, SCRATCH, SEG_BASE, SEG_FS, SEG_GS, TSC_OFFSET,
} from "../isa/x86/state/layout.ts";
import { raiseGeneralProtection } from "./faults.ts";
import { apicMsrRead, apicMsrWrite, hostTsc } from "./host.ts";
import { segment } from "./segments.ts";
import { flushTlb } from "./paging.ts";
import { timeStamp } from "./control.ts";

const EFER_SCE: u64 = 1;
const EFER_LME: u64 = 0x100;
const EFER_LMA: u64 = 0x400;
const EFER_NXE: u64 = 0x800;

/** State offset of a register that is plain storage; 0 when it is none. */
function plainOffset(index: u32): usize {
  switch (index) {
    case 0x174: return MSR_SYSENTER_CS;
    case 0xc0000081: return MSR_STAR;
    case 0xc0000084: return MSR_SFMASK;
    case 0xc0000103: return MSR_TSC_AUX;
    case 0x1a0: return MSR_MISC_ENABLE;
    case 0x2ff: return MSR_MTRR_DEF_TYPE;
    case 0x8b: return MSR_BIOS_SIGN_ID;
    case 0x1d9: return MSR_DEBUGCTL;
    case 0x250: return MSR_MTRR_FIXED;
    case 0x258: return MSR_MTRR_FIXED + 8;
    case 0x259: return MSR_MTRR_FIXED + 16;
  }
  if (index >= 0x200 && index < 0x210) return MSR_MTRR_VARIABLE + (index - 0x200) * 8;
  if (index >= 0x268 && index < 0x270) return MSR_MTRR_FIXED + 24 + (index - 0x268) * 8;
  return 0;
}

/** Registers that hold a canonical address. */
function addressOffset(index: u32): usize {
  switch (index) {
    case 0x175: return MSR_SYSENTER_ESP;
    case 0x176: return MSR_SYSENTER_EIP;
    case 0xc0000082: return MSR_LSTAR;
    case 0xc0000083: return MSR_CSTAR;
    case 0xc0000102: return MSR_KERNEL_GS_BASE;
  }
  return 0;
}

function give(cpu: usize, value: u64): i32 {
  store<u64>(cpu, <u32>value, RAX);
  store<u64>(cpu, value >> 32, RDX);
  return 0;
}

export function readMsr(cpu: usize): i32 {
  if (load<u32>(cpu, CPL) != 0) return raiseGeneralProtection(cpu, 0);
  const index = <u32>load<u64>(cpu, RCX);
  const plain = plainOffset(index) | addressOffset(index);
  if (plain != 0) return give(cpu, load<u64>(cpu + plain));
  switch (index) {
    case 0x10: return give(cpu, timeStamp(cpu));
    case 0x3b: return give(cpu, load<u64>(cpu, MSR_TSC_ADJUST));
    case 0x277: return give(cpu, load<u64>(cpu, MSR_PAT));
    case 0xc0000080: return give(cpu, load<u64>(cpu, EFER));
    case 0xc0000100: return give(cpu, load<u64>(segment(cpu, SEG_FS), SEG_BASE));
    case 0xc0000101: return give(cpu, load<u64>(segment(cpu, SEG_GS), SEG_BASE));
    case 0xfe: return give(cpu, 0x508); // MTRRcap: 8 variable ranges, fixed ranges, write combining
    case 0x17: return give(cpu, 0); // platform id
    case 0x2a: return give(cpu, 0); // EBL_CR_POWERON
    case 0xcd: return give(cpu, 3); // FSB frequency, 100 MHz
    case 0xce: return give(cpu, 10 << 8); // platform info: ratio 10
    case 0x198: return give(cpu, 10 << 8);
    case 0x179: return give(cpu, 0); // no machine check banks
    case 0x17a: return give(cpu, 0);
  }
  if (index == 0x1b || index == 0x6e0 || (index >= 0x800 && index < 0x900)) {
    if (apicMsrRead(index) != 0) return give(cpu, load<u64>(cpu, SCRATCH));
  }
  return raiseGeneralProtection(cpu, 0);
}

export function writeMsr(cpu: usize): i32 {
  if (load<u32>(cpu, CPL) != 0) return raiseGeneralProtection(cpu, 0);
  const index = <u32>load<u64>(cpu, RCX);
  const value = <u64><u32>load<u64>(cpu, RAX) | (load<u64>(cpu, RDX) << 32);
  const canonical = <u64>((<i64>value << 16) >> 16) == value;
  const address = addressOffset(index);
  if (address != 0) {
    if (!canonical) return raiseGeneralProtection(cpu, 0);
    store<u64>(cpu + address, value);
    return 0;
  }
  const plain = plainOffset(index);
  if (plain != 0) {
    store<u64>(cpu + plain, value);
    return 0;
  }
  switch (index) {
    case 0x10:
      store<u64>(cpu, value - <u64>hostTsc(), TSC_OFFSET);
      return 0;
    case 0x3b:
      store<u64>(cpu, load<u64>(cpu, TSC_OFFSET) + value - load<u64>(cpu, MSR_TSC_ADJUST), TSC_OFFSET);
      store<u64>(cpu, value, MSR_TSC_ADJUST);
      return 0;
    case 0x277:
      for (let i: u64 = 0; i < 64; i += 8) {
        const type = (value >> i) & 0xff;
        if (type > 7 || type == 2 || type == 3) return raiseGeneralProtection(cpu, 0);
      }
      store<u64>(cpu, value, MSR_PAT);
      return 0;
    case 0xc0000080: {
      const old = load<u64>(cpu, EFER);
      if ((value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) != 0) return raiseGeneralProtection(cpu, 0);
      // LME may not change while paging is on; LMA is read-only.
      if (((old ^ value) & EFER_LME) != 0 && (load<u64>(cpu, CR0) & 0x80000000) != 0) return raiseGeneralProtection(cpu, 0);
      store<u64>(cpu, (value & ~EFER_LMA) | (old & EFER_LMA), EFER);
      flushTlb(cpu);
      return 7;
    }
    case 0xc0000100:
    case 0xc0000101:
      if (!canonical) return raiseGeneralProtection(cpu, 0);
      store<u64>(segment(cpu, index == 0xc0000100 ? SEG_FS : SEG_GS), value, SEG_BASE);
      return 0;
    case 0x79: // microcode update: accepted, nothing to load
    case 0x17a:
      return 0;
  }
  if (index == 0x1b || index == 0x6e0 || (index >= 0x800 && index < 0x900)) {
    if (apicMsrWrite(index, <i32>value, <i32>(value >> 32)) != 0) return 7;
  }
  return raiseGeneralProtection(cpu, 0);
}
