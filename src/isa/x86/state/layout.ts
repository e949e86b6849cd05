// Byte offsets inside one vCPU block of linear memory. Plain numeric constants, so that the AssemblyScript routines
// in src/runtime, the interpreter build and the TypeScript side share one definition. Offsets below 64 KiB fit the
// u16 fields of a decoded record. Little-endian, naturally aligned.

/** 16 general registers, 8 bytes each: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
export const GPR = 0;
export const RAX = 0;
export const RCX = 8;
export const RDX = 16;
export const RBX = 24;
export const RSP = 32;
export const RBP = 40;
export const RSI = 48;
export const RDI = 56;
export const R11 = 88;
/** Always 0: stands in for an absent base, index or segment base. */
export const ZERO = 128;
/** Always 2^32: corrects an RIP-relative displacement that does not fit 32 bits. */
export const CONST_4G = 136;
/**
 * RIP minus the offset in its (linear) page of the instruction that runs: RIP of a decoded record is
 * IP_BASE + record.pageOffset. Valid while records of a block run.
 */
export const IP_BASE = 144;
/** Instruction pointer. Valid outside of block execution; routines that leave the block set it. */
export const RIP = 152;
/**
 * Status flags, lazily: FLAGS_RESULT is the last result sign-extended to 64 bits, FLAGS_CARRY holds the carries:
 * bit 63 carry out (CF), bit 62 carry into the sign bit (OF = bit 63 ^ bit 62), bit 3 carry out of bit 3 (AF),
 * bits 8-15 are XORed into the result's low byte before parity is taken, bit 32 is XORed into the sign.
 * ZF = result == 0; SF = sign(result) ^ bit 32; PF = even parity of (result ^ carry >> 8) & 0xff.
 */
export const FLAGS_RESULT = 160;
export const FLAGS_CARRY = 168;
/**
 * What the two are (u32, flag-kinds.ts): not raw only on the way from one region of translated code to the next, which
 * may never look at them. Everybody else finds them settled.
 */
export const FLAGS_KIND = 228;
/** EFLAGS without CF PF AF ZF SF OF: bit 1 always set, TF IF DF IOPL NT RF VM AC VIF VIP ID where they stand. */
export const EFLAGS = 176;
/** Current privilege level, 0 to 3. */
export const CPL = 180;
/** Address of the TLB set in use: TLB + TLB_SET_BYTES * (CPL == 3 ? TLB_SET_USER : kernel sets), absolute; or TLB_EMPTY. */
export const TLB_BASE = 184;
/** Instructions left in this slice (i32); blocks subtract their length when they end; below 0 the slice is over. */
export const BUDGET = 188;
/**
 * Instructions retired since reset = INSTRUCTIONS + (BUDGET_START - BUDGET). A repeated string instruction is one, when its
 * last element is done, whatever it takes from the budget: so engines agree on the count.
 */
export const INSTRUCTIONS = 192;
export const BUDGET_START = 200;
/** Decoded record of the instruction that runs; set before anything that can fault or needs RIP. */
export const RECORD = 204;
/** MODE_ bits below: what the decoder must know. Kept current by whatever changes CS, CR0, EFER or VM. */
export const MODE = 208;
/** Non-zero: look at events (interrupts, traps, shadow) before the next instruction. */
export const EVENTS = 212;

/**
 * Outside 64-bit mode: mask of the stack pointer, 0xffff or 0xffffffff as SS.B says. updateSegmentCache(cpu, SEG_SS)
 * keeps it current.
 */
export const STACK_MASK = 216;
/** Address of the jump cache in use (kernel or user), absolute; updateTlbBase keeps it current with TLB_BASE. */
export const JUMP_BASE = 220;
/** Record of the direct branch that left the block because its target was not linked yet, else 0. */
export const LINK_FROM = 224;
/** For what code segment each jump cache was filled: 8 bytes (u32 MODE mixed with CS's limit, u32 low half of its base) per cache. */
export const JUMP_KEYS = 232;

export const MODE_CODE16 = 0;
export const MODE_CODE32 = 1;
/** 64-bit code (EFER.LMA and CS.L). */
export const MODE_CODE64 = 2;
export const MODE_CODE_MASK = 3;
/** Bit: real-address mode (CR0.PE = 0). */
export const MODE_REAL = 4;
/** Bit: virtual-8086 mode. */
export const MODE_V86 = 8;
/** Bit: EFER.LMA (long mode active, compatibility mode when code is not 64-bit). */
export const MODE_LONG = 16;

/** Segment registers, SEGMENT_BYTES each, in encoding order ES CS SS DS FS GS, then LDTR, TR. */
export const SEGMENTS = 256;
export const SEGMENT_BYTES = 32;
export const SEG_ES = 0;
export const SEG_CS = 1;
export const SEG_SS = 2;
export const SEG_DS = 3;
export const SEG_FS = 4;
export const SEG_GS = 5;
export const SEG_LDTR = 6;
export const SEG_TR = 7;
/** Offsets inside one segment register. */
export const SEG_BASE = 0; // u64
export const SEG_LIMIT = 8; // u32, bytes, scaled
export const SEG_ATTRIBUTES = 12; // u32, VMX access-rights format, bit 16 = unusable (null)
export const SEG_SELECTOR = 16; // u32
/**
 * Highest offset at which an access of up to 16 bytes needs no further check, for reads and for writes; for
 * anything the quick check cannot decide (expand-down, tiny, read-only, execute-only, null) the access must take the
 * slow path: SEG_FAST_* = 0 and the slow path decides. Quick check: offset < SEG_FAST_x, unsigned.
 * Meaningless in 64-bit mode, where limits are not checked.
 */
export const SEG_FAST_READ = 20; // u32
export const SEG_FAST_WRITE = 24; // u32

export const GDTR_BASE = 512; // u64
export const GDTR_LIMIT = 520; // u32
export const IDTR_BASE = 528; // u64
export const IDTR_LIMIT = 536; // u32
export const CR0 = 544; // u64 each
export const CR2 = 552;
export const CR3 = 560;
export const CR4 = 568;
export const EFER = 576;
/** DR0..DR3, unused, unused, DR6, DR7: u64 each. */
export const DR = 584;
export const DR6 = 632;
export const DR7 = 640;
/** Model-specific registers, u64 each. */
export const MSR_STAR = 648;
export const MSR_LSTAR = 656;
export const MSR_CSTAR = 664;
export const MSR_SFMASK = 672;
export const MSR_KERNEL_GS_BASE = 680;
export const MSR_SYSENTER_CS = 688;
export const MSR_SYSENTER_ESP = 696;
export const MSR_SYSENTER_EIP = 704;
export const MSR_PAT = 712;
export const MSR_TSC_AUX = 720;
export const MSR_MISC_ENABLE = 728;
export const MSR_MTRR_DEF_TYPE = 736;
/** MTRRphysBase0, Mask0, ... 8 pairs (128 bytes), then 11 fixed-range ones (88 bytes). */
export const MSR_MTRR_VARIABLE = 744;
export const MSR_MTRR_FIXED = 872;
/** Added to the host's TSC (wraps). */
export const TSC_OFFSET = 960;
export const MSR_TSC_ADJUST = 968;
export const MSR_BIOS_SIGN_ID = 976;
export const MSR_SPEC_CTRL = 984;
export const XCR0 = 992;
export const MSR_XSS = 1000;
export const MSR_DEBUGCTL = 1008;
export const PKRU = 1016; // u32
export const PKRS = 1020; // u32

/** A fault to deliver: set by the routine that found it, the engine takes it from here. */
export const FAULT_PENDING = 1024; // u32, 1 while the fields below hold a fault
export const FAULT_VECTOR = 1028; // u32
export const FAULT_HAS_ERROR = 1032; // u32
export const FAULT_ERROR = 1036; // u32
/** For #PF: the linear address, copied to CR2 at delivery. For #DB: bits to OR into DR6. */
export const FAULT_ADDRESS = 1040; // u64
/** Interrupt shadow: 1 = after STI, 2 = after MOV SS / POP SS; interrupts wait one instruction. */
export const SHADOW = 1048; // u32
export const NMI_BLOCKED = 1052; // u32
export const HALTED = 1056; // u32
/** Activity of a non-boot processor waiting for SIPI: 1. */
export const WAIT_SIPI = 1060; // u32
/** DR6 bits of data and I/O breakpoints hit by the current instruction (BT: by a task switch), delivered as a trap after it. */
export const PENDING_DEBUG = 1064; // u32
/** Non-zero: data breakpoints are armed in DR7, so translations must not enter the TLB for those pages. */
export const BREAKPOINTS_ARMED = 1068; // u32
/** Counters for the report, u64 each. */
export const COUNT_EXCEPTIONS = 1072;
export const COUNT_INTERRUPTS = 1080;
export const COUNT_TLB_MISSES = 1088;
export const COUNT_BLOCK_LOOKUPS = 1096;
export const COUNT_CODE_INVALIDATIONS = 1104;
/** Whether an instruction that began with TF set is trapped after it: STEP_ below (u32). */
export const STEP = 1112;
export const STEP_TRAPS = 0;
/** Not: INT n and task switches (Intel SDM 3B, 18.3.1.4). */
export const STEP_DOES_NOT = 1;
/** As TF is after it: SYSCALL, SYSRET. */
export const STEP_AS_TF_IS = 2;
/** 1: STI has set IF, and whoever stands at STI_NEXT in front of the next block is in its shadow (u32); the address (u64). */
export const STI_DONE = 1116;
export const STI_NEXT = 1120;
/** Scratch for routines that return more than one value (16-byte aligned). */
export const SCRATCH = 1136; // 64 bytes
/** Physical address mask: MAXPHYADDR bits (u64). */
export const PHYSICAL_MASK = 1200;
/** Identifier of the processor's local APIC (u32): 0 is the one that boots. */
export const APIC_ID = 1208;

/** x87: 8 physical registers R0..R7, 16 bytes each: mantissa u64, sign and exponent u16. MMn is mantissa of Rn. */
export const X87 = 1280;
export const X87_CONTROL = 1408; // u16
export const X87_STATUS = 1412; // u16, TOP in bits 11-13
/** Full tag word, 2 bits per physical register (00 valid, 01 zero, 10 special, 11 empty), u16. */
export const X87_TAGS = 1416;
export const X87_OPCODE = 1420; // u16, 11 bits
export const X87_IP = 1424; // u64
export const X87_IP_SELECTOR = 1432; // u16
export const X87_DP = 1440; // u64
export const X87_DP_SELECTOR = 1448; // u16
export const MXCSR = 1452; // u32

/** 16 vector registers of 32 bytes: XMMn in the low half, the upper half of YMMn above. */
export const VECTOR = 1536;
export const VECTOR_BYTES = 32;

export const STATE_BYTES = 4096;

/** Software TLB: TLB_SETS sets of TLB_ENTRIES entries; index = (linear >> 12) & (TLB_ENTRIES - 1). */
export const TLB = 0x4000;
export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_BYTES = 32;
export const TLB_SET_BYTES = 131072;
export const TLB_SETS = 3;
/** Which set: user accesses (CPL 3), kernel accesses, kernel accesses with EFLAGS.AC under SMAP. */
export const TLB_SET_KERNEL = 0;
export const TLB_SET_USER = 1;
export const TLB_SET_KERNEL_AC = 2;
/**
 * One entry. A tag is the linear page address (low 12 bits 0) or TLB_INVALID, which no page address equals, nor one with
 * the low 3 bits that atomic accesses keep so as not to hit when misaligned. The host address of a byte is (u32)linear +
 * addend, wrapping. MMIO pages, and for writes also code pages, tracked pages and pages whose dirty bit is not yet set,
 * keep their tag invalid and so take the slow path each time.
 */
export const TLB_READ = 0; // u64
export const TLB_WRITE = 8; // u64
export const TLB_FETCH = 16; // u64
export const TLB_ADDEND = 24; // u32
/** Host page number - RAM page index of the entry ((host - RAM_BASE) >> 12), to clear write tags by page. */
export const TLB_RAM_PAGE = 28; // u32
export const TLB_INVALID = 0x800;
/**
 * Which entries (u16 each: counted over all sets) may be valid, so that emptying the TLB costs what filling it did: those that a
 * load of CR3 empties, and the others. How many there are (u32 each), and the lists. An entry is at most once in each.
 */
export const TLB_LOCAL_COUNT = 0x84e00;
export const TLB_GLOBAL_COUNT = 0x84e04;
/** 1 once the TLB, which is zero at first, has been emptied (u32). */
export const TLB_READY = 0x84e08;
export const TLB_LOCAL_LIST = 0x85000;
export const TLB_GLOBAL_LIST = 0x8b000;

/**
 * Two jump caches, kernel then user: RIP of a block's first byte to its record, for the current mode and address
 * space. Entry: RIP u64, record address u32, and its REC_HANDLER and REC_PAGE_OFFSET, u16 each, so that a jump does not touch
 * the record: who changes a first record's handler flushes. Empty entries are all ones, so a flush is a fill with 0xff.
 * Place of an entry: (RIP ^ RIP >> JUMP_CACHE_BITS) modulo JUMP_CACHE_ENTRIES.
 */
export const JUMP_CACHE = 0x64000;
export const JUMP_CACHE_BITS = 12;
export const JUMP_CACHE_ENTRIES = 4096;
export const JUMP_CACHE_ENTRY_BYTES = 16;
export const JUMP_RECORD = 8;
export const JUMP_HANDLER = 12;
export const JUMP_PAGE_OFFSET = 14;
export const JUMP_CACHE_SET_BYTES = 65536;
export const JUMP_CACHE_SETS = 2;

// What a handler or a routine returns to leave the block (0 = carry on).
/** A fault is pending in FAULT_*; the instruction at RECORD did not happen. */
export const LEAVE_FAULT = 1;
/** RIP holds where to go on; mode, privilege or events may have changed. */
export const LEAVE_RESUME = 2;
/** The budget is used up; RIP holds where to go on. */
export const LEAVE_BUDGET = 3;
/** HLT executed; RIP is behind it. */
export const LEAVE_HALT = 4;
/** Triple fault. */
export const LEAVE_SHUTDOWN = 5;
/** The record is no longer valid: go on at its own address. */
export const LEAVE_STALE = 6;
/** The instruction completed but the block must be left; RIP is that of RECORD plus its length. */
export const LEAVE_NEXT = 7;
/** RIP holds the target of a jump that is in no cache: find or decode its block. */
export const LEAVE_JUMP = 8;
/** The block at RIP, whose first record is RECORD, has run often: worth translating. */
export const LEAVE_HOT = 9;
/** A region has come to an access that is not in the TLB, at RIP: interpret the block that begins there. */
export const LEAVE_MISSED = 10;

// Exception vectors (Intel SDM 3A, table 6-1).
/** No vector: an x87 error is reported through FERR# and the instruction waits (CR0.NE clear). */
export const VECTOR_FERR = 256;
export const VECTOR_DE = 0;
export const VECTOR_DB = 1;
export const VECTOR_NMI = 2;
export const VECTOR_BP = 3;
export const VECTOR_OF = 4;
export const VECTOR_BR = 5;
export const VECTOR_UD = 6;
export const VECTOR_NM = 7;
export const VECTOR_DF = 8;
export const VECTOR_TS = 10;
export const VECTOR_NP = 11;
export const VECTOR_SS = 12;
export const VECTOR_GP = 13;
export const VECTOR_PF = 14;
export const VECTOR_MF = 16;
export const VECTOR_AC = 17;
export const VECTOR_MC = 18;
export const VECTOR_XM = 19;

// Identity of the processor, kept in the saved state; src/runtime/cpuid.ts reads it.
/**
 * CPUID feature bits to hide, so that all zeros means everything the engine offers. Words (u32): leaf 1 ECX, EDX; leaf 7
 * EBX, ECX, EDX; leaf 0x80000001 ECX, EDX; leaf 0x80000007 EDX; leaf 6 EAX; leaf 7 subleaf 2 EDX; the rest unused.
 */
export const CPUID_HIDDEN = 2048; // 64 bytes
/** Rate of the time stamp counter in kHz (u32); 0: 1 GHz. Among the words of CPUID_HIDDEN that are not used. */
export const TSC_KHZ = 2108;
/** What of KVM's paravirtual interface is offered (u32): bits of cpu/paravirt.ts; 0: none of it. Another of those words. */
export const PARAVIRT = 2104;
/** Logical processors of the package, and of a core (u32); 0 counts as 1. */
export const PACKAGE_THREADS = 2112;
export const CORE_THREADS = 2116;
/** The four PDPTE registers of PAE paging (Intel SDM 3A, 4.4.1), u64 each. */
export const PDPTES = 2120;
/** 1 when they were loaded (u32); 0 for a state put together from outside. */
export const PDPTES_LOADED = 2152;

/** Registers of the paravirtual interface, as the guest wrote them (u64 each); INIT leaves them alone. */
export const PARAVIRT_SYSTEM_TIME_MSR = 2160;
export const PARAVIRT_WALL_CLOCK_MSR = 2168;
export const PARAVIRT_STEAL_TIME_MSR = 2176;
export const PARAVIRT_END = 2184;
/** Another one (u64), which INIT clears as it does the local APIC. */
export const PARAVIRT_EOI_MSR = 2184;
/** What has become of the offer to leave out an EOI (u32): 0, OFFER_TAKEN, or the host address of the guest's word, which has it. 0 between two runs. */
export const PARAVIRT_EOI_OFFER = 2192;
/** EOIs that were left out, for the report (u32). */
export const PARAVIRT_EOI_COUNT = 2196;

// Flags in TLB_RAM_PAGE above the page number.
export const TLB_PAGE_MASK = 0xfffff;
/** Part of a page larger than 4 KiB. */
export const TLB_PAGE_LARGE = 0x20000000;
/** Stores are allowed, only the page's flags (PAGE_FLAG_*) keep the write tag invalid. */
export const TLB_PAGE_WRITABLE = 0x40000000;
/** Survives a load of CR3. */
export const TLB_PAGE_GLOBAL = 0x80000000;
/** The entry is not in the list of those that a load of CR3 empties; not in that of the others. Of an empty entry all bits are ones. */
export const TLB_PAGE_NOT_LOCAL = 0x10000000;
export const TLB_PAGE_NOT_GLOBAL = 0x08000000;
/** One bit per (linear page number mod 4096): code was fetched there since the jump caches were last emptied. */
export const CODE_PAGES = 0x84000;
export const CODE_PAGES_BYTES = 512;
/** Non-zero: the kernel's jump cache has blocks of pages that are not global (u32). */
export const LOCAL_KERNEL_CODE = 0x84204;

// For translated code (engines/translator); derived, so not part of the saved state.
/** Counts invalidations of decoded code (u32): a running region compares it to see whether it is still true. */
export const CODE_EPOCH = 0x84208;
/** 1 while ES, CS, SS and DS reach all 4 GiB from 0, may be read, and all but CS written; SS.B is set (u32). */
export const FLAT_SEGMENTS = 0x8420c;
/** Bytes from RIP to the end of the code segment, when it ends in RIP's page (u32); else 0. Set by fetchBlock. */
export const CODE_LEFT = 0x84234;
/** Address of this vCPU's block table (u32), see memory/layout.ts. */
export const BLOCKS = 0x84238;
/** How often PAUSE was executed in this run (u32). */
export const PAUSES = 0x8423c;
/** Non-zero: leave translated and interpreted code when user mode is entered, unless USER_STAYS says otherwise (u32). */
export const USER_STOPS = 0x84240;
/** It was entered, and code was left for that (u32); which place of USER_STAYS it has (u32); how often it was entered (u32). */
export const USER_ENTERED = 0x84244;
export const USER_SLOT = 0x84248;
export const USER_ENTRIES = 0x8424c;
/** CR3 of the address space whose user code has run long when it was seen last (u64). */
export const USER_LONG = 0x84250;
/** How much more than once an execution of a block counts until it is hot (u32). */
export const EXTRA_HEAT = 0x84258;
/** Address of this vCPU's shadow tables while they are in use (u32), see memory/layout.ts; else 0. */
export const SHADOW_AREA = 0x8425c;
/** 1: RF is cleared for the instruction at RF_NEXT, which with BUDGET at RF_BUDGET has not been executed yet (u32, i32, u64). */
export const RF_TAKEN = 0x84260;
export const RF_BUDGET = 0x84264;
export const RF_NEXT = 0x84268;
/**
 * By address space and page of the entry (u16 each): what happens when user mode is entered there. 0: code is left; USER_UNKNOWN: it is
 * if the address space is USER_LONG; else it is not, so often, and then unknown.
 */
export const USER_STAYS = 0x84400;
export const USER_UNKNOWN = 0xffff;
export const USER_STAYS_SLOTS = 1024;
/** A record of translated code's own (32 bytes): RECORD points here while a routine runs for it. */
export const POSITION_RECORD = 0x84210;
