import { MICROWIRE_WORDS, macWords } from '../microwire.ts';
import type { MacAddress } from '../network-card.ts';

const VENDOR = 0x10ec;
const DEVICE = 0x8139;
const EEPROM_SIGN = 0x8129;

/** The two that drivers tell apart, by what they call themselves: PCI revision, and version bits of TCR. */
export const CHIPS = {
  /** With rings of descriptors, checksums, tags and cutting, too. */
  'c+': { plus: true, revision: 0x20, version: 0x74800000 },
  /** With four transmit buffers and a receive buffer only. */
  d: { plus: false, revision: 0x10, version: 0x74400000 },
} as const;
export type Chip = keyof typeof CHIPS;

export function pciIdentity(chip: Chip) {
  return { vendor: VENDOR, device: DEVICE, revision: CHIPS[chip].revision, classCode: 0x020000, subsystemVendor: VENDOR, subsystem: DEVICE };
}

/** What the EEPROM says (data sheets, chapter "EEPROM Contents"). */
export function eepromWords(mac: MacAddress): Uint16Array {
  const words = new Uint16Array(MICROWIRE_WORDS);
  words.set([EEPROM_SIGN, VENDOR, DEVICE, VENDOR, DEVICE, 0x4020, 0xe512, ...macWords(mac)]);
  return words;
}
