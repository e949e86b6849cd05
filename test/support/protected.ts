import {
  CPL, GDTR_BASE, GDTR_LIMIT, IDTR_BASE, IDTR_LIMIT, LEAVE_FAULT, LEAVE_RESUME, LEAVE_SHUTDOWN, RIP, RSP, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR,
} from '../../src/isa/x86/state/layout.ts';
import { segmentDescriptor } from './descriptors.ts';
import type { SegmentFields } from './descriptors.ts';
import { RuntimeFixture } from './runtime.ts';

export const GDT = 0x1000;
export const IDT = 0x2000;
export const STACK0 = 0x8000;
export const STACK3 = 0x9000;
/** The instruction that the fixture stands at, and the one behind it. */
export const HERE = 0x400100;
export const NEXT = 0x400102;

const hex = (value: number | bigint): string => value.toString(16);

/** A vCPU in protected mode with a table of descriptors, for tests of transfers, events and tasks. */
export class ProtectedFixture extends RuntimeFixture {
  readonly #fields = new Map<number, SegmentFields>();

  define(selector: number, fields: SegmentFields): void {
    this.#fields.set(selector, fields);
    this.poke64(GDT + selector, segmentDescriptor(fields));
  }
  /** Loads a segment register without any check, from the table or as given. */
  place(index: number, selector: number, fields = this.#fields.get(selector & 0xfff8)): void {
    const { base = 0, limit = 0xffffffff, access, flags = 4 } = fields!;
    this.segment(index, BigInt(base), limit, access | (flags << 12) | (limit > 0xfffff ? 0x8000 : 0));
    this.setU32(SEGMENTS + index * SEGMENT_BYTES + SEG_SELECTOR, selector);
  }
  /** Level 0 or 3 on selectors 8, 10h or 1Bh, 23h; TR is 38h. */
  at(cpl: 0 | 3, settings: { long?: boolean; flags?: number } = {}): void {
    const long = settings.long === true;
    this.setU64(GDTR_BASE, BigInt(GDT));
    this.setU32(GDTR_LIMIT, 0xff);
    this.setU64(IDTR_BASE, BigInt(IDT));
    this.setU32(IDTR_LIMIT, 0x7ff);
    this.mode({ cr0: 1n, cr4: long ? 0x20n : 0n, efer: long ? 0x500n : 0n, cpl, flags: settings.flags ?? 0 });
    this.place(1, long ? (cpl === 0 ? 0x80 : 0x8b) : cpl === 0 ? 0x08 : 0x1b);
    for (const index of [0, 2, 3, 4, 5]) this.place(index, cpl === 0 ? 0x10 : 0x23);
    this.place(7, 0x38);
    this.call('updateMode');
    this.mode({});
    this.setU64(RSP, BigInt(cpl === 0 ? STACK0 : STACK3));
    this.setU64(RIP, BigInt(HERE));
  }
  selector(index: number): number {
    return this.u32(SEGMENTS + index * SEGMENT_BYTES + SEG_SELECTOR);
  }
  register(index: number): { base: bigint; limit: number; attributes: number } {
    const at = SEGMENTS + index * SEGMENT_BYTES;
    return { base: this.u64(at + SEG_BASE), limit: this.u32(at + SEG_LIMIT), attributes: this.u32(at + SEG_ATTRIBUTES) };
  }
  /** Where the processor is, as text: CS:RIP, level, SS:RSP. */
  whereabouts(): string {
    return `${hex(this.selector(1))}:${hex(this.u64(RIP))} cpl ${this.u32(CPL)} ${hex(this.selector(2))}:${hex(this.u64(RSP))}`;
  }
  /** That after a transfer with this LEAVE_ code, or the fault that it met. */
  outcome(code: number | bigint): string {
    if (code === LEAVE_SHUTDOWN) return 'shutdown';
    const fault = this.takeFault();
    if (fault !== undefined) return code === LEAVE_FAULT ? `#${fault.vector}(${fault.error === undefined ? '' : hex(fault.error)})` : `fault with code ${code}`;
    return code === LEAVE_RESUME ? this.whereabouts() : `code ${code}`;
  }
  /** 32-bit words of memory, in hexadecimal. */
  words(address: number, count: number): string[] {
    return Array.from({ length: count }, (_, i) => hex(this.peek32(address + 4 * i) >>> 0));
  }
  quads(address: number, count: number): string[] {
    return Array.from({ length: count }, (_, i) => hex(this.peek64(address + 8 * i)));
  }
}
