/** Guest physical address: an integer below 2^52, so a double holds it exactly. */
export type PhysicalAddress = number & { readonly __brand?: 'PhysicalAddress' };

/** Width of one port or MMIO access in bytes. Wider accesses are split by the engine, low half first. */
export type AccessSize = 1 | 2 | 4;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
export const PAGE_MASK = 4095;
