import { UserError } from '../base/errors.ts';
import type { VcpuStart } from '../cpu/vcpu.ts';
import { kernelName, sizeText, type BootInput } from './boot-input.ts';
import { HIGH_MEMORY } from './boot-layout.ts';
import { loadElf } from './elf-loader.ts';
import { isElf } from './elf.ts';
import { isLinuxImage, loadLinux } from './linux-loader.ts';
import { findMultibootHeader, loadMultiboot } from './multiboot.ts';

const WANTED = 'give a Linux kernel for x86 (vmlinuz or vmlinux) or a multiboot kernel';
/** Smaller than this nothing boots: the boot information and the smallest kernel need room. */
const SMALLEST_MEMORY = 2 * HIGH_MEMORY;

/**
 * Loads a kernel by the protocol that its format calls for (bzImage, ELF with PVH note, multiboot 1), with command
 * line and initrd, into fresh guest memory, and returns the state to start the first processor with. ACPI tables and
 * the devices are the caller's. Every mistake in the input is a UserError of one line.
 */
export function loadKernel(input: BootInput): VcpuStart {
  const { kernel, memory } = input;
  if (kernel.length === 0) throw new UserError(`${kernelName(input)} is empty; ${WANTED}`);
  if (memory.lowBytes < SMALLEST_MEMORY) {
    throw new UserError(`${sizeText(memory.bytes)} of memory are too few to boot a kernel; give at least ${sizeText(SMALLEST_MEMORY)}`);
  }
  if (isLinuxImage(kernel)) return loadLinux(input);
  if (findMultibootHeader(kernel) !== undefined) return loadMultiboot(input);
  if (isElf(kernel)) return loadElf(input);
  const other = otherArchitecture(kernel);
  if (other !== undefined) throw new UserError(`${kernelName(input)} is for ${other}; give one for x86 (i386 or x86-64)`);
  const guess = seemsToBe(kernel);
  if (guess !== undefined) throw new UserError(`${kernelName(input)} is no kernel but seems to be ${guess}; ${WANTED}`);
  if (kernel.length < 1024) throw new UserError(`${kernelName(input)} has only ${sizeText(kernel.length)}: truncated, or no kernel; ${WANTED}`);
  throw new UserError(`${kernelName(input)} is no kernel of a known format; ${WANTED}`);
}

function hasBytes(file: Uint8Array, offset: number, ...bytes: number[]): boolean {
  return bytes.every((byte, i) => file[offset + i] === byte);
}

function hasText(file: Uint8Array, offset: number, text: string): boolean {
  return hasBytes(file, offset, ...[...text].map((letter) => letter.charCodeAt(0)));
}

/** Kernel images of other architectures that are no ELF (Linux: Documentation/arch/arm64/booting.rst and the like). */
function otherArchitecture(file: Uint8Array): string | undefined {
  if (hasText(file, 0x38, 'ARM\x64')) return 'AArch64 (arm64)';
  if (hasText(file, 0x38, 'RSC\x05')) return 'RISC-V';
  if (hasBytes(file, 0x24, 0x18, 0x28, 0x6f, 0x01)) return '32-bit Arm';
  if (hasText(file, 0, 'MZ') && hasText(file, 4, 'zimg')) return 'another architecture (an EFI zboot image: AArch64, RISC-V or LoongArch)';
  return undefined;
}

/** What a file that is no kernel looks like, by its first bytes. */
function seemsToBe(file: Uint8Array): string | undefined {
  if (hasBytes(file, 0, 0x1f, 0x8b)) return 'gzip-compressed data (a compressed kernel of another architecture, or an initrd)';
  if (hasBytes(file, 0, 0xfd, 0x37, 0x7a, 0x58, 0x5a)) return 'xz-compressed data';
  if (hasBytes(file, 0, 0x28, 0xb5, 0x2f, 0xfd)) return 'zstd-compressed data';
  if (hasText(file, 0, '0707')) return 'a cpio archive (an initrd?)';
  if (hasText(file, 0, '!<arch>')) return 'a Debian package or static library';
  if (hasText(file, 0, 'QFI\xfb')) return 'a qcow2 disk image';
  if (hasText(file, 0x8001, 'CD001')) return 'a CD image (ISO 9660)';
  if (hasText(file, 0, 'PK\x03\x04')) return 'a zip archive';
  if (hasText(file, 257, 'ustar')) return 'a tar archive';
  if (hasText(file, 0, '#!')) return 'a script';
  if (hasText(file, 0, 'MZ')) return 'a Windows, DOS or EFI program';
  if (hasBytes(file, 510, 0x55, 0xaa)) return 'a disk image or boot sector';
  const head = file.subarray(0, 512);
  if (head.every((byte) => byte === 0)) return 'zeros';
  if (head.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13)) return 'a text file';
  return undefined;
}
