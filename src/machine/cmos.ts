import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Rtc } from '../timers/rtc.ts';
import type { BootOrder } from './boot-source.ts';

export interface CmosContents {
  readonly memory: GuestMemory;
  readonly cpus: number;
  readonly bootOrder: BootOrder;
  /** Type of the first floppy drive, 0: none. */
  readonly floppy: number;
}

const KIB = 1024;
const GRAIN = 64 * KIB;
const BOOT_DEVICES = { a: 1, c: 2, d: 3, n: 4 } as const;

/** What set-up leaves in CMOS RAM for firmware and old kernels: the AT's bytes, and those of the Bochs and QEMU PC. */
export function setUpCmos(rtc: Rtc, contents: CmosContents): void {
  const { lowBytes, bytes } = contents.memory;
  const extended = Math.min(0xffff, (lowBytes - 0x100000) / KIB);
  const set = (index: number, count: number, value: number): void => {
    for (let i = 0; i < count; i++) rtc.setByte(index + i, Math.floor(value / 256 ** i) & 0xff);
  };
  set(0x10, 1, contents.floppy << 4);
  // Equipment: floating point unit, keyboard, floppy drive.
  set(0x14, 1, 0x06 | (contents.floppy === 0 ? 0 : 1));
  set(0x15, 2, 640); // KiB of conventional memory
  set(0x17, 2, extended); // KiB above 1 MiB
  set(0x30, 2, extended);
  set(0x34, 2, Math.max(0, Math.floor((lowBytes - 0x1000000) / GRAIN))); // 64 KiB above 16 MiB
  set(0x5b, 3, Math.floor((bytes - lowBytes) / GRAIN)); // 64 KiB above 4 GiB
  set(0x5f, 1, contents.cpus - 1);
  const [first, second, third] = contents.bootOrder.map((letter) => BOOT_DEVICES[letter]);
  set(0x3d, 1, (first ?? 0) | ((second ?? 0) << 4));
  set(0x38, 1, (third ?? 0) << 4);
}
