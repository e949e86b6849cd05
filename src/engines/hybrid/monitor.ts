// The supervisor's side of the VM in which user code runs directly: descriptor tables, a stub for each vector, a stack. They
// lie in the vCPU's area for shadow tables, which that VM sees at SHADOW_PHYSICAL and, mapped for the supervisor, at SHADOW_LINEAR_BASE.

import { PAGE_SIZE } from '../../base/addresses.ts';
import {
  SHADOW_END, SHADOW_LINEAR_BASE, SHADOW_MONITOR, SHADOW_MONITOR_MAP, SHADOW_PHYSICAL,
} from '../../memory/layout.ts';

const GDT = SHADOW_MONITOR;
const IDT = SHADOW_MONITOR + PAGE_SIZE;
const TSS = SHADOW_MONITOR + 2 * PAGE_SIZE;
const STUBS = SHADOW_MONITOR + 3 * PAGE_SIZE;
const STACK_END = SHADOW_MONITOR + 5 * PAGE_SIZE;
const VECTORS = 256;
const HLT = 0xf4;

/** Selectors. No other descriptor exists: user code that loads a segment comes out. */
export const MONITOR_CS = 0x08;
export const MONITOR_SS = 0x10;
export const MONITOR_TR = 0x18;
export const GDT_LIMIT = 0x27;
export const IDT_LIMIT = VECTORS * 16 - 1;
export const TSS_LIMIT = 0x67;
/** Attributes as the vCPU's block has them (cpu/vcpu.ts, SegmentState). */
export const MONITOR_CODE = 0xa09b;
export const MONITOR_DATA = 0xc093;
export const MONITOR_TASK = 0x8b;

export const MONITOR_GDT = linearOf(GDT);
export const MONITOR_IDT = linearOf(IDT);
export const MONITOR_TSS = linearOf(TSS);
/** Stub of vector 0; each is one HLT. */
export const MONITOR_STUBS = linearOf(STUBS);
/** Tells KVM of RCX table entries, of which RSI points to the list (SHADOW_PATCHES); then HLT. */
export const MONITOR_PATCHER = linearOf(STUBS + 512);
/** Where an interrupt's frame ends, as offset in the area. */
export const FRAME_END = STACK_END;
/** Where SYSCALL goes to on a KVM that lets it happen although EFER.SCE is clear: nothing is mapped there. */
export const MONITOR_SYSCALL = linearOf(SHADOW_END);

/** Address in the VM's upper half of an offset in the area. */
export function linearOf(offset: number): bigint {
  return BigInt.asUintN(64, BigInt(SHADOW_LINEAR_BASE) + BigInt(offset));
}

/** Writes all of it into the area at that address. */
export function layOutMonitor(memory: WebAssembly.Memory, area: number): void {
  const view = new DataView(memory.buffer, area, SHADOW_END);
  const bytes = new Uint8Array(memory.buffer, area, SHADOW_END);
  bytes.fill(0, SHADOW_MONITOR, SHADOW_MONITOR_MAP);
  const put = (at: number, value: bigint): void => view.setBigUint64(at, value, true);
  put(GDT + MONITOR_CS, 0xaf9b_000000_ffffn);
  put(GDT + MONITOR_SS, 0xcf93_000000_ffffn);
  const task = MONITOR_TSS;
  put(GDT + MONITOR_TR, BigInt(TSS_LIMIT) | ((task & 0xffffffn) << 16n) | (0x89n << 40n) | (((task >> 24n) & 0xffn) << 56n));
  put(GDT + MONITOR_TR + 8, task >> 32n);
  // RSP0; no I/O bitmap (Intel SDM 3A, 8.7).
  put(TSS + 4, linearOf(STACK_END));
  view.setUint16(TSS + 102, TSS_LIMIT + 1, true);
  for (let vector = 0; vector < VECTORS; vector++) {
    // Interrupt gates of DPL 0: INT n in user code is #GP at the instruction.
    const stub = MONITOR_STUBS + BigInt(vector);
    put(IDT + 16 * vector, (stub & 0xffffn) | (BigInt(MONITOR_CS) << 16n) | (0x8e00n << 32n) | (((stub >> 16n) & 0xffffn) << 48n));
    put(IDT + 16 * vector + 8, stub >> 32n);
    bytes[STUBS + vector] = HLT;
  }
  // next: lodsq; mov rdi,rax; mov rax,[rdi]; mov [rdi],rax; lodsq; invlpg [rax]; dec ecx; jnz next; hlt
  bytes.set([0x48, 0xad, 0x48, 0x89, 0xc7, 0x48, 0x8b, 0x07, 0x48, 0x89, 0x07, 0x48, 0xad, 0x0f, 0x01, 0x38, 0xff, 0xc9, 0x75, 0xec, HLT], STUBS + 512);
  layOutMap(put);
}

/** All of the area for the supervisor, behind entry 511 of every table of the fourth level. */
function layOutMap(put: (at: number, value: bigint) => void): void {
  const present = 0x63n;
  const physical = (offset: number): bigint => BigInt(SHADOW_PHYSICAL) + BigInt(offset);
  const directory = SHADOW_MONITOR_MAP + PAGE_SIZE;
  put(SHADOW_MONITOR_MAP, physical(directory) | present);
  for (let page = 0; page < SHADOW_END / PAGE_SIZE; page++) {
    const table = directory + PAGE_SIZE * (1 + Math.floor(page / 512));
    put(directory + 8 * Math.floor(page / 512), physical(table) | present);
    put(table + 8 * (page % 512), physical(page * PAGE_SIZE) | present);
  }
}
