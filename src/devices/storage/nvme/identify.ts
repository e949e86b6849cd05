import { TRANSFER_SHIFT } from './namespace.ts';

// Identify data structures (NVM Express 1.4, section 5.15.2).

export const IDENTIFY_BYTES = 4096;
export const VENDOR = 0x1b36;
export const VERSION = 0x00010400;
export const MOST_EVENT_REQUESTS = 4;
const SECTOR_SHIFT = 9;

function ascii(text: string, length: number): Uint8Array {
  return Uint8Array.from(text.slice(0, length).padEnd(length), (letter) => letter.charCodeAt(0));
}

/** CNS 01h (figure 247). */
export function identifyController(serial: string, uuid: Uint8Array): Uint8Array {
  const data = new Uint8Array(IDENTIFY_BYTES);
  const view = new DataView(data.buffer);
  view.setUint16(0, VENDOR, true);
  view.setUint16(2, VENDOR, true);
  data.set(ascii(serial, 20), 4);
  data.set(ascii('Polyvisor NVMe disk', 40), 24);
  data.set(ascii('1', 8), 64);
  data[72] = 6; // recommended arbitration burst
  data[77] = TRANSFER_SHIFT;
  view.setUint32(80, VERSION, true);
  data[111] = 1; // an I/O controller
  data[258] = 3; // aborts at a time, less one
  data[259] = MOST_EVENT_REQUESTS - 1;
  data[260] = 0x03; // one slot of firmware, read-only
  view.setUint16(266, 343, true); // warning and critical temperature in kelvin
  view.setUint16(268, 373, true);
  data[512] = 0x66; // 64-byte commands
  data[513] = 0x44; // 16-byte completions
  view.setUint32(516, 1, true);
  view.setUint16(520, 0x000c, true); // dataset management, write zeroes
  data[525] = 0x07; // a volatile write cache; a flush may name all namespaces
  const name = `nqn.2014-08.org.nvmexpress:uuid:${uuidText(uuid)}`;
  data.set(ascii(name, name.length), 768);
  view.setUint16(2048, 2500, true); // power state 0: 25 W
  return data;
}

/** CNS 00h (figure 245). */
export function identifyNamespace(sectors: number, readOnly: boolean): Uint8Array {
  const data = new Uint8Array(IDENTIFY_BYTES);
  const view = new DataView(data.buffer);
  for (const offset of [0, 8, 16]) view.setBigUint64(offset, BigInt(sectors), true);
  data[99] = readOnly ? 1 : 0;
  data[130] = SECTOR_SHIFT;
  return data;
}

/** CNS 02h: the namespaces above the given one. */
export function namespaceList(above: number): Uint8Array {
  const data = new Uint8Array(IDENTIFY_BYTES);
  if (above < 1) data[0] = 1;
  return data;
}

/** CNS 03h (figure 249): the namespace by its UUID. */
export function namespaceDescriptors(uuid: Uint8Array): Uint8Array {
  const data = new Uint8Array(IDENTIFY_BYTES);
  data[0] = 3;
  data[1] = 16;
  data.set(uuid, 4);
  return data;
}

/** A UUID (version 8) out of the serial number: as unique as that is. */
export function uuidOf(serial: string): Uint8Array {
  const uuid = new Uint8Array(16);
  [...serial].forEach((letter, i) => (uuid[i % 16] = Math.imul(uuid[i % 16]!, 31) + letter.charCodeAt(0)));
  uuid[6] = (uuid[6]! & 0x0f) | 0x80;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}

function uuidText(uuid: Uint8Array): string {
  const hex = [...uuid].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
