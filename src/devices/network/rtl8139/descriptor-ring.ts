// Descriptors of a C+ (RTL8139C+ data sheet, chapter "C+ Mode"): flags and length, VLAN tag, address. Rings for both ways end alike.

export const DESCRIPTOR_BYTES = 16;
/** No ring is longer. */
export const MOST_DESCRIPTORS = 64;

export const OWNED = 0x80000000;
export const RING_END = 0x40000000;
export const FIRST = 0x20000000;
export const LAST = 0x10000000;

/** The number of the descriptor behind the one that has these flags. */
export function following(index: number, flags: number): number {
  return (flags & RING_END) !== 0 ? 0 : (index + 1) % MOST_DESCRIPTORS;
}
