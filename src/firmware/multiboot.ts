import { UserError } from '../base/errors.ts';
import type { VcpuStart } from '../cpu/vcpu.ts';
import { clearMemory, kernelName, placeInitrd, requireMemory, terminated, writeCommandLine, type BootInput } from './boot-input.ts';
import { CONVENTIONAL_MEMORY_END, HIGH_MEMORY, MULTIBOOT_COMMAND_LINE, MULTIBOOT_INFORMATION } from './boot-layout.ts';
import { CR0_PROTECTED, flatSegments } from './boot-segments.ts';
import { memoryMap } from './e820.ts';
import { isElf, loadSegments, parseElf } from './elf.ts';

// Multiboot Specification 0.6.96.

const HEADER_MAGIC = 0x1badb002;
const LOADER_MAGIC = 0x2badb002n;
const SEARCH_BYTES = 8192;

/** Requirements of a kernel (section 3.1.2) that can be met: aligned modules, memory information, video (ignored). */
const REQUIREMENTS_KNOWN = 0x0007;
const HAS_ADDRESSES = 0x10000;

const INFO_BYTES = 120;
const INFO_MEMORY = 1 << 0;
const INFO_COMMAND_LINE = 1 << 2;
const INFO_MODULES = 1 << 3;
const INFO_MAP = 1 << 6;
const INFO_LOADER_NAME = 1 << 9;

/** Offset of the multiboot header in the file, or undefined. */
export function findMultibootHeader(kernel: Uint8Array): number | undefined {
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  const end = Math.min(kernel.length, SEARCH_BYTES) - 12;
  for (let at = 0; at <= end; at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue;
    const sum = HEADER_MAGIC + view.getUint32(at + 4, true) + view.getUint32(at + 8, true);
    if (sum >>> 0 === 0) return at;
  }
  return undefined;
}

/** Loads a multiboot 1 kernel, the initrd as its one module. Throws UserError. Legal when a header was found. */
export function loadMultiboot(input: BootInput): VcpuStart {
  const { kernel, memory } = input;
  const header = findMultibootHeader(kernel);
  if (header === undefined) throw new UserError(`${kernelName(input)} has no multiboot header`);
  const flags = new DataView(kernel.buffer, kernel.byteOffset).getUint32(header + 4, true);
  const unknown = flags & 0xffff & ~REQUIREMENTS_KNOWN;
  if (unknown !== 0) {
    throw new UserError(`${kernelName(input)} asks for multiboot features 0x${unknown.toString(16)}, which version 1 does not define`);
  }
  const { entry, end } = flags & HAS_ADDRESSES ? loadByAddresses(input, header) : loadElfKernel(input);
  const initrd = placeInitrd(input, end, 2 ** 32);
  // As GRUB and others do it, the first word is the kernel's name: kernels skip it.
  writeCommandLine(input, `${input.kernelName ?? 'kernel'} ${input.commandLine}`.trimEnd(), 0xffff, MULTIBOOT_COMMAND_LINE);
  writeInformation(input, initrd);
  return {
    ...flatSegments(memory, 32),
    rip: BigInt(entry),
    gpr: { rax: LOADER_MAGIC, rbx: BigInt(MULTIBOOT_INFORMATION), rcx: 0n, rdx: 0n, rsi: 0n, rdi: 0n, rbp: 0n, rsp: 0n },
    cr0: CR0_PROTECTED,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
  };
}

interface Loaded {
  readonly entry: number;
  readonly end: number;
}

/** Address fields of the header (section 3.1.3): for files that are no ELF, or whose ELF headers shall not count. */
function loadByAddresses(input: BootInput, header: number): Loaded {
  const { kernel, memory } = input;
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  if (header + 32 > kernel.length) throw new UserError(`${kernelName(input)} is truncated: its multiboot header is cut off`);
  const [headerAddress, loadAddress, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((at) => view.getUint32(header + at, true)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const first = header - (headerAddress - loadAddress);
  const length = loadEnd === 0 ? kernel.length - first : loadEnd - loadAddress;
  if (headerAddress < loadAddress || first < 0 || length < 0) {
    throw new UserError(`${kernelName(input)} is damaged: the address fields of its multiboot header contradict each other`);
  }
  if (first + length > kernel.length) {
    throw new UserError(`${kernelName(input)} is truncated: ${kernel.length} bytes of ${first + length}`);
  }
  const end = Math.max(loadAddress + length, bssEnd);
  requireMemory(input, loadAddress, end);
  memory.write(loadAddress, kernel.subarray(first, first + length));
  clearMemory(memory, loadAddress + length, end);
  return { entry, end };
}

function loadElfKernel(input: BootInput): Loaded {
  if (!isElf(input.kernel)) {
    throw new UserError(`${kernelName(input)} has a multiboot header without addresses, but is no ELF file either`);
  }
  const image = parseElf(input);
  const end = loadSegments(input, image);
  // The entry is a virtual address; the segment that holds it says where it lies (identical for most kernels).
  const home = image.segments.find((s) => s.type === 1 && image.entry >= s.virtual && image.entry < s.virtual + s.memoryBytes);
  const entry = home === undefined ? image.entry : image.entry - home.virtual + home.physical;
  if (entry > 0xffffffff) throw new UserError(`${kernelName(input)} is entered above 4 GiB, where multiboot cannot`);
  return { entry, end };
}

/** The information structure (section 3.3) with what it points to right behind it. */
function writeInformation(input: BootInput, initrd: { address: number; length: number } | undefined): void {
  const { memory } = input;
  const map = memoryMap(memory);
  const mapAt = INFO_BYTES;
  const moduleAt = mapAt + 24 * map.length;
  const nameAt = moduleAt + 16;
  const loaderName = terminated('Polyvisor');
  const moduleNameAt = nameAt + loaderName.length;
  const moduleName = terminated((input.initrdName ?? 'initrd').slice(0, 1024));
  const bytes = new Uint8Array(moduleNameAt + moduleName.length);
  const view = new DataView(bytes.buffer);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  u32(0, INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MAP | INFO_LOADER_NAME);
  u32(4, CONVENTIONAL_MEMORY_END >> 10);
  u32(8, (memory.lowBytes - HIGH_MEMORY) >>> 10);
  u32(16, MULTIBOOT_COMMAND_LINE);
  u32(20, initrd === undefined ? 0 : 1);
  u32(24, MULTIBOOT_INFORMATION + moduleAt);
  u32(44, 24 * map.length);
  u32(48, MULTIBOOT_INFORMATION + mapAt);
  u32(64, MULTIBOOT_INFORMATION + nameAt);
  map.forEach((range, i) => {
    const at = mapAt + 24 * i;
    u32(at, 20); // size of the rest
    view.setBigUint64(at + 4, BigInt(range.base), true);
    view.setBigUint64(at + 12, BigInt(range.length), true);
    u32(at + 20, range.type);
  });
  if (initrd !== undefined) {
    u32(moduleAt, initrd.address);
    u32(moduleAt + 4, initrd.address + initrd.length);
    u32(moduleAt + 8, MULTIBOOT_INFORMATION + moduleNameAt);
  }
  bytes.set(loaderName, nameAt);
  bytes.set(moduleName, moduleNameAt);
  memory.write(MULTIBOOT_INFORMATION, bytes);
}
