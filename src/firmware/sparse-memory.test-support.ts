import type { GuestMemory } from '../memory/guest-memory.ts';

/** Guest memory for tests of the loaders: pages appear when they are written. */
export class SparseMemory implements GuestMemory {
  readonly bytes: number;
  readonly lowBytes: number;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(lowBytes: number, bytes = lowBytes) {
    this.lowBytes = lowBytes;
    this.bytes = bytes;
  }

  contains(address: number, length: number): boolean {
    const high = 2 ** 32;
    const end = address + length;
    return (address >= 0 && end <= this.lowBytes) || (address >= high && end <= high + this.bytes - this.lowBytes);
  }

  read(address: number, target: Uint8Array): void {
    for (let i = 0; i < target.length; i++) {
      const at = address + i;
      target[i] = this.contains(at, 1) ? (this.#pages.get(Math.floor(at / 4096))?.[at % 4096] ?? 0) : 0xff;
    }
  }

  write(address: number, source: Uint8Array): void {
    for (let i = 0; i < source.length; i++) {
      const at = address + i;
      if (!this.contains(at, 1)) continue;
      const number = Math.floor(at / 4096);
      let page = this.#pages.get(number);
      if (page === undefined) this.#pages.set(number, (page = new Uint8Array(4096)));
      page[at % 4096] = source[i]!;
    }
  }

  readonly storage = new Uint8Array(0);
  place(): undefined {}
  wrote(): void {}

  view(address: number, length: number): DataView {
    const bytes = new Uint8Array(length);
    this.read(address, bytes);
    return new DataView(bytes.buffer);
  }

  text(address: number): string {
    let text = '';
    for (let at = address; ; at++) {
      const byte = this.view(at, 1).getUint8(0);
      if (byte === 0) return text;
      text += String.fromCharCode(byte);
    }
  }

  readU16(address: number): number {
    return this.view(address, 2).getUint16(0, true);
  }

  writeU16(address: number, value: number): void {
    this.write(address, Uint8Array.of(value, value >>> 8));
  }

  readU32(address: number): number {
    return this.view(address, 4).getUint32(0, true);
  }

  writeU32(address: number, value: number): void {
    this.write(address, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }
}
