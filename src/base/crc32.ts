const POLYNOMIAL = 0xedb88320;

/** CRC of each byte, and of each byte followed by one to three zero bytes. */
const TABLES = [new Int32Array(256), new Int32Array(256), new Int32Array(256), new Int32Array(256)] as const;
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) !== 0 ? POLYNOMIAL : 0);
  TABLES[0][byte] = crc;
}
for (let byte = 0; byte < 256; byte++) for (let i = 1; i < 4; i++) TABLES[i]![byte] = (TABLES[i - 1]![byte]! >>> 8) ^ TABLES[0][TABLES[i - 1]![byte]! & 0xff]!;

/** CRC-32 (ISO 3309), four bytes at a time; `before` is that of the bytes in front. */
export function crc32(bytes: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3] = TABLES;
  let crc = ~before;
  let i = 0;
  for (const end = bytes.length - 3; i < end; i += 4) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc = t3[crc & 0xff]! ^ t2[(crc >>> 8) & 0xff]! ^ t1[(crc >>> 16) & 0xff]! ^ t0[crc >>> 24]!;
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}
