// Descriptors and gates as they lie in memory (Intel SDM 3A, figures 3-8, 5-8 and 6-2).

export interface SegmentFields {
  readonly base?: number;
  /** In bytes; above 1 MiB in pages. */
  readonly limit?: number;
  /** Access byte: P, DPL, S, type. */
  readonly access: number;
  /** AVL, L, D/B as bits 0, 1, 2. */
  readonly flags?: number;
}

export function segmentDescriptor({ base = 0, limit = 0xffffffff, access, flags = 4 }: SegmentFields): bigint {
  const pages = limit > 0xfffff;
  const units = BigInt(pages ? limit >>> 12 : limit);
  const b = BigInt(base);
  return (units & 0xffffn) | ((b & 0xffffffn) << 16n) | (BigInt(access) << 40n) | ((units >> 16n) << 48n) | (BigInt(flags | (pages ? 8 : 0)) << 52n) | ((b >> 24n) << 56n);
}

/** Call, interrupt, trap and task gates; `parameters` of a call gate, or the interrupt stack of a 64-bit one. */
export function gateDescriptor(access: number, selector: number, offset = 0, parameters = 0): bigint {
  const o = BigInt(offset);
  return (o & 0xffffn) | (BigInt(selector) << 16n) | (BigInt(parameters) << 32n) | (BigInt(access) << 40n) | ((o >> 16n & 0xffffn) << 48n);
}
