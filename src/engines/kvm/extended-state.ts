// x87, SSE and AVX registers and PKRU between the vCPU's block and an XSAVE image in standard form (Intel SDM 1, 13.4).

import { MXCSR, PKRU, VECTOR, VECTOR_BYTES, X87, X87_CONTROL, X87_DP, X87_DP_SELECTOR, X87_IP, X87_IP_SELECTOR, X87_OPCODE, X87_STATUS, X87_TAGS } from '../../isa/x86/state/layout.ts';

const FCW = 0;
const FSW = 2;
const FTW = 4;
const FOP = 6;
const FIP = 8;
const FDP = 16;
const IMAGE_MXCSR = 24;
const ST = 32;
const XMM = 160;
const XSTATE_BV = 512;
const YMM_HIGH = 576;
const COMPONENT_X87 = 1n;
const COMPONENT_SSE = 2n;
const COMPONENT_AVX = 4n;
const COMPONENT_PKRU = 0x200n;

const TAG_VALID = 0;
const TAG_ZERO = 1;
const TAG_SPECIAL = 2;
const TAG_EMPTY = 3;

/** What the host's XSAVE image can hold. */
export interface XsaveLayout {
  /** Components that KVM takes, as bits of XCR0. */
  readonly components: bigint;
  /** Offset of PKRU in the image; 0: none. */
  readonly pkru: number;
}

/** Writes a cleared image. The selectors of the last x87 instruction are not part of it (REX.W form), as on processors that no longer keep them. */
export function packExtendedState(block: DataView, layout: XsaveLayout, image: DataView): void {
  const top = (block.getUint16(X87_STATUS, true) >> 11) & 7;
  const tags = block.getUint16(X87_TAGS, true);
  let abridged = 0;
  for (let n = 0; n < 8; n++) {
    if (((tags >> (2 * n)) & 3) !== TAG_EMPTY) abridged |= 1 << n;
    const from = X87 + 16 * ((top + n) & 7);
    image.setBigUint64(ST + 16 * n, block.getBigUint64(from, true), true);
    image.setUint16(ST + 16 * n + 8, block.getUint16(from + 8, true), true);
  }
  image.setUint16(FCW, block.getUint16(X87_CONTROL, true), true);
  image.setUint16(FSW, block.getUint16(X87_STATUS, true), true);
  image.setUint8(FTW, abridged);
  image.setUint16(FOP, block.getUint16(X87_OPCODE, true), true);
  image.setBigUint64(FIP, block.getBigUint64(X87_IP, true), true);
  image.setBigUint64(FDP, block.getBigUint64(X87_DP, true), true);
  image.setUint32(IMAGE_MXCSR, block.getUint32(MXCSR, true), true);
  for (let n = 0; n < 16; n++) {
    for (let half = 0; half < 2; half++) {
      image.setBigUint64(XMM + 16 * n + 8 * half, block.getBigUint64(VECTOR + VECTOR_BYTES * n + 8 * half, true), true);
      image.setBigUint64(YMM_HIGH + 16 * n + 8 * half, block.getBigUint64(VECTOR + VECTOR_BYTES * n + 16 + 8 * half, true), true);
    }
  }
  if (layout.pkru !== 0) image.setUint32(layout.pkru, block.getUint32(PKRU, true), true);
  image.setBigUint64(XSTATE_BV, (COMPONENT_X87 | COMPONENT_SSE | COMPONENT_AVX | (layout.pkru === 0 ? 0n : COMPONENT_PKRU)) & layout.components, true);
}

export function unpackExtendedState(image: DataView, layout: XsaveLayout, block: DataView): void {
  const present = image.getBigUint64(XSTATE_BV, true);
  const has = (component: bigint): boolean => (present & component) !== 0n;
  unpackX87(image, has(COMPONENT_X87), block);
  // MXCSR comes with either of SSE and AVX state.
  block.setUint32(MXCSR, has(COMPONENT_SSE) || has(COMPONENT_AVX) ? image.getUint32(IMAGE_MXCSR, true) : 0x1f80, true);
  for (let n = 0; n < 16; n++) {
    for (let half = 0; half < 2; half++) {
      block.setBigUint64(VECTOR + VECTOR_BYTES * n + 8 * half, has(COMPONENT_SSE) ? image.getBigUint64(XMM + 16 * n + 8 * half, true) : 0n, true);
      block.setBigUint64(VECTOR + VECTOR_BYTES * n + 16 + 8 * half, has(COMPONENT_AVX) ? image.getBigUint64(YMM_HIGH + 16 * n + 8 * half, true) : 0n, true);
    }
  }
  if (layout.pkru !== 0) block.setUint32(PKRU, has(COMPONENT_PKRU) ? image.getUint32(layout.pkru, true) : 0, true);
}

function unpackX87(image: DataView, present: boolean, block: DataView): void {
  const status = present ? image.getUint16(FSW, true) : 0;
  const abridged = present ? image.getUint8(FTW) : 0;
  const top = (status >> 11) & 7;
  let tags = 0;
  for (let n = 0; n < 8; n++) {
    const mantissa = present ? image.getBigUint64(ST + 16 * n, true) : 0n;
    const exponent = present ? image.getUint16(ST + 16 * n + 8, true) : 0;
    const register = (top + n) & 7;
    block.setBigUint64(X87 + 16 * register, mantissa, true);
    block.setUint16(X87 + 16 * register + 8, exponent, true);
    tags |= ((abridged >> register) & 1 ? tagOf(mantissa, exponent) : TAG_EMPTY) << (2 * register);
  }
  block.setUint16(X87_CONTROL, present ? image.getUint16(FCW, true) : 0x37f, true);
  block.setUint16(X87_STATUS, status, true);
  block.setUint16(X87_TAGS, tags, true);
  block.setUint16(X87_OPCODE, present ? image.getUint16(FOP, true) & 0x7ff : 0, true);
  block.setBigUint64(X87_IP, present ? image.getBigUint64(FIP, true) : 0n, true);
  block.setBigUint64(X87_DP, present ? image.getBigUint64(FDP, true) : 0n, true);
  block.setUint16(X87_IP_SELECTOR, 0, true);
  block.setUint16(X87_DP_SELECTOR, 0, true);
}

/** The full tag of a register that is in use (Intel SDM 1, 8.1.7 and table 10-4 of FXSAVE). */
function tagOf(mantissa: bigint, exponent: number): number {
  const biased = exponent & 0x7fff;
  if (biased === 0x7fff) return TAG_SPECIAL;
  if (biased === 0) return mantissa === 0n ? TAG_ZERO : TAG_SPECIAL;
  return mantissa >> 63n === 0n ? TAG_SPECIAL : TAG_VALID;
}
