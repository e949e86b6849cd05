// What a disk says of itself: INQUIRY, its vital product data, mode pages (SPC-4, 6.6, 7.5 and 7.8; SBC-3, 6.4 and 6.5).

export const SECTOR = 512;
/** The most sectors of one command, 16 MiB. */
export const MOST_SECTORS = 1 << 15;
/** The most sectors of a range to discard or zero, 2 GiB, and the most ranges. */
export const MOST_UNMAPPED = 1 << 22;
export const MOST_RANGES = 64;

const VENDOR = 'POLYVSR';
const PRODUCT = 'Polyvisor disk';
const REVISION = '1.0';

export interface ScsiIdentity {
  /** At most 20 characters of ASCII. */
  readonly serial: string;
  readonly readOnly: boolean;
  /** Sectors can be let go, and read as zeros then. */
  readonly thin: boolean;
}

function ascii(text: string, length = text.length): number[] {
  return [...text.padEnd(length)].map((letter) => letter.charCodeAt(0));
}

export function standardInquiry(): Uint8Array {
  const head = [0, 0, 6, 2, 31, 0, 0, 2]; // a disk; SPC-4; command queuing
  return Uint8Array.of(...head, ...ascii(VENDOR, 8), ...ascii(PRODUCT, 16), ...ascii(REVISION, 4));
}

/** Where no logical unit is (6.6.2: qualifier 011b). */
export function inquiryOfNothing(): Uint8Array {
  const data = standardInquiry();
  data[0] = 0x7f;
  return data;
}

/** A page with its header; undefined for one that there is not. */
export function vitalProductData(page: number, identity: ScsiIdentity): Uint8Array | undefined {
  const body = vitalBody(page, identity);
  return body === undefined ? undefined : Uint8Array.of(0, page, body.length >> 8, body.length & 0xff, ...body);
}

function vitalBody(page: number, { serial, readOnly, thin }: ScsiIdentity): Uint8Array | number[] | undefined {
  switch (page) {
    case 0x00:
      return [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2];
    case 0x80:
      return ascii(serial);
    case 0x83: { // one designator, of the logical unit: T10 vendor identification
      const name = [...ascii(VENDOR, 8), ...ascii(serial)];
      return [0x02, 0x01, 0, name.length, ...name];
    }
    case 0xb0: { // block limits
      const limits = new Uint8Array(60);
      const view = new DataView(limits.buffer);
      view.setUint32(4, MOST_SECTORS);
      if (thin) {
        view.setUint32(16, MOST_UNMAPPED);
        view.setUint32(20, MOST_RANGES);
        view.setUint32(24, 1); // granularity
      }
      if (!readOnly) view.setBigUint64(32, BigInt(MOST_UNMAPPED)); // WRITE SAME
      return limits;
    }
    case 0xb1: { // block device characteristics: does not rotate
      const characteristics = new Uint8Array(60);
      characteristics[1] = 1;
      return characteristics;
    }
    case 0xb2: // logical block provisioning: UNMAP, WRITE SAME (16) and (10) let sectors go; thin
      return thin ? [0, 0xe4, 2, 0] : [0, 0, 0, 0];
    default:
      return undefined;
  }
}

/** Mode pages one behind the other; undefined for one that there is not. `changeable`: masks of what MODE SELECT may change. */
export function modePages(page: number, changeable: boolean): number[] | undefined {
  // Caching: writes wait for SYNCHRONIZE CACHE (WCE). Control: commands may be reordered. Nothing can be changed.
  const pages = new Map([[0x08, [0x08, 18, 4, ...new Array<number>(17).fill(0)]], [0x0a, [0x0a, 10, 0, 0x10, ...new Array<number>(8).fill(0)]]]);
  const wanted = page === 0x3f ? [...pages.values()] : pages.has(page) ? [pages.get(page)!] : undefined;
  return wanted?.flatMap((values) => (changeable ? values.map((value, i) => (i < 2 ? value : 0)) : values));
}
