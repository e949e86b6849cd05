// IDENTIFY DEVICE data (ATA/ATAPI Command Set 3, ACS-3, section 7.12): 256 words of 16 bits.

export interface DiskIdentity {
  readonly sectors: number;
  readonly serial: string;
  readonly model: string;
  /** Commands that can be queued natively; 0: none. */
  readonly queueDepth: number;
  readonly writeCache: boolean;
}

const WORDS = 256;
const LBA28_SECTORS = 0x0fffffff;
const U16 = 0x10000;

/** The geometry that programs without LBA expect: 16 heads of 63 sectors, up to 16383 cylinders. */
export function identifyDisk(identity: DiskIdentity): Uint8Array {
  const words = new Uint16Array(WORDS);
  const { sectors, queueDepth } = identity;
  const cylinders = Math.min(16383, Math.max(1, Math.floor(sectors / (16 * 63))));
  words[0] = 0x0040; // not removable
  words[1] = cylinders;
  words[3] = 16;
  words[6] = 63;
  text(words, 10, 10, identity.serial);
  text(words, 23, 4, '1');
  text(words, 27, 20, identity.model);
  words[47] = 0x8001; // READ MULTIPLE of one sector
  words[49] = 0x0f00; // DMA, LBA, IORDY
  words[50] = 0x4000;
  words[53] = 0x0006; // words 64 to 70 and 88 are valid
  words[60] = Math.min(sectors, LBA28_SECTORS) % U16;
  words[61] = Math.floor(Math.min(sectors, LBA28_SECTORS) / U16);
  words[63] = 0x0007; // multiword DMA 0 to 2
  words[64] = 0x0003; // PIO 3 and 4
  for (const word of [65, 66, 67, 68]) words[word] = 120; // ns a cycle
  if (queueDepth > 0) {
    words[75] = queueDepth - 1;
    words[76] = 0x010e; // native queuing; 1.5, 3 and 6 Gb/s
  }
  words[80] = 0x01f0; // ATA-4 to ACS-1
  words[82] = 0x4020; // NOP, write cache
  words[83] = 0x7400; // FLUSH CACHE (EXT), 48-bit addresses
  words[84] = 0x4040; // FUA
  words[85] = 0x4000 | (identity.writeCache ? 0x0020 : 0);
  words[86] = 0x3400;
  words[87] = 0x4040;
  words[88] = 0x203f; // Ultra DMA 0 to 5, 5 chosen
  words[93] = queueDepth > 0 ? 0 : 0x600b; // a parallel bus tells of its cable
  for (let i = 0; i < 4; i++) words[100 + i] = Math.floor(sectors / U16 ** i) % U16;
  words[105] = 1; // blocks of 512 bytes that DATA SET MANAGEMENT takes
  words[106] = 0x4000; // one logical sector in a physical one
  words[169] = 0x0001; // TRIM
  words[217] = 0x0001; // no rotation
  const bytes = new Uint8Array(2 * WORDS);
  words.forEach((word, i) => bytes.set([word & 0xff, word >> 8], 2 * i));
  // Integrity word: all bytes add up to zero.
  bytes[510] = 0xa5;
  bytes[511] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

/** Two characters a word, the first in the high byte. */
function text(words: Uint16Array, first: number, count: number, value: string): void {
  const padded = value.slice(0, 2 * count).padEnd(2 * count);
  for (let i = 0; i < count; i++) words[first + i] = (padded.charCodeAt(2 * i) << 8) | padded.charCodeAt(2 * i + 1);
}
