// Registers of the RTL8139D and RTL8139C+ (Realtek's data sheets, chapter "Register Descriptions"), by offset. They are bytes; where a
// driver writes several at once, each keeps its own bits.

export const REGISTER_BYTES = 0x100;

export const IDR = 0x00;
export const MAR = 0x08;
/** Transmit status, one word for each of four buffers; with the C+ transmitter on, where counters are dumped. */
export const TSD = 0x10;
export const DTCCR = 0x10;
/** Where the four buffers are; with the C+ transmitter on, where its rings begin. */
export const TSAD = 0x20;
export const TNPDS = 0x20;
export const THPDS = 0x28;
export const RBSTART = 0x30;
export const CR = 0x37;
export const CAPR = 0x38;
export const CBR = 0x3a;
export const IMR = 0x3c;
export const ISR = 0x3e;
export const TCR = 0x40;
export const RCR = 0x44;
export const TCTR = 0x48;
export const EECR = 0x50;
export const CONFIG1 = 0x52;
export const TIMER_INT = 0x54;
export const MSR = 0x58;
export const CONFIG3 = 0x59;
export const CONFIG4 = 0x5a;
export const RERID = 0x5e;
/** Status of all four transmit buffers. */
export const SUMMARY = 0x60;
export const BMCR = 0x62;
export const BMSR = 0x64;
export const ANAR = 0x66;
export const ANLPAR = 0x68;
export const ANER = 0x6a;
const WAKE_UP = 0x84;
const WAKE_UP_END = 0xd4;
const CONFIG5 = 0xd8;
export const TPPOLL = 0xd9;
export const CPCR = 0xe0;
export const RDSAR = 0xe4;
const ETTHR = 0xec;

/** Bits that a driver writes and reads back, where nothing happens besides or what happens is the card's matter. */
export const WRITABLE = new Uint8Array(REGISTER_BYTES);
/** The same of what only a C+ has. */
export const WRITABLE_PLUS = new Uint8Array(REGISTER_BYTES);

for (const [offset, ...masks] of [
  [IDR, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [MAR, ...all(8)], [TSAD, ...all(16)], [RBSTART, ...all(4)], [CR, 0x0c], [CAPR, ...all(2)], [IMR, 0x7f, 0xe0],
  [TCR, 0xf0, 0x07, 0x07, 0x03], [RCR, 0xbf, 0xff, 0x03, 0x0f], [CONFIG1, 0xf3], [TIMER_INT, ...all(4)], [CONFIG3, 0x70], [CONFIG4, 0xff], [0x5c, 0xff, 0x0f],
  [BMCR, 0x00, 0x31], [ANAR, 0xff, 0x2f], [WAKE_UP, ...all(WAKE_UP_END - WAKE_UP)], [CONFIG5, 0x7f],
] as const) WRITABLE.set(masks, offset);
WRITABLE_PLUS.set(WRITABLE);
for (const [offset, ...masks] of [[IMR, 0xff, 0xe1], [CPCR, 0x7f], [RDSAR, ...all(8)], [ETTHR, 0x3f], [0x42, 0x0f]] as const) WRITABLE_PLUS.set(masks, offset);

function all(bytes: number): readonly number[] {
  return new Array<number>(bytes).fill(0xff);
}

/** Written only while EECR says so: what the EEPROM configures, and the transceiver's choice of speed. */
export const LOCKED: readonly number[] = [CONFIG1, CONFIG3, CONFIG4, BMCR, BMCR + 1];

// Bits of CR.
export const CR_EMPTY = 0x01;
export const CR_TRANSMIT = 0x04;
export const CR_RECEIVE = 0x08;
export const CR_RESET = 0x10;

// Bits of ISR and IMR.
export const RECEIVED = 0x0001;
export const SENT = 0x0004;
export const TRANSMIT_ERROR = 0x0008;
/** The receive buffer is full; of a C+: no descriptor is its own. */
export const NO_ROOM = 0x0010;
/** Of a C+: no transmit descriptor is its own. */
export const NONE_TO_SEND = 0x0080;
export const BY_SOFTWARE = 0x0100;
export const TIMED_OUT = 0x4000;

// Bits of a transmit status.
export const TSD_BYTES = 0x1fff;
export const TSD_DONE = 0x2000;
export const TSD_SENT = 0x8000;
export const TSD_ABORTED = 0x40000000;

// Bits of RCR.
export const RCR_ALL_UNICAST = 0x01;
export const RCR_OWN = 0x02;
export const RCR_MULTICAST = 0x04;
export const RCR_BROADCAST = 0x08;
export const RCR_NO_WRAP = 0x80;

// Bits of a C+'s command register.
export const PLUS_TRANSMIT = 0x01;
export const PLUS_RECEIVE = 0x02;
export const PLUS_CHECKSUMS = 0x20;
export const PLUS_TAGS = 0x40;
