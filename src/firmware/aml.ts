// A builder for ACPI machine language (ACPI 6.5, chapter 20). Every function returns encoded bytes; nothing is checked
// that the types do not say, the tests have the reference compiler read the result.

export type Aml = readonly number[];

function littleEndian(value: number | bigint, bytes: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < bytes; i++) result.push(Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
  return result;
}

/** PkgLength, which counts itself (20.2.4). */
function packageLength(contentBytes: number): number[] {
  if (contentBytes + 1 < 0x40) return [contentBytes + 1];
  for (let following = 1; following <= 3; following++) {
    const total = contentBytes + 1 + following;
    if (total < 2 ** (4 + 8 * following)) return [(following << 6) | (total & 0x0f), ...littleEndian(total >> 4, following)];
  }
  throw new Error('AML package too long');
}

/** A PkgLength that stands for a number of bits (20.2.5.2). */
function bitLength(bits: number): number[] {
  return bits < 0x40 ? [bits] : [0x40 | (bits & 0x0f), ...littleEndian(bits >> 4, 1)];
}

function sized(opcode: Aml, content: Aml): Aml {
  return [...opcode, ...packageLength(content.length), ...content];
}

function concatenate(parts: readonly Aml[]): number[] {
  const result: number[] = [];
  for (const part of parts) result.push(...part);
  return result;
}

/** NameString: segments of up to four characters, separated by dots, after an optional backslash. */
export function nameString(path: string): Aml {
  const root = path.startsWith('\\') ? [0x5c] : [];
  const segments = path.replace('\\', '').split('.');
  const prefix = segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f, segments.length];
  const letters = segments.flatMap((segment) => [...segment.padEnd(4, '_')].map((letter) => letter.charCodeAt(0)));
  return [...root, ...prefix, ...letters];
}

export function integer(value: number | bigint): Aml {
  if (value === 0 || value === 0n) return [0x00];
  if (value === 1 || value === 1n) return [0x01];
  if (value <= 0xff) return [0x0a, ...littleEndian(value, 1)];
  if (value <= 0xffff) return [0x0b, ...littleEndian(value, 2)];
  if (value <= 0xffffffff) return [0x0c, ...littleEndian(value, 4)];
  return [0x0e, ...littleEndian(value, 8)];
}

/** Compressed EISA identifier, `PNP0A03` say (ACPI 6.5, 19.3.4). */
export function eisaId(id: string): Aml {
  const letters = [0, 1, 2].map((i) => id.charCodeAt(i) - 0x40);
  const product = Number.parseInt(id.slice(3), 16);
  const value = ((letters[0]! << 10) | (letters[1]! << 5) | letters[2]!) * 0x10000 + product;
  return [0x0c, (value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

export function text(value: string): Aml {
  return [0x0d, ...[...value].map((letter) => letter.charCodeAt(0)), 0];
}

export function pack(elements: readonly Aml[]): Aml {
  return sized([0x12], [elements.length, ...concatenate(elements)]);
}

export function buffer(bytes: Aml): Aml {
  return sized([0x11], [...integer(bytes.length), ...bytes]);
}

export function name(path: string, value: Aml): Aml {
  return [0x08, ...nameString(path), ...value];
}

export function scope(path: string, content: readonly Aml[]): Aml {
  return sized([0x10], [...nameString(path), ...concatenate(content)]);
}

export function device(path: string, content: readonly Aml[]): Aml {
  return sized([0x5b, 0x82], [...nameString(path), ...concatenate(content)]);
}

// Methods (ACPI 6.5, 20.2.5).

export const local0: Aml = [0x60];
export const arg0: Aml = [0x68];
export const SYSTEM_IO = 1;
export const PCI_CONFIG = 2;

/** A serialized method. */
export function method(path: string, args: number, content: readonly Aml[]): Aml {
  return sized([0x14], [...nameString(path), args | 8, ...concatenate(content)]);
}

export function operationRegion(path: string, space: number, offset: number, length: number): Aml {
  return [0x5b, 0x80, ...nameString(path), space, ...integer(offset), ...integer(length)];
}

/** Fields of a region, one behind the other, each accessed by bytes. Names and widths in bits. */
export function byteFields(region: string, fields: readonly (readonly [name: string, bits: number])[]): Aml {
  const entries = fields.flatMap(([path, bits]) => [...nameString(path), ...bitLength(bits)]);
  return sized([0x5b, 0x81], [...nameString(region), 0x01, ...entries]);
}

export function store(value: Aml, target: Aml): Aml {
  return [0x70, ...value, ...target];
}

export function and(a: Aml, b: Aml): Aml {
  return [0x7b, ...a, ...b, 0x00];
}

export function or(a: Aml, b: Aml, target: Aml): Aml {
  return [0x7d, ...a, ...b, ...target];
}

/** A name for four bytes of a buffer. */
export function doublewordField(buffer: Aml, index: number, path: string): Aml {
  return [0x8a, ...buffer, ...integer(index), ...nameString(path)];
}

export function ifThen(predicate: Aml, content: readonly Aml[]): Aml {
  return sized([0xa0], [...predicate, ...concatenate(content)]);
}

export function notify(path: string, value: number): Aml {
  return [0x86, ...nameString(path), ...integer(value)];
}

export function returns(value: Aml): Aml {
  return [0xa4, ...value];
}

// Resource descriptors (ACPI 6.5, section 6.4).

export function resources(descriptors: readonly Aml[]): Aml {
  return buffer([...concatenate(descriptors), 0x79, 0x00]);
}

/** A fixed range of ports, 16-bit decode. */
export function ioPorts(base: number, length: number): Aml {
  return [0x47, 0x01, ...littleEndian(base, 2), ...littleEndian(base, 2), 0x01, length];
}

/** A fixed range of memory below 4 GiB (6.4.3.4). */
export function memory(base: number, length: number, writable = false): Aml {
  return [0x86, 9, 0, writable ? 1 : 0, ...littleEndian(base, 4), ...littleEndian(length, 4)];
}

/** One edge-triggered, active-high, exclusive ISA interrupt. */
export function isaInterrupt(number: number): Aml {
  return [0x22, ...littleEndian(1 << number, 2)];
}

/** One of several level-triggered, active-high, shared interrupts, by their global numbers (6.4.3.6). */
export function levelInterrupt(...numbers: readonly number[]): Aml {
  const list = numbers.flatMap((number) => littleEndian(number, 4));
  return [0x89, ...littleEndian(2 + list.length, 2), 0x09, numbers.length, ...list];
}
/** Where the first of them lies in the descriptor. */
export const INTERRUPT_NUMBER = 5;

const PRODUCER_FIXED = 0x0c; // minimum and maximum fixed, positive decode, producer

function addressSpace(tag: number, bytes: 2 | 4 | 8, type: number, flags: number, first: number, last: number): Aml {
  const content = [
    type,
    PRODUCER_FIXED,
    flags,
    ...littleEndian(0, bytes), // granularity
    ...littleEndian(first, bytes),
    ...littleEndian(last, bytes),
    ...littleEndian(0, bytes), // translation
    ...littleEndian(last - first + 1, bytes),
  ];
  return [tag, ...littleEndian(content.length, 2), ...content];
}

export function busNumbers(first: number, last: number): Aml {
  return addressSpace(0x88, 2, 2, 0x00, first, last);
}

export function ioWindow(first: number, last: number): Aml {
  return addressSpace(0x88, 2, 1, 0x03, first, last); // entire range
}

/** `last - first` below 4 GiB; cacheable for the VGA frame buffer, else not. */
export function memoryWindow(first: number, last: number, cacheable = false): Aml {
  return addressSpace(0x87, 4, 0, cacheable ? 0x03 : 0x01, first, last);
}

/** A window above 4 GiB, read-write, not cacheable. */
export function wideMemoryWindow(first: number, last: number): Aml {
  return addressSpace(0x8a, 8, 0, 0x01, first, last);
}
