// Conversion of the vCPU's block of linear memory to KVM's structures and back. `block` is a view of the block.

import { CR0, CR2, CR3, CR4, DR, DR6, DR7, EFER, GDTR_BASE, GDTR_LIMIT, GPR, IDTR_BASE, IDTR_LIMIT, PDPTES, PDPTES_LOADED, RIP, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR } from '../../isa/x86/state/layout.ts';
import { CONSTANTS, STRUCTS } from './abi.ts';

const R = STRUCTS.kvm_regs.fields;
const S = STRUCTS.kvm_sregs2.fields;
const D = STRUCTS.kvm_debugregs.fields;
const SEG = STRUCTS.kvm_segment.fields;
const TABLE = STRUCTS.kvm_dtable.fields;

/** KVM's places of the general registers in encoding order. */
const GPR_PLACES = [R.rax, R.rcx, R.rdx, R.rbx, R.rsp, R.rbp, R.rsi, R.rdi, R.r8, R.r9, R.r10, R.r11, R.r12, R.r13, R.r14, R.r15];
const SEGMENT_PLACES = [S.es, S.cs, S.ss, S.ds, S.fs, S.gs, S.ldt, S.tr];
const CONTROL_PLACES = [[CR0, S.cr0], [CR2, S.cr2], [CR3, S.cr3], [CR4, S.cr4], [EFER, S.efer]] as const;
const TABLE_PLACES = [[GDTR_BASE, GDTR_LIMIT, S.gdt], [IDTR_BASE, IDTR_LIMIT, S.idt]] as const;
/** Bits of the attributes by KVM's field: shift and width. */
const ATTRIBUTES = [[SEG.type, 0, 15], [SEG.s, 4, 1], [SEG.dpl, 5, 3], [SEG.present, 7, 1], [SEG.avl, 12, 1], [SEG.l, 13, 1], [SEG.db, 14, 1], [SEG.g, 15, 1], [SEG.unusable, 16, 1]] as const;

export function packRegisters(block: DataView, rflags: number, regs: DataView): void {
  GPR_PLACES.forEach((place, i) => regs.setBigUint64(place, block.getBigUint64(GPR + 8 * i, true), true));
  regs.setBigUint64(R.rip, block.getBigUint64(RIP, true), true);
  regs.setBigUint64(R.rflags, BigInt(rflags >>> 0), true);
}
/** Returns RFLAGS, which the block keeps in another form. */
export function unpackRegisters(regs: DataView, block: DataView): number {
  GPR_PLACES.forEach((place, i) => block.setBigUint64(GPR + 8 * i, regs.getBigUint64(place, true), true));
  block.setBigUint64(RIP, regs.getBigUint64(R.rip, true), true);
  return Number(regs.getBigUint64(R.rflags, true) & 0x3fffffn);
}

/** Also into a kvm_sregs, whose beginning is the same. */
export function packSegments(block: DataView, sregs: DataView): void {
  SEGMENT_PLACES.forEach((place, i) => {
    const at = SEGMENTS + i * SEGMENT_BYTES;
    packSegment(sregs, place, block.getBigUint64(at + SEG_BASE, true), block.getUint32(at + SEG_LIMIT, true), block.getUint32(at + SEG_SELECTOR, true), block.getUint32(at + SEG_ATTRIBUTES, true));
  });
}
/** A kvm_segment; attributes as the block has them. */
export function packSegment(sregs: DataView, place: number, base: bigint, limit: number, selector: number, attributes: number): void {
  sregs.setBigUint64(place + SEG.base, base, true);
  sregs.setUint32(place + SEG.limit, limit, true);
  sregs.setUint16(place + SEG.selector, selector, true);
  for (const [field, shift, mask] of ATTRIBUTES) sregs.setUint8(place + field, (attributes >>> shift) & mask);
}

/** `cr8` and `apicBase` come from the local APIC. */
export function packSystemRegisters(block: DataView, cr8: number, apicBase: bigint, sregs: DataView): void {
  packSegments(block, sregs);
  for (const [base, limit, place] of TABLE_PLACES) {
    sregs.setBigUint64(place + TABLE.base, block.getBigUint64(base, true), true);
    sregs.setUint16(place + TABLE.limit, block.getUint32(limit, true), true);
  }
  for (const [offset, place] of CONTROL_PLACES) sregs.setBigUint64(place, block.getBigUint64(offset, true), true);
  sregs.setBigUint64(S.cr8, BigInt(cr8), true);
  sregs.setBigUint64(S.apic_base, apicBase, true);
  const loaded = block.getUint32(PDPTES_LOADED, true) !== 0;
  sregs.setBigUint64(S.flags, BigInt(loaded && usesPdptes(block) ? CONSTANTS.KVM_SREGS2_FLAGS_PDPTRS_VALID : 0), true);
  for (let i = 0; i < 4; i++) sregs.setBigUint64(S.pdptrs + 8 * i, block.getBigUint64(PDPTES + 8 * i, true), true);
}
export function unpackSystemRegisters(sregs: DataView, block: DataView): void {
  SEGMENT_PLACES.forEach((place, i) => {
    const at = SEGMENTS + i * SEGMENT_BYTES;
    block.setBigUint64(at + SEG_BASE, sregs.getBigUint64(place + SEG.base, true), true);
    block.setUint32(at + SEG_LIMIT, sregs.getUint32(place + SEG.limit, true), true);
    block.setUint32(at + SEG_SELECTOR, sregs.getUint16(place + SEG.selector, true), true);
    let attributes = 0;
    for (const [field, shift, mask] of ATTRIBUTES) attributes |= (sregs.getUint8(place + field) & mask) << shift;
    block.setUint32(at + SEG_ATTRIBUTES, attributes, true);
  });
  for (const [base, limit, place] of TABLE_PLACES) {
    block.setBigUint64(base, sregs.getBigUint64(place + TABLE.base, true), true);
    block.setUint32(limit, sregs.getUint16(place + TABLE.limit, true), true);
  }
  for (const [offset, place] of CONTROL_PLACES) block.setBigUint64(offset, sregs.getBigUint64(place, true), true);
  const valid = (sregs.getBigUint64(S.flags, true) & BigInt(CONSTANTS.KVM_SREGS2_FLAGS_PDPTRS_VALID)) !== 0n;
  block.setUint32(PDPTES_LOADED, valid ? 1 : 0, true);
  for (let i = 0; i < 4; i++) block.setBigUint64(PDPTES + 8 * i, valid ? sregs.getBigUint64(S.pdptrs + 8 * i, true) : 0n, true);
}

/** PAE paging (Intel SDM 3A, 4.4): CR0.PG and CR4.PAE without EFER.LMA. */
function usesPdptes(block: DataView): boolean {
  const bit = (offset: number, mask: bigint): boolean => (block.getBigUint64(offset, true) & mask) !== 0n;
  return bit(CR0, 0x80000000n) && bit(CR4, 0x20n) && !bit(EFER, 0x400n);
}

export function packDebugRegisters(block: DataView, debug: DataView): void {
  for (let n = 0; n < 4; n++) debug.setBigUint64(D.db + 8 * n, block.getBigUint64(DR + 8 * n, true), true);
  debug.setBigUint64(D.dr6, block.getBigUint64(DR6, true), true);
  debug.setBigUint64(D.dr7, block.getBigUint64(DR7, true), true);
}
export function unpackDebugRegisters(debug: DataView, block: DataView): void {
  for (let n = 0; n < 4; n++) block.setBigUint64(DR + 8 * n, debug.getBigUint64(D.db + 8 * n, true), true);
  block.setBigUint64(DR6, debug.getBigUint64(D.dr6, true), true);
  block.setBigUint64(DR7, debug.getBigUint64(D.dr7, true), true);
}

/** A kvm_msrs structure with its entries. */
export function packMsrs(entries: readonly (readonly [index: number, value: bigint])[]): DataView {
  const { size, fields } = STRUCTS.kvm_msr_entry;
  const view = new DataView(new ArrayBuffer(STRUCTS.kvm_msrs.size + entries.length * size));
  view.setUint32(0, entries.length, true);
  entries.forEach(([index, value], i) => {
    view.setUint32(STRUCTS.kvm_msrs.size + i * size, index, true);
    view.setBigUint64(STRUCTS.kvm_msrs.size + i * size + fields.data, value, true);
  });
  return view;
}
