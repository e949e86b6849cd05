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

/** vCPU blocks, one after the other. */
export const VCPU_BASE = 0x100000;
export const VCPU_STRIDE = 0x40000;
export const VCPU_MAX = 64;

/** One byte of flags per host page of RAM: index = (hostAddress - RAM_BASE) >> 12. */
export const PAGE_FLAGS = 0x2000000;
/** The page holds decoded or translated code: stores take the slow path. */
export const PAGE_FLAG_CODE = 1;
/** Stores must be logged (migration, display): stores take the slow path until the log has the page. */
export const PAGE_FLAG_TRACK = 2;

/** Counters of translated regions while a profile is made: two u64 each (engines/profile). */
export const PROFILE_COUNTERS = 0x3000000;
export const PROFILE_COUNTERS_END = 0x4000000;

/**
 * Decoded blocks by the host address of their first byte, one entry for each slot: u64 host address | code size << 32 (0: none),
 * u32 first record. Slot: (address ^ address >> 12) & (BLOCK_SLOTS - 1).
 */
export const BLOCK_TABLE = 0x4000000;
export const BLOCK_SLOTS = 65536;
export const BLOCK_SLOT_BYTES = 16;
/** Arena of decoded instruction records of the interpreter. */
export const DECODE_BASE = 0x4100000;
export const DECODE_END = 0x8000000;

/** First byte of guest RAM; ROM images follow RAM. */
export const RAM_BASE = 0x8000000;
/** A wasm memory has at most 65536 pages of 64 KiB; one is kept free so that no access wraps. */
export const RAM_MAX_BYTES = 0xf7ff0000;
