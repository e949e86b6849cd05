import type { AccessSize } from '../../base/addresses.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise } from '../byte-registers.ts';
import { ROM_SMALLEST } from './config-space.ts';

// Option ROM images (PCI Firmware Specification 3.3, section 5.1).

const UNIT = 512;
const LENGTH = 2;
/** Images for a BIOS keep this byte, behind the jump to their start, for what makes the sum of all zero. */
const CHECKSUM = 6;
const DATA_STRUCTURE = 0x18;
const VENDOR = 4;
const DEVICE = 6;

/** What the expansion ROM base address shows: a power of two of bytes. */
export function romBlock(name: string, image: Uint8Array): RegisterBlock {
  return {
    name: `${name}-rom`,
    length: 2 ** Math.ceil(Math.log2(Math.max(image.length, ROM_SMALLEST))),
    read: (offset: number, size: AccessSize) => readBytewise(offset, size, (at) => image[at] ?? 0xff),
    write: () => {},
  };
}

/** The image for another device than it names, as one program may serve several: firmware leaves out what does not fit. What is no image stays as it is. */
export function romFor(image: Uint8Array, identity: { readonly vendor: number; readonly device: number }): Uint8Array {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const structure = image.length > DATA_STRUCTURE + 1 ? view.getUint16(DATA_STRUCTURE, true) : 0;
  const named = image[0] === 0x55 && image[1] === 0xaa && structure + DEVICE + 2 <= image.length && String.fromCharCode(...image.subarray(structure, structure + 4)) === 'PCIR';
  if (!named) return image;
  const fitting = image.slice();
  const changed = new DataView(fitting.buffer);
  changed.setUint16(structure + VENDOR, identity.vendor, true);
  changed.setUint16(structure + DEVICE, identity.device, true);
  const sum = fitting.subarray(0, fitting[LENGTH]! * UNIT).reduce((total, byte) => total + byte, 0);
  fitting[CHECKSUM]! -= sum & 0xff;
  return fitting;
}
