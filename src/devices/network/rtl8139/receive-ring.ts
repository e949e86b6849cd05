import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { DESCRIPTOR_BYTES, FIRST, LAST, MOST_DESCRIPTORS, OWNED, RING_END, following } from './descriptor-ring.ts';

const BUFFER_BYTES = 0x1fff;
/** The longest that a descriptor can tell. */
export const LONGEST_RECEIVED = 0x1fff;

/**
 * Puts a frame into the buffers of the descriptors from `index` on; `status` and `tag` are its own bits there. The number of the
 * descriptor behind it; `full`: too few are the card's; `never`: all of the ring is too short.
 */
export function fill(memory: GuestMemory, base: number, index: number, bytes: Uint8Array, status: number, tag: number): number | 'full' | 'never' {
  const found: { readonly at: number; readonly flags: number; readonly bytes: number }[] = [];
  let next = index;
  for (let room = 0; room < bytes.length;) {
    if (found.length === MOST_DESCRIPTORS) return 'never';
    const at = base + next * DESCRIPTOR_BYTES;
    const flags = memory.readU32(at);
    if ((flags & OWNED) === 0) return 'full';
    found.push({ at, flags, bytes: flags & BUFFER_BYTES });
    room += flags & BUFFER_BYTES;
    next = following(next, flags);
    if (room < bytes.length && next === index) return 'never';
  }
  let from = 0;
  found.forEach((descriptor, i) => {
    const part = bytes.subarray(from, from + descriptor.bytes);
    from += part.length;
    memory.write(memory.readU32(descriptor.at + 8) + memory.readU32(descriptor.at + 12) * 2 ** 32, part);
    memory.writeU32(descriptor.at + 4, tag);
    const ends = (i === 0 ? FIRST : 0) | (i === found.length - 1 ? LAST : 0);
    // The flags come last, and make it the driver's.
    memory.writeU32(descriptor.at, ((descriptor.flags & RING_END) | ends | status | bytes.length) >>> 0);
  });
  return next;
}
