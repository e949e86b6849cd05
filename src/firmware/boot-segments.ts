import type { SegmentState, VcpuStart } from '../cpu/vcpu.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { BOOT_GDT } from './boot-layout.ts';

// Selectors that Linux's boot protocol prescribes (__BOOT_CS, __BOOT_DS); multiboot and PVH leave them open.
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
const FLAT_CODE_32 = 0x00cf9b000000ffffn;
const FLAT_CODE_64 = 0x00af9b000000ffffn;
const FLAT_DATA = 0x00cf93000000ffffn;

const FLAT_LIMIT = 0xffffffff;
const CODE_32 = { selector: BOOT_CS, base: 0n, limit: FLAT_LIMIT, attributes: 0xc09b };
const CODE_64 = { selector: BOOT_CS, base: 0n, limit: FLAT_LIMIT, attributes: 0xa09b };
const DATA = { selector: BOOT_DS, base: 0n, limit: FLAT_LIMIT, attributes: 0xc093 };
/** A 32-bit busy task-state segment as PVH wants it; nothing reads it before the guest loads its own. */
const TASK = { selector: 0, base: 0n, limit: 0x67, attributes: 0x008b };
const NO_LDT = { selector: 0, base: 0n, limit: 0, attributes: 0x10000 };

export const CR0_PROTECTED = 0x11n; // PE, ET
export const CR0_PAGED = 0x80000011n;

type Machine = Required<Pick<VcpuStart, 'segments' | 'gdtr' | 'idtr' | 'rflags'>>;

/** Writes the boot GDT and gives the start state that stands on it: flat segments, interrupts off. */
export function flatSegments(memory: GuestMemory, width: 32 | 64): Machine {
  const gdt = new Uint8Array(32);
  const view = new DataView(gdt.buffer);
  view.setBigUint64(BOOT_CS, width === 64 ? FLAT_CODE_64 : FLAT_CODE_32, true);
  view.setBigUint64(BOOT_DS, FLAT_DATA, true);
  memory.write(BOOT_GDT, gdt);
  return {
    rflags: 2n,
    segments: { cs: width === 64 ? CODE_64 : CODE_32, ds: DATA, es: DATA, fs: DATA, gs: DATA, ss: DATA, tr: TASK, ldtr: NO_LDT },
    gdtr: { base: BigInt(BOOT_GDT), limit: gdt.length - 1 },
    idtr: { base: 0n, limit: 0 },
  };
}

/** Real-mode segments that all start at `segment << 4`, but for CS. */
export function realModeSegments(segment: number, codeSegment: number): NonNullable<VcpuStart['segments']> {
  const make = (selector: number, attributes: number): SegmentState => ({ selector, base: BigInt(selector * 16), limit: 0xffff, attributes });
  const data = make(segment, 0x93);
  return { cs: make(codeSegment, 0x9b), ds: data, es: data, fs: data, gs: data, ss: data, tr: TASK, ldtr: NO_LDT };
}
