// Registers of the 82540EM (Intel, PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, chapter 13), by offset.

export const CTRL = 0x0000;
export const STATUS = 0x0008;
export const EECD = 0x0010;
export const EERD = 0x0014;
export const MDIC = 0x0020;
export const VET = 0x0038;
export const ICR = 0x00c0;
export const ICS = 0x00c8;
export const IMS = 0x00d0;
export const IMC = 0x00d8;
export const RCTL = 0x0100;
export const TCTL = 0x0400;
export const RDBAL = 0x2800;
export const RDBAH = 0x2804;
export const RDLEN = 0x2808;
export const RDH = 0x2810;
export const RDT = 0x2818;
export const TDBAL = 0x3800;
export const TDBAH = 0x3804;
export const TDLEN = 0x3808;
export const TDH = 0x3810;
export const TDT = 0x3818;
export const RXCSUM = 0x5000;
/** Tables: hashes of multicast addresses, addresses, VLANs. */
export const MTA = 0x5200;
export const RAL = 0x5400;
export const RAH = 0x5404;
export const VFTA = 0x5600;
export const TABLE_WORDS = 128;
export const ADDRESSES = 16;

// Counters: frames and bytes received and sent, good ones and all. They are cleared by reading.
export const GPRC = 0x4074;
export const GPTC = 0x4080;
export const GORCL = 0x4088;
export const GOTCL = 0x4090;
export const TPR = 0x40d0;
export const TPT = 0x40d4;
export const COUNTERS: readonly number[] = [GPRC, GPTC, GORCL, GOTCL, TPR, TPT];

/** The bits of registers that a driver writes, where these are plain memory to it; CTRL, MDIC and the like do something besides. */
const PLAIN: Readonly<Record<number, number>> = {
  [CTRL]: 0x7fffffff & ~0x04000000, 0x0018: 0xffffffff, 0x0028: 0xffffffff, 0x002c: 0xffff, 0x0030: 0xffff, [VET]: 0xffff, 0x00c4: 0xffff, [RCTL]: 0xffffffff, 0x0170: 0xffff,
  0x0178: 0xffffffff, [TCTL]: 0xffffffff, 0x0410: 0xffffffff, 0x0458: 0xffff, 0x0e00: 0xffffffff, 0x1000: 0xffffffff, 0x2160: 0xffffffff, 0x2168: 0xffffffff, [RDBAL]: 0xfffffff0,
  [RDBAH]: 0xffffffff, [RDLEN]: 0xfff80, [RDH]: 0xffff, [RDT]: 0xffff, 0x2820: 0xffff, 0x2828: 0xffffffff, 0x282c: 0xffff, [TDBAL]: 0xfffffff0, [TDBAH]: 0xffffffff, [TDLEN]: 0xfff80,
  [TDH]: 0xffff, [TDT]: 0xffff, 0x3820: 0xffff, 0x3828: 0xffffffff, 0x382c: 0xffff, [RXCSUM]: 0x7ff, 0x5800: 0xffff, 0x5808: 0xffff, 0x5820: 0xffffffff,
};
const table = (first: number, words: number): readonly (readonly [number, number])[] => Array.from({ length: words }, (_, i) => [first + 4 * i, 0xffffffff] as const);

export const WRITABLE: ReadonlyMap<number, number> = new Map<number, number>([
  ...Object.entries(PLAIN).map(([offset, mask]) => [Number(offset), mask] as const), ...table(MTA, TABLE_WORDS), ...table(RAL, 2 * ADDRESSES), ...table(VFTA, TABLE_WORDS),
]);

/** Power-on values that are not zero. */
export const RESET_VALUES: ReadonlyMap<number, number> = new Map<number, number>([[CTRL, 0x00000201], [0x1000, 0x00100030], [0x0e00, 0x07061302], [VET, 0x8100], [RXCSUM, 0x300]]);
