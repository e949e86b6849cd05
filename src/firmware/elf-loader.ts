import { UserError } from '../base/errors.ts';
import type { VcpuStart } from '../cpu/vcpu.ts';
import { kernelName, placeInitrd, writeCommandLine, type BootInput } from './boot-input.ts';
import { BOOT_COMMAND_LINE, BOOT_INFORMATION } from './boot-layout.ts';
import { CR0_PROTECTED, flatSegments } from './boot-segments.ts';
import { memoryMap } from './e820.ts';
import { findNote, loadSegments, parseElf } from './elf.ts';

// PVH boot: Xen's docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h.

const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_MAGIC = 0x336ec578;
const START_INFO_BYTES = 56;
const MODULE_BYTES = 32;
const MAP_ENTRY_BYTES = 24;

/** Loads an ELF kernel that carries a PVH entry. Throws a UserError without one, or when it does not fit. */
export function loadElf(input: BootInput): VcpuStart {
  const image = parseElf(input);
  const note = findNote(input.kernel, image, 'Xen', XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined || note.length < 4) {
    throw new UserError(
      `${kernelName(input)} is an ELF file with neither a PVH entry (Linux: CONFIG_PVH) nor a multiboot header; give the bzImage (vmlinuz)`,
    );
  }
  const entry = new DataView(note.buffer, note.byteOffset).getUint32(0, true);
  const end = loadSegments(input, image);
  const initrd = placeInitrd(input, end, 2 ** 32);
  const { memory } = input;
  writeCommandLine(input, input.commandLine, 0xffff);

  const map = memoryMap(memory);
  const modulesAt = BOOT_INFORMATION + START_INFO_BYTES;
  const mapAt = modulesAt + MODULE_BYTES;
  const bytes = new Uint8Array(START_INFO_BYTES + MODULE_BYTES + MAP_ENTRY_BYTES * map.length);
  const view = new DataView(bytes.buffer);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, START_MAGIC, true);
  view.setUint32(4, 1, true); // version with memory map
  view.setUint32(12, initrd === undefined ? 0 : 1, true);
  u64(16, initrd === undefined ? 0 : modulesAt);
  u64(24, BOOT_COMMAND_LINE);
  u64(32, input.rsdp ?? 0);
  u64(40, mapAt);
  view.setUint32(48, map.length, true);
  if (initrd !== undefined) {
    u64(START_INFO_BYTES, initrd.address);
    u64(START_INFO_BYTES + 8, initrd.length);
  }
  map.forEach((range, i) => {
    const at = START_INFO_BYTES + MODULE_BYTES + MAP_ENTRY_BYTES * i;
    u64(at, range.base);
    u64(at + 8, range.length);
    view.setUint32(at + 16, range.type, true);
  });
  memory.write(BOOT_INFORMATION, bytes);
  return {
    ...flatSegments(memory, 32),
    rip: BigInt(entry),
    gpr: { rax: 0n, rbx: BigInt(BOOT_INFORMATION), rcx: 0n, rdx: 0n, rsi: 0n, rdi: 0n, rbp: 0n, rsp: 0n },
    cr0: CR0_PROTECTED,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
  };
}
