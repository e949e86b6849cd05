import type { AccessSize } from '../../base/addresses.ts';
import type { LinearMemory, MemoryWindow, Storage } from '../../memory/linear-memory.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';

const FIRST = 0xc0000;
const END = 0x100000;
/** The last one, F0000h to FFFFFh, is four times as large. */
const SEGMENT = 0x4000;
const TOP_SEGMENT = 0xf0000;
const READ_RAM = 1;
const WRITE_RAM = 2;
/** Top of the flash ROM that shows below 1 MiB too (82371SB: BIOSCS#, 128 KiB from E0000h). */
const ALIAS_BYTES = 0x20000;
const FOUR_GIB = 2 ** 32;

/**
 * Flash ROM at the top of 4 GiB and what lies between A0000h and 1 MiB: the display's window, and segments that read
 * from ROM (or the bus) or from RAM and write to RAM or nowhere. As a register block it takes the writes to
 * C0000h..FFFFFh that do not reach RAM directly.
 */
export class ShadowMemory implements RegisterBlock {
  readonly name = 'shadow-memory';
  readonly length = END - FIRST;
  readonly #memory: LinearMemory;
  readonly #rom: Storage;
  readonly #access = new Map<number, number>();

  /** `rom`: the flash image, at least 64 KiB. */
  constructor(memory: LinearMemory, rom: Storage) {
    this.#memory = memory;
    this.#rom = rom;
    this.apply(new Uint8Array(7));
  }

  /** PAM0 to PAM6 of the 82441FX (data sheet 290549, section 3.2.18). Called at every change, and when a state is loaded. */
  apply(pam: Uint8Array): void {
    const rom = this.#rom;
    const bytes = rom.data.length;
    const windows: MemoryWindow[] = [
      { first: FOUR_GIB - bytes, bytes, kind: 'rom', host: rom.host },
      { first: 0xa0000, bytes: 0x20000, kind: 'bus' },
    ];
    for (let address = FIRST; address < END; address += SEGMENT) {
      const access = accessOf(pam, address);
      this.#access.set(address, access);
      windows.push(this.#segment(address, access));
    }
    this.#memory.setWindows(this, windows);
  }

  #segment(first: number, access: number): MemoryWindow {
    if (access & READ_RAM) return { first, bytes: SEGMENT, kind: access & WRITE_RAM ? 'ram' : 'rom', host: this.#memory.ramHost(first) };
    const { host, data } = this.#rom;
    const below = END - first;
    if (below > Math.min(data.length, ALIAS_BYTES)) return { first, bytes: SEGMENT, kind: 'bus' };
    return { first, bytes: SEGMENT, kind: 'rom', host: host + data.length - below };
  }

  /** Segments without RAM and ROM come here. */
  read(_offset: number, size: AccessSize): number {
    return 0xffffffff >>> (32 - 8 * size);
  }

  /** Segments that read from ROM and write to RAM, and those that are protected. */
  write(offset: number, size: AccessSize, value: number): void {
    const address = FIRST + offset;
    if (((this.#access.get(address - (address % SEGMENT)) ?? 0) & WRITE_RAM) === 0) return;
    this.#memory.writeHost(this.#memory.ramHost(address), Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i)));
  }
}

/** READ_RAM and WRITE_RAM bits of the segment at an address. */
function accessOf(pam: Uint8Array, address: number): number {
  if (address >= TOP_SEGMENT) return (pam[0]! >> 4) & 3;
  const index = (address - FIRST) / SEGMENT;
  return (pam[1 + (index >> 1)]! >> (4 * (index & 1))) & 3;
}
