import { ANAR, ANER, ANLPAR, BMCR, BMSR, MSR } from './registers.ts';

// The Ethernet transceiver, whose registers (IEEE 802.3, clause 22) are among the card's. It has always agreed with the other end on
// 100 Mbit/s, full duplex.

const BMCR_NEGOTIATES = 0x1000;
const BMSR_ABLE = 0x7809;
const BMSR_LINKED = 0x0024;
const ALL_MODES = 0x05e1;
const PARTNER_ANSWERS = 0x41e1;
const PARTNER_NEGOTIATES = 0x0001;
const MSR_NO_LINK = 0x04;

export function powerOnTransceiver(registers: DataView): void {
  registers.setUint16(BMCR, BMCR_NEGOTIATES, true);
  registers.setUint16(ANAR, ALL_MODES, true);
}

/** What depends on the cable, which nobody writes. */
export function showLink(registers: DataView, linked: boolean): void {
  registers.setUint16(BMSR, BMSR_ABLE | (linked ? BMSR_LINKED : 0), true);
  registers.setUint16(ANLPAR, linked ? PARTNER_ANSWERS : 0, true);
  registers.setUint16(ANER, linked ? PARTNER_NEGOTIATES : 0, true);
  registers.setUint8(MSR, linked ? 0 : MSR_NO_LINK);
}
