import type { SegmentState, VcpuRegisters } from '../cpu/vcpu.ts';
import { CR0, CR2, CR3, CR4, EFER, GPR, RIP, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR } from '../isa/x86/state/layout.ts';

/** Segment registers in encoding order. */
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;

/** Registers out of a view of a vCPU's block, which keeps RFLAGS in another form. */
export function registersOf(block: DataView, rflags: bigint): VcpuRegisters {
  const u64 = (offset: number): bigint => block.getBigUint64(offset, true);
  const segment = (i: number): SegmentState => {
    const at = SEGMENTS + i * SEGMENT_BYTES;
    return { selector: block.getUint32(at + SEG_SELECTOR, true), base: u64(at + SEG_BASE), limit: block.getUint32(at + SEG_LIMIT, true), attributes: block.getUint32(at + SEG_ATTRIBUTES, true) };
  };
  return {
    gpr: Array.from({ length: 16 }, (_, i) => u64(GPR + i * 8)), rip: u64(RIP), rflags,
    segments: Object.fromEntries(SEGMENT_NAMES.map((name, i) => [name, segment(i)])) as VcpuRegisters['segments'],
    cr0: u64(CR0), cr2: u64(CR2), cr3: u64(CR3), cr4: u64(CR4), efer: u64(EFER),
  };
}
