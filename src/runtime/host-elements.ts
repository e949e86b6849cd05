// Elements of 1, 2, 4 or 8 bytes at host addresses, in the order that string instructions promise.

// @ts-ignore: decorator
@inline export function hostLoad(host: usize, size: u32): u64 {
  return size == 1 ? load<u8>(host) : size == 2 ? load<u16>(host) : size == 4 ? load<u32>(host) : load<u64>(host);
}

// @ts-ignore: decorator
@inline export function hostStore(host: usize, value: u64, size: u32): void {
  if (size == 1) store<u8>(host, <u8>value);
  else if (size == 2) store<u16>(host, <u16>value);
  else if (size == 4) store<u32>(host, <u32>value);
  else store<u64>(host, value);
}

/** Below this distance between source and destination a copy goes by elements. */
const SMALL_DISTANCE: usize = 64;

/**
 * Copies n elements one after the other, upwards or (`down`) downwards from the given first elements; what an element
 * writes, later ones read when the ranges overlap so.
 */
export function copyElements(to: usize, from: usize, n: u32, size: u32, down: bool): void {
  const bytes: usize = n * size;
  if (!down) {
    const distance = to - from; // huge when `to` lies below
    if (distance == 0 || distance >= bytes) {
      memory.copy(to, from, bytes);
      return;
    }
    if (distance == 1 && size == 1) {
      memory.fill(to, load<u8>(from), bytes);
      return;
    }
    if (distance >= SMALL_DISTANCE) {
      const piece = distance - (distance & (size - 1));
      for (let done: usize = 0; done < bytes; done += piece) memory.copy(to + done, from + done, min<usize>(piece, bytes - done));
      return;
    }
    for (let i: usize = 0; i < bytes; i += size) hostStore(to + i, hostLoad(from + i, size), size);
    return;
  }
  const distance = from - to;
  if (distance == 0 || distance >= bytes) {
    const below = bytes - size;
    memory.copy(to - below, from - below, bytes);
    return;
  }
  for (let i: usize = 0; i < bytes; i += size) hostStore(to - i, hostLoad(from - i, size), size);
}

/** Stores n copies of an element from the lowest address on. */
export function fillElements(to: usize, value: u64, n: u32, size: u32): void {
  const bytes: usize = n * size;
  const pattern: u64 = (value & 0xff) * 0x0101010101010101;
  const unused: u64 = 64 - (<u64>size << 3);
  if (pattern << unused == value << unused) {
    memory.fill(to, <u8>value, bytes);
    return;
  }
  const seed: usize = min<usize>(bytes, 64); // a multiple of every element size
  for (let i: usize = 0; i < seed; i += size) hostStore(to + i, value, size);
  for (let done = seed; done < bytes; done *= 2) memory.copy(to + done, to, min<usize>(done, bytes - done));
}
