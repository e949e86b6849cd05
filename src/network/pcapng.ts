import type { Frame } from '../host/packets.ts';

// PCAP Next Generation capture files (draft-ietf-opsawg-pcapng), little-endian.

const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER = 0x1a2b3c4d;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const ETHERNET = 1;
const OPTION_END = 0;
const OPTION_NAME = 2;
const OPTION_FLAGS = 2;
const OPTION_APPLICATION = 4;
const INBOUND = 1;
const OUTBOUND = 2;
/** The section's length is not known yet. */
const UNKNOWN_LENGTH = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff] as const;

interface Option {
  readonly code: number;
  readonly value: Uint8Array;
}

/** Type, length, contents padded to 32 bits, options, length again. */
function block(type: number, contents: Uint8Array, options: readonly Option[]): Uint8Array {
  const padded = (length: number): number => (length + 3) & ~3;
  const optionBytes = options.reduce((sum, { value }) => sum + 4 + padded(value.length), 4);
  const length = 12 + padded(contents.length) + optionBytes;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  bytes.set(contents, 8);
  let at = 8 + padded(contents.length);
  for (const { code, value } of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  view.setUint16(at, OPTION_END, true);
  view.setUint32(length - 4, length, true);
  return bytes;
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setUint32(4 * i, value, true));
  return bytes;
}

/** What a file begins with: who has made it, and the interfaces by number. */
export function captureHeader(application: string, interfaces: readonly string[]): Uint8Array {
  const text = (value: string): Uint8Array => Uint8Array.from(value, (letter) => letter.charCodeAt(0)); // ASCII
  const section = Uint8Array.of(...words(BYTE_ORDER), 1, 0, 0, 0, ...UNKNOWN_LENGTH);
  const blocks = [
    block(SECTION_HEADER, section, [{ code: OPTION_APPLICATION, value: text(application) }]),
    ...interfaces.map((name) => block(INTERFACE, words(ETHERNET, 0), [{ code: OPTION_NAME, value: text(name) }])),
  ];
  return Uint8Array.from(blocks.flatMap((bytes) => [...bytes]));
}

/** One frame; time in microseconds since 1970. Checksums that were left to a card are as they are, as on any such host. */
export function capturedFrame(card: number, direction: 'in' | 'out', { bytes }: Frame, time: number): Uint8Array {
  const contents = new Uint8Array(20 + bytes.length);
  contents.set(words(card, Math.floor(time / 2 ** 32), time % 2 ** 32, bytes.length, bytes.length));
  contents.set(bytes, 20);
  return block(ENHANCED_PACKET, contents, [{ code: OPTION_FLAGS, value: words(direction === 'in' ? INBOUND : OUTBOUND) }]);
}
