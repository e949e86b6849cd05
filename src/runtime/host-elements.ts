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

/** Up to here loads and stores are quicker than what memory.copy and memory.fill call. */
const FEW_BYTES: usize = 64;

/** As memory.copy: whatever overlaps, all is read before anything is written. */
function copyBytes(to: usize, from: usize, bytes: usize): void {
  if (bytes > FEW_BYTES) memory.copy(to, from, bytes);
  else if (bytes >= 32) {
    const a = v128.load(from), b = v128.load(from, 16), c = v128.load(from + bytes - 32), d = v128.load(from + bytes - 16);
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to + bytes - 32, c);
    v128.store(to + bytes - 16, d);
  } else if (bytes >= 16) {
    const a = v128.load(from), b = v128.load(from + bytes - 16);
    v128.store(to, a);
    v128.store(to + bytes - 16, b);
  } else if (bytes >= 8) {
    const a = load<u64>(from), b = load<u64>(from + bytes - 8);
    store<u64>(to, a);
    store<u64>(to + bytes - 8, b);
  } else if (bytes >= 4) {
    const a = load<u32>(from), b = load<u32>(from + bytes - 4);
    store<u32>(to, a);
    store<u32>(to + bytes - 4, b);
  } else if (bytes >= 2) {
    const a = load<u16>(from), b = load<u8>(from + bytes - 1);
    store<u16>(to, a);
    store<u8>(to + bytes - 1, b);
  } else store<u8>(to, load<u8>(from));
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
      copyBytes(to, from, bytes);
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
    copyBytes(to - below, from - below, bytes);
    return;
  }
  for (let i: usize = 0; i < bytes; i += size) hostStore(to - i, hostLoad(from - i, size), size);
}

/** Stores n copies of an element from the lowest address on. */
export function fillElements(to: usize, value: u64, n: u32, size: u32): void {
  const bytes: usize = n * size;
  const byte: u64 = (value & 0xff) * 0x0101010101010101;
  const unused: u64 = 64 - (<u64>size << 3);
  if (bytes > FEW_BYTES && byte << unused == value << unused) {
    memory.fill(to, <u8>value, bytes);
    return;
  }
  const pattern = size == 1 ? byte : size == 2 ? (value & 0xffff) * 0x0001000100010001 : size == 4 ? (value & 0xffffffff) * 0x0000000100000001 : value;
  const seed: usize = min<usize>(bytes, FEW_BYTES); // a multiple of every element size
  let i: usize = 0;
  for (; i + 8 <= seed; i += 8) store<u64>(to + i, pattern);
  for (; i < seed; i += size) hostStore(to + i, value, size);
  for (let done = seed; done < bytes; done *= 2) memory.copy(to + done, to, min<usize>(done, bytes - done));
}
