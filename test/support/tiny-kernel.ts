// Guests of a few bytes, as multiboot 1 images with address fields (Multiboot Specification 0.6.96, section 3.1.3):
// entered in 32-bit protected mode without paging.

const LOAD_ADDRESS = 0x100000;
const HEADER_BYTES = 32;
const MAGIC = 0x1badb002;
const HAS_ADDRESSES = 0x10000;

export function tinyKernel(...code: readonly (readonly number[])[]): Uint8Array {
  const bytes = code.flat();
  const image = new Uint8Array(HEADER_BYTES + bytes.length);
  const view = new DataView(image.buffer);
  [MAGIC, HAS_ADDRESSES, -(MAGIC + HAS_ADDRESSES), LOAD_ADDRESS, LOAD_ADDRESS, 0, 0, LOAD_ADDRESS + HEADER_BYTES].forEach((word, i) => view.setUint32(4 * i, word, true));
  image.set(bytes, HEADER_BYTES);
  return image;
}

const setDx = (port: number): number[] => [0x66, 0xba, port & 0xff, port >> 8];
export const outByte = (port: number, value: number): number[] => [...setDx(port), 0xb0, value, 0xee];
export const outWord = (port: number, value: number): number[] => [...setDx(port), 0x66, 0xb8, value & 0xff, value >> 8, 0x66, 0xef];
export const print = (text: string): number[] => [...text].flatMap((letter) => outByte(0x3f8, letter.charCodeAt(0)));
/** SLP_TYP 5 and SLP_EN to PM1a control. */
export const powerOff = (): number[] => outWord(0x604, 0x3400);
export const hardReset = (): number[] => outByte(0xcf9, 6);
/** UD2 with an interrupt table of zeros. */
export const tripleFault = (): number[] => [0x0f, 0x0b];
export const spin = (): number[] => [0xeb, 0xfe];
/** CLI, HLT and again. */
export const haltForever = (): number[] => [0xfa, 0xf4, 0xeb, 0xfd];
/** Waits for a byte on the serial port and sends it back, for ever. */
export const echo = (): number[] => [
  ...setDx(0x3fd), 0xec, 0xa8, 0x01, 0x74, 0xf7, // in al,dx; test al,1; jz back to the start
  ...setDx(0x3f8), 0xec, 0xee, 0xeb, 0xef, // in al,dx; out dx,al; jmp to the start
];
