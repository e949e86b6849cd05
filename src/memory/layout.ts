// Where things lie in the one linear memory (DESIGN D1): runtime state first, guest RAM at a fixed page-aligned
// offset. Plain numeric constants: the AssemblyScript routines in src/runtime import this file too.

/** Static data of the runtime module (AssemblyScript's --memoryBase). */
export const RUNTIME_STATIC = 0x1000;
/** List of physical memory regions, see memory-map: count u32 at +0, then REGION_BYTES each from +16. */
export const REGIONS = 0x80000;
export const REGIONS_MAX = 32;
export const REGION_BYTES = 32;
/** Region record: first physical page (u32), page count (u32), host address of the first byte (u32), kind (u32). */
export const REGION_FIRST_PAGE = 0;
export const REGION_PAGES = 4;
export const REGION_HOST = 8;
export const REGION_KIND = 12;
export const REGION_KIND_RAM = 1;
/** Readable and executable like RAM; writes go to the bus as MMIO. */
export const REGION_KIND_ROM = 2;

/** What the threads of a machine share besides: see machine/processors/shared-words.ts. */
export const MACHINE_WORDS = 0x90000;
/** How many vCPUs there are, when each has a thread; else 0 (u32). */
export const MACHINE_THREADS = MACHINE_WORDS;
/** Held by who changes which vCPUs have decoded code of a page (u32). */
export const MACHINE_CODE_LOCK = MACHINE_WORDS + 4;
/** Held by who does a locked access that no atomic instruction does (runtime/locked.ts; u32). */
export const MACHINE_SPLIT_LOCK = MACHINE_WORDS + 24;

/**
 * A set of every software TLB that is always empty, 128 KiB of ones, in use while each access must be looked at: alignment checks,
 * data breakpoints.
 */
export const TLB_EMPTY = 0x98000;

/** vCPU blocks, one after the other; their state layout is the instruction set's but for the offsets here. */
export const VCPU_BASE = 0x100000;
export const VCPU_STRIDE = 0x92000;
export const VCPU_MAX = 64;
/** The local APIC's registers (interrupts/apic-store.ts). */
export const VCPU_APIC = 0x1000;
/** Between the vCPU's thread and the others: see machine/processors/shared-words.ts. */
export const VCPU_CHANNEL = 0x1400;
/** Non-zero: another thread has something for this vCPU (u32). */
export const VCPU_ATTENTION = VCPU_CHANNEL;
/** Counts the beginnings and ends of the runs of a vCPU that has a thread: odd while it executes (u32). */
export const VCPU_RUNS = VCPU_CHANNEL + 128;
/**
 * The same of user code that runs directly (engines/hybrid), which counts as the end of a run: stores there see page flags that had
 * been set before it began, and `clearWriteTags` says of which others it has to be told (u32).
 */
export const VCPU_DIRECT = VCPU_CHANNEL + 148;
/** How many pages other vCPUs have posted for its shadow tables, VCPU_SHADOW_POSTED_ALL: everything (u32; runtime/shadow.ts). */
export const VCPU_SHADOW_POSTED = VCPU_CHANNEL + 152;
export const VCPU_SHADOW_POSTED_ALL = 0xffffffff;
export const VCPU_CHANNEL_BYTES = 0x400;
/** Code that other threads have overwritten, see machine/processors/code-drops.ts. */
export const VCPU_CODE_DROPS = 0x1800;
export const VCPU_CODE_DROPS_BYTES = 0x1800;

/**
 * What the hybrid engine shows to KVM as memory of a vCPU's own: shadow page tables (runtime/shadow.ts), and the monitor's
 * descriptor tables and stubs (engines/hybrid/monitor.ts). That of the first lies here; that of others lies behind RAM. Whole
 * pages; untouched unless that engine runs. Offsets in such an area:
 */
export const SHADOW_MEMORY = 0x2600000;
/** What the runtime keeps about the tables: see runtime/shadow.ts. */
export const SHADOW_HEADER = 0;
/** Table entries that KVM may know otherwise: 16 bytes each, linear address of the entry, linear address that it maps. */
export const SHADOW_PATCHES = 0x1000;
export const SHADOW_PATCHES_MAX = 256;
/** GDT, IDT, TSS, stubs, stack: the monitor's pages. */
export const SHADOW_MONITOR = 0x2000;
/** Tables that map all of this for the supervisor: one third-level table, one of the second, the first's behind it. */
export const SHADOW_MONITOR_MAP = 0xa000;
/** For each page of this memory that is a table of the first level, the linear address that its first entry maps (u64). */
export const SHADOW_LINEAR = 0x14000;
/** From here on tables are made, one after the other. */
export const SHADOW_TABLES = 0x20000;
/** What KVM is shown ends here. */
export const SHADOW_END = 0xe00000;
/** For each host page of RAM (u32): address of the shadow entry that lets user code write to it; 0: none, 1: several. */
export const SHADOW_WRITERS = SHADOW_END;
export const SHADOW_BYTES = 0x1200000;
/** Where the guest of KVM has it: physical, beyond what any board uses; linear, in the upper half. */
export const SHADOW_PHYSICAL = 0xff00000000;
export const SHADOW_LINEAR_BASE = -0x8000000000;

/** One byte of flags per host page of RAM: index = (hostAddress - RAM_BASE) >> 12. */
export const PAGE_FLAGS = SHADOW_MEMORY + SHADOW_BYTES;
/** The page holds decoded or translated code: stores take the slow path. */
export const PAGE_FLAG_CODE = 1;
/** A log of writes is kept, and nobody has written to the page since it was taken last: stores take the slow path, which clears this. */
export const PAGE_FLAG_TRACK = 2;
/** User code runs a copy of the page (engines/hybrid): it is out of date once the page is written to. */
export const PAGE_FLAG_COPIED = 4;

/** For each host page of RAM, a bit for each vCPU that has decoded code of it: two u32. */
export const CODE_OWNERS = 0x3900000;

/** Counters of translated regions while a profile is made: two u64 each (engines/profile). */
export const PROFILE_COUNTERS = 0x4100000;
export const PROFILE_COUNTERS_END = 0x4f00000;

/**
 * The first vCPU's decoded code; that of others lies behind RAM (`codeArea`). Its block table has decoded blocks by the host
 * address of their first byte, two in each set: u64 host address | code size << 32 (0: none), u32 first record.
 * Set: (address ^ address >> 12) & (BLOCK_SETS - 1).
 */
export const BLOCK_TABLE = 0x4f00000;
export const BLOCK_SETS = 65536;
export const BLOCK_SET_BYTES = 32;
export const BLOCK_SLOT_BYTES = 16;
/**
 * Arena of decoded instruction records of the interpreter, right behind its block table: first a byte for each chunk of the arena, counted
 * from its base, not 0 once a jump has led there; then the chunks.
 */
export const DECODE_BASE = 0x5100000;
/** 47 MiB: a compiler has 1.4 million instructions decoded in its run, most of which it needs again. */
export const DECODE_END = 0x8000000;
export const RECORD_MARKS_BYTES = 0x8000;
export const RECORD_CHUNK_SHIFT = 11;
export const RECORD_CHUNK_BYTES = 1 << RECORD_CHUNK_SHIFT;

/** First byte of guest RAM; ROM images follow RAM. */
export const RAM_BASE = 0x8000000;
/** A wasm memory has at most 65536 pages of 64 KiB; one is kept free so that no access wraps. */
export const RAM_MAX_BYTES = 0xf7ff0000;
