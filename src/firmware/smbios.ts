import { SMBIOS_TABLES } from './boot-layout.ts';

// DMTF DSP0134, System Management BIOS Reference Specification 2.8: what the machine is, for `dmidecode` and for firmware.

export interface SmbiosOptions {
  /** Numbers of processors: sockets, cores of each, threads of each core. */
  readonly topology: { readonly sockets: number; readonly cores: number; readonly threads: number };
  readonly megahertz: number;
  /** Bytes of RAM, and how many of them lie below 4 GiB. */
  readonly bytes: number;
  readonly lowBytes: number;
  /** What the guest is told as product name: the board. */
  readonly product: string;
  /** Of the board. */
  readonly version: string;
}

export interface SmbiosTables {
  /** Entry point, its table address as `address` says. */
  readonly anchor: Uint8Array;
  readonly structures: Uint8Array;
}

const MANUFACTURER = 'Polyvisor';
const FOUR_GIB = 2 ** 32;
const NO_HANDLE = 0xffff;
const NO_ERROR_INFORMATION = 0xfffe;
const ANCHOR_BYTES = 31;
const ARRAY_HANDLE = 0x1000;

/** Entry point and structures as one image for `SMBIOS_TABLES`, where kernels scan for it. */
export function placeSmbios(options: SmbiosOptions): { readonly address: number; readonly bytes: Uint8Array } {
  const room = 32;
  const { anchor, structures } = buildSmbios(options, SMBIOS_TABLES + room);
  const bytes = new Uint8Array(room + structures.length);
  bytes.set(anchor);
  bytes.set(structures, room);
  return { address: SMBIOS_TABLES, bytes };
}

/** `address`: where the structures will lie; firmware that moves them corrects it. */
export function buildSmbios(options: SmbiosOptions, address = 0): SmbiosTables {
  const parts = [
    biosInformation(options), systemInformation(options), chassis(options), ...Array.from({ length: options.topology.sockets }, (_, i) => processor(options, i)),
    memoryArray(options), memoryDevice(options), ...mappedRanges(options), bootStatus(), structure(127, 0x7f00, []),
  ];
  const structures = Uint8Array.from(parts.flat());
  return { anchor: entryPoint(parts, structures.length, address), structures };
}

/** 5.2.1: the 32-bit entry point. */
function entryPoint(parts: readonly (readonly number[])[], bytes: number, address: number): Uint8Array {
  const longest = Math.max(...parts.map((part) => part.length));
  const intermediate = [...ascii('_DMI_'), 0, ...le(bytes, 2), ...le(address, 4), ...le(parts.length, 2), 0x28];
  intermediate[5] = negativeSum(intermediate);
  const anchor = [...ascii('_SM_'), 0, ANCHOR_BYTES, 2, 8, ...le(longest, 2), 0, 0, 0, 0, 0, 0, ...intermediate];
  anchor[4] = negativeSum(anchor);
  return Uint8Array.from(anchor);
}

/** Type 0 (7.1). */
function biosInformation({ version }: SmbiosOptions): number[] {
  const characteristics = 1 << 3; // BIOS characteristics are not supported
  const extended = [0x00, 0x10]; // a virtual machine
  return structure(0, 0, [1, 2, ...le(0xe800, 2), 3, 0, ...le(characteristics, 8), ...extended, 0, 0, 0xff, 0xff], [MANUFACTURER, version, '01/01/2026']);
}

/** Type 1 (7.2), without a UUID. */
function systemInformation({ product, version }: SmbiosOptions): number[] {
  const powerSwitch = 6;
  return structure(1, 0x100, [1, 2, 3, 0, ...le(0, 16), powerSwitch, 0, 0], [MANUFACTURER, product, version]);
}

/** Type 3 (7.4). */
function chassis({ version }: SmbiosOptions): number[] {
  const [other, safe, noSecurity] = [1, 3, 3];
  return structure(3, 0x300, [1, other, 2, 0, 0, safe, safe, safe, noSecurity, ...le(0, 4), 0, 0, 0, 0, 0], [MANUFACTURER, version]);
}

/** Type 4 (7.5): a socket each. */
function processor({ megahertz, version, topology: { cores, threads } }: SmbiosOptions, index: number): number[] {
  const [central, otherFamily, populatedAndEnabled, otherUpgrade] = [3, 1, 0x41, 1];
  // 7.5.9: 64 bits, several cores, several threads to a core.
  const characteristics = (1 << 2) | (cores > 1 ? 1 << 3 : 0) | (threads > 1 ? 1 << 4 : 0);
  return structure(4, 0x400 + index, [
    1, central, otherFamily, 2, ...le(0, 8), 3, 0, ...le(0, 2), ...le(megahertz, 2), ...le(megahertz, 2), populatedAndEnabled, otherUpgrade,
    ...le(NO_HANDLE, 2), ...le(NO_HANDLE, 2), ...le(NO_HANDLE, 2), 0, 0, 0, cores, cores, cores * threads, ...le(characteristics, 2), ...le(otherFamily, 2),
  ], [`CPU ${index}`, MANUFACTURER, version]);
}

/** Type 16 (7.17). */
function memoryArray({ bytes }: SmbiosOptions): number[] {
  const [systemBoard, systemMemory, noCorrection] = [3, 3, 3];
  return structure(16, ARRAY_HANDLE, [systemBoard, systemMemory, noCorrection, ...le(bytes / 1024, 4), ...le(NO_ERROR_INFORMATION, 2), ...le(1, 2), ...le(0, 8)]);
}

/** Type 17 (7.18): all RAM is one module. */
function memoryDevice({ bytes }: SmbiosOptions): number[] {
  const [unknownWidth, dimm, ram, otherDetail] = [0xffff, 9, 7, 1 << 1];
  const mebibytes = Math.floor(bytes / 2 ** 20);
  return structure(17, 0x1100, [
    ...le(ARRAY_HANDLE, 2), ...le(NO_ERROR_INFORMATION, 2), ...le(unknownWidth, 2), ...le(unknownWidth, 2), ...le(mebibytes, 2), dimm, 0, 1, 0, ram, ...le(otherDetail, 2),
    ...le(0, 2), 2, 0, 0, 0, 0, ...le(0, 4), ...le(0, 2), ...le(0, 2), ...le(0, 2), ...le(0, 2),
  ], ['DIMM 0', MANUFACTURER]);
}

/** Type 19 (7.20): where the RAM is. */
function mappedRanges({ bytes, lowBytes }: SmbiosOptions): number[][] {
  const range = (index: number, first: number, length: number): number[] => structure(19, 0x1300 + index, [...le(first / 1024, 4), ...le((first + length) / 1024 - 1, 4), ...le(ARRAY_HANDLE, 2), 1, ...le(0, 8), ...le(0, 8)]);
  return [range(0, 0, lowBytes), ...(bytes > lowBytes ? [range(1, FOUR_GIB, bytes - lowBytes)] : [])];
}

/** Type 32 (7.33): no errors. */
function bootStatus(): number[] {
  return structure(32, 0x2000, [0, 0, 0, 0, 0, 0, 0]);
}

/** 6.1.2 and 6.1.3: header, formatted area, texts; two zeros end it. */
function structure(type: number, handle: number, content: readonly number[], texts: readonly string[] = []): number[] {
  const strings = texts.flatMap((text) => [...ascii(text), 0]);
  return [type, 4 + content.length, ...le(handle, 2), ...content, ...(strings.length > 0 ? strings : [0]), 0];
}

function ascii(text: string): number[] {
  return [...text].map((letter) => letter.charCodeAt(0) & 0x7f);
}

function le(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);
}

function negativeSum(bytes: readonly number[]): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
