import { UserError } from '../base/errors.ts';
import type { VcpuStart } from '../cpu/vcpu.ts';
import { kernelName, placeInitrd, requireMemory, sizeText, writeCommandLine, type BootInput, type FrameBuffer } from './boot-input.ts';
import { BOOT_COMMAND_LINE, BOOT_PAGE_TABLES, BOOT_PARAMS, HIGH_MEMORY } from './boot-layout.ts';
import { CR0_PAGED, CR0_PROTECTED, flatSegments, realModeSegments } from './boot-segments.ts';
import { memoryMap } from './e820.ts';
import { unpackLinux } from './linux-payload.ts';
import { chooseMoves, loadUnpacked, roomFor } from './linux-unpacked.ts';
import type { LoadedKernel, Room } from './linux-unpacked.ts';

// Linux/x86 boot protocol: Documentation/arch/x86/boot.rst; boot_params: zero-page.rst. Offsets are those of the file,
// and of boot_params, which holds the setup header at the same place.

const SETUP_SECTORS = 0x1f1;
const SYSTEM_SIZE = 0x1f4; // in paragraphs
const VIDEO_MODE = 0x1fa;
const BOOT_FLAG = 0x1fe;
const JUMP_OFFSET = 0x201;
const MAGIC = 0x202;
const VERSION = 0x206;
const LOADER_TYPE = 0x210;
const LOAD_FLAGS = 0x211;
const CODE32_START = 0x214;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const HEAP_END = 0x224;
const COMMAND_LINE = 0x228;
const INITRD_MAX = 0x22c;
const KERNEL_ALIGNMENT = 0x230;
const EXTENDED_LOAD_FLAGS = 0x236;
const COMMAND_LINE_SIZE = 0x238;
const PREFERRED_ADDRESS = 0x258;
const INIT_SIZE = 0x260;

// struct screen_info at the start of boot_params (Linux: include/uapi/linux/screen_info.h).
const SCREEN_TYPE = 0x0f;
const SCREEN_WIDTH = 0x12;
const SCREEN_HEIGHT = 0x14;
const SCREEN_DEPTH = 0x16;
const SCREEN_BASE = 0x18;
const SCREEN_SIZE = 0x1c;
const SCREEN_LINE_LENGTH = 0x24;
/** Size and lowest bit of red, green, blue and of what is not used, two bytes each. */
const SCREEN_COLOURS = 0x26;
/** Any linear frame buffer that was there before: kernels without a driver for VESA modes have that for UEFI's. */
const SCREEN_TYPE_EFI = 0x70;

const ACPI_RSDP = 0x070;
const ALTERNATIVE_MEMORY = 0x1e0;
const E820_COUNT = 0x1e8;
const E820_TABLE = 0x2d0;

const HDRS = 0x53726448;
const LOADED_HIGH = 0x01;
/** The kernel's address is a matter of chance; it then chooses those of its memory regions so, too. */
const KASLR = 0x02;
const CAN_USE_HEAP = 0x80;
const KERNEL_64 = 0x01;
const LOADER_UNDEFINED = 0xff;
const NORMAL_VGA = 0xffff;
const ENTRY_64 = 0x200;
const OLDEST_VERSION = 0x202;

interface SetupHeader {
  readonly view: DataView;
  readonly version: number;
  /** Bytes of the real-mode part, boot sector included. */
  readonly setupBytes: number;
  /** Bytes of the protected-mode part. */
  readonly systemBytes: number;
  readonly has64: boolean;
  /** End of the memory the kernel needs before it knows the memory map. */
  readonly end: number;
  readonly commandLineLimit: number;
  readonly initrdLimit: number;
}

/** True when the file carries the setup header of a Linux kernel for x86. */
export function isLinuxImage(kernel: Uint8Array): boolean {
  if (kernel.length < VERSION + 2) return false;
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  return view.getUint16(BOOT_FLAG, true) === 0xaa55 && view.getUint32(MAGIC, true) === HDRS;
}

/** Loads a bzImage with command line and initrd; returns the state to enter it with. Throws UserError. */
export function loadLinux(input: BootInput): VcpuStart {
  const header = readHeader(input);
  const protocol = input.protocol ?? (header.has64 ? 64 : 32);
  if (protocol === 64 && !header.has64) {
    throw new UserError(`${kernelName(input)} has no 64-bit entry; use the 32-bit boot protocol`);
  }
  requireMemory(input, HIGH_MEMORY, header.end);
  const initrd = placeInitrd(input, header.end, header.initrdLimit);
  if (protocol !== 16) {
    const loaded = loadUnpackedHere(input, header, initrd, protocol);
    if (loaded !== undefined) return enterProtected(input, header, initrd, protocol, loaded);
  }
  input.memory.write(HIGH_MEMORY, input.kernel.subarray(header.setupBytes, header.setupBytes + header.systemBytes));
  if (protocol === 16) return enterRealMode(input, header, initrd);
  return enterProtected(input, header, initrd, protocol, { entry: HIGH_MEMORY + (protocol === 64 ? ENTRY_64 : 0), moved: false });
}

/** Undefined when the kernel has to unpack itself. */
function loadUnpackedHere(input: BootInput, header: SetupHeader, initrd: Initrd, width: 32 | 64): LoadedKernel | undefined {
  const { kernel, memory, decompressor } = input;
  const { view, version, setupBytes } = header;
  // The size it needs and its address stand in the header since protocol 2.10. A 64-bit kernel is entered in 64-bit code.
  if (version < 0x20a || header.has64 !== (width === 64)) return undefined;
  const placement = {
    width,
    preferred: Number(view.getBigUint64(PREFERRED_ADDRESS, true)),
    alignment: Math.max(4096, view.getUint32(KERNEL_ALIGNMENT, true)),
    bytes: view.getUint32(INIT_SIZE, true),
    top: initrd?.address ?? memory.lowBytes,
    entropy: input.commandLine.split(/\s+/).includes('nokaslr') ? undefined : input.entropy,
  };
  const moves = chooseMoves(placement);
  let room: Room | undefined;
  const unpacked = unpackLinux(kernel, setupBytes, decompressor, (size) => (room = roomFor(memory, placement, moves, size))?.file);
  const loaded = unpacked === undefined ? undefined : loadUnpacked({ ...input, kernel: unpacked }, placement, moves, room);
  if (loaded === undefined) room?.file.fill(0);
  if (room !== undefined) memory.wrote(room.address, room.file.length);
  return loaded;
}

function readHeader(input: BootInput): SetupHeader {
  const { kernel } = input;
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  const version = view.getUint16(VERSION, true);
  const setupBytes = ((kernel[SETUP_SECTORS] || 4) + 1) * 512;
  if (kernel.length < setupBytes) {
    throw new UserError(`${kernelName(input)} is truncated: ${sizeText(kernel.length)}, its setup code alone has ${sizeText(setupBytes)}`);
  }
  if (version < OLDEST_VERSION || !(view.getUint8(LOAD_FLAGS) & LOADED_HIGH)) {
    throw new UserError(`${kernelName(input)} is a zImage or speaks boot protocol ${version >> 8}.${version & 0xff}; give a bzImage with protocol 2.02 or later`);
  }
  const systemBytes = view.getUint32(SYSTEM_SIZE, true) * 16;
  const present = kernel.length - setupBytes;
  // The size is in paragraphs, the file may end within the last one.
  if (present + 15 < systemBytes || present === 0) {
    throw new UserError(`${kernelName(input)} is truncated: ${sizeText(kernel.length)} of ${sizeText(setupBytes + systemBytes)}`);
  }
  const initSize = version >= 0x20a ? view.getUint32(INIT_SIZE, true) : systemBytes;
  const preferred = version >= 0x20a ? Number(view.getBigUint64(PREFERRED_ADDRESS, true)) : HIGH_MEMORY;
  // Loaded below its preferred address a kernel moves there before it looks at the memory map.
  const start = Math.max(HIGH_MEMORY, preferred);
  return {
    view,
    version,
    setupBytes,
    systemBytes: Math.min(systemBytes, present),
    has64: version >= 0x20c && (view.getUint16(EXTENDED_LOAD_FLAGS, true) & KERNEL_64) !== 0,
    end: Math.max(start + initSize, HIGH_MEMORY + systemBytes),
    commandLineLimit: version >= 0x206 ? view.getUint32(COMMAND_LINE_SIZE, true) : 255,
    initrdLimit: (version >= 0x203 ? view.getUint32(INITRD_MAX, true) : 0x37ffffff) + 1,
  };
}

type Initrd = { readonly address: number; readonly length: number } | undefined;

function enterProtected(input: BootInput, header: SetupHeader, initrd: Initrd, width: 32 | 64, { entry, moved }: LoadedKernel): VcpuStart {
  const { kernel, memory } = input;
  const params = new Uint8Array(4096);
  const view = new DataView(params.buffer);
  // "The end of setup header": the byte of the short jump over it, counted from the magic.
  const headerEnd = Math.min(MAGIC + kernel[JUMP_OFFSET]!, E820_TABLE - 0x40);
  params.set(kernel.subarray(SETUP_SECTORS, headerEnd), SETUP_SECTORS);
  fillHeader(view, initrd);
  if (moved) view.setUint8(LOAD_FLAGS, view.getUint8(LOAD_FLAGS) | KASLR);
  writeCommandLine(input, input.commandLine, header.commandLineLimit);
  view.setUint32(COMMAND_LINE, BOOT_COMMAND_LINE, true);
  view.setUint32(CODE32_START, HIGH_MEMORY, true);
  if (input.rsdp !== undefined) view.setBigUint64(ACPI_RSDP, BigInt(input.rsdp), true);
  const map = memoryMap(memory);
  view.setUint32(ALTERNATIVE_MEMORY, (memory.lowBytes - HIGH_MEMORY) >>> 10, true);
  view.setUint8(E820_COUNT, map.length);
  map.forEach((entry, i) => {
    view.setBigUint64(E820_TABLE + 20 * i, BigInt(entry.base), true);
    view.setBigUint64(E820_TABLE + 20 * i + 8, BigInt(entry.length), true);
    view.setUint32(E820_TABLE + 20 * i + 16, entry.type, true);
  });
  if (input.frameBuffer !== undefined) describeScreen(view, input.frameBuffer);
  memory.write(BOOT_PARAMS, params);

  const common = { ...flatSegments(memory, width), gpr: zeroedRegisters({ rsi: BigInt(BOOT_PARAMS) }) };
  if (width === 32) return { ...common, rip: BigInt(entry), cr0: CR0_PROTECTED, cr3: 0n, cr4: 0n, efer: 0n };
  writeIdentityTables(input);
  return {
    ...common,
    rip: BigInt(entry),
    cr0: CR0_PAGED,
    cr3: BigInt(BOOT_PAGE_TABLES),
    cr4: 0x20n, // PAE
    efer: 0x500n, // LME, LMA
  };
}

function fillHeader(view: DataView, initrd: Initrd): void {
  view.setUint8(LOADER_TYPE, LOADER_UNDEFINED);
  view.setUint16(VIDEO_MODE, NORMAL_VGA, true);
  view.setUint32(RAMDISK_IMAGE, initrd?.address ?? 0, true);
  view.setUint32(RAMDISK_SIZE, initrd?.length ?? 0, true);
}

function describeScreen(view: DataView, { address, width, height }: FrameBuffer): void {
  view.setUint8(SCREEN_TYPE, SCREEN_TYPE_EFI);
  view.setUint16(SCREEN_WIDTH, width, true);
  view.setUint16(SCREEN_HEIGHT, height, true);
  view.setUint16(SCREEN_DEPTH, 32, true);
  view.setUint32(SCREEN_BASE, address, true);
  view.setUint32(SCREEN_SIZE, width * height * 4, true);
  view.setUint16(SCREEN_LINE_LENGTH, width * 4, true);
  [16, 8, 0, 24].forEach((lowest, i) => view.setUint16(SCREEN_COLOURS + 2 * i, 8 | (lowest << 8), true));
}

function zeroedRegisters(set: NonNullable<VcpuStart['gpr']>): NonNullable<VcpuStart['gpr']> {
  return { rax: 0n, rbx: 0n, rcx: 0n, rdx: 0n, rsi: 0n, rdi: 0n, rbp: 0n, rsp: 0n, ...set };
}

/** The first 4 GiB, virtual address = physical address, in 2 MiB pages. */
function writeIdentityTables(input: BootInput): void {
  const PRESENT_WRITABLE = 3n;
  const LARGE = 0x80n;
  const tables = new Uint8Array(6 * 4096);
  const view = new DataView(tables.buffer);
  view.setBigUint64(0, BigInt(BOOT_PAGE_TABLES + 4096) | PRESENT_WRITABLE, true);
  for (let gib = 0; gib < 4; gib++) {
    view.setBigUint64(4096 + 8 * gib, BigInt(BOOT_PAGE_TABLES + 4096 * (2 + gib)) | PRESENT_WRITABLE, true);
  }
  for (let page = 0; page < 2048; page++) view.setBigUint64(8192 + 8 * page, (BigInt(page) << 21n) | LARGE | PRESENT_WRITABLE, true);
  input.memory.write(BOOT_PAGE_TABLES, tables);
}

/** Real-mode part at BOOT_PARAMS, heap and stack behind it, then the command line ("sample boot configuration"). */
function enterRealMode(input: BootInput, header: SetupHeader, initrd: Initrd): VcpuStart {
  const HEAP_LIMIT = 0xe000;
  const { kernel, memory } = input;
  const setup = kernel.slice(0, header.setupBytes);
  const view = new DataView(setup.buffer);
  fillHeader(view, initrd);
  view.setUint8(LOAD_FLAGS, view.getUint8(LOAD_FLAGS) | CAN_USE_HEAP);
  view.setUint16(HEAP_END, HEAP_LIMIT - 0x200, true);
  view.setUint32(COMMAND_LINE, BOOT_COMMAND_LINE, true);
  writeCommandLine(input, input.commandLine, header.commandLineLimit);
  memory.write(BOOT_PARAMS, setup);
  const segment = BOOT_PARAMS >> 4;
  return {
    rip: 0n,
    gpr: zeroedRegisters({ rsp: BigInt(HEAP_LIMIT) }),
    rflags: 2n,
    segments: realModeSegments(segment, segment + 0x20),
    idtr: { base: 0n, limit: 0x3ff },
    cr0: 0x10n,
    cr4: 0n,
    efer: 0n,
  };
}
