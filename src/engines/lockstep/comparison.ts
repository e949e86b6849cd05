import type { VcpuRegisters } from '../../cpu/vcpu.ts';
import {
  COUNT_EXCEPTIONS, CPL, CR0, CR2, CR3, CR4, DR, EFER, GDTR_BASE, GDTR_LIMIT, HALTED, IDTR_BASE, IDTR_LIMIT, MODE, MSR_STAR, MXCSR, NMI_BLOCKED, PDPTES, PENDING_DEBUG, PKRS, PKRU, RIP, SEGMENTS, SEGMENT_BYTES,
  SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, TLB, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_INVALID, TLB_PAGE_MASK, TLB_RAM_PAGE, TLB_SETS, TLB_WRITE, VECTOR, X87, X87_CONTROL, X87_DP, X87_DP_SELECTOR, X87_IP,
  X87_IP_SELECTOR, X87_OPCODE, X87_STATUS, X87_TAGS,
} from '../../isa/x86/state/layout.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../../base/addresses.ts';
import { RAM_BASE } from '../../memory/layout.ts';
import { Divergence } from './event-log.ts';
import { firstDifference } from './twin.ts';
import type { Twin } from './twin.ts';

/** Name, offset and size of what is compared in the vCPU's block, besides the flags, which have many forms. */
type Field = readonly [name: string, offset: number, bytes: number];

const GPR_NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'];

const fields: readonly Field[] = [
  ...GPR_NAMES.map((name, i): Field => [name, i * 8, 8]),
  ['rip', RIP, 8], ['cpl', CPL, 4], ['mode', MODE, 4],
  ...SEGMENT_NAMES.flatMap((name, i): Field[] => [
    [`${name}.base`, SEGMENTS + i * SEGMENT_BYTES + SEG_BASE, 8], [`${name}.limit`, SEGMENTS + i * SEGMENT_BYTES + SEG_LIMIT, 4],
    [`${name}.attributes`, SEGMENTS + i * SEGMENT_BYTES + SEG_ATTRIBUTES, 4], [`${name}.selector`, SEGMENTS + i * SEGMENT_BYTES + SEG_SELECTOR, 4],
  ]),
  ['gdtr.base', GDTR_BASE, 8], ['gdtr.limit', GDTR_LIMIT, 4], ['idtr.base', IDTR_BASE, 8], ['idtr.limit', IDTR_LIMIT, 4],
  ['cr0', CR0, 8], ['cr2', CR2, 8], ['cr3', CR3, 8], ['cr4', CR4, 8], ['efer', EFER, 8],
  ...[0, 1, 2, 3, 6, 7].map((n): Field => [`dr${n}`, DR + n * 8, 8]),
  ['model-specific registers', MSR_STAR, PKRU - MSR_STAR], ['pkru', PKRU, 4], ['pkrs', PKRS, 4],
  ['NMIs blocked', NMI_BLOCKED, 4], ['halted', HALTED, 4], ['pending debug bits', PENDING_DEBUG, 4], ['exceptions', COUNT_EXCEPTIONS, 8],
  ...Array.from({ length: 8 }, (_, n): Field => [`x87 r${n}`, X87 + n * 16, 10]),
  ['x87 control', X87_CONTROL, 2], ['x87 status', X87_STATUS, 2], ['x87 tags', X87_TAGS, 2], ['x87 opcode', X87_OPCODE, 2], ['x87 ip', X87_IP, 8], ['x87 ip selector', X87_IP_SELECTOR, 2],
  ['x87 dp', X87_DP, 8], ['x87 dp selector', X87_DP_SELECTOR, 2], ['mxcsr', MXCSR, 4],
  ...Array.from({ length: 16 }, (_, n): Field => [`ymm${n}`, VECTOR + n * 32, 32]),
  ['PDPTE registers', PDPTES, 32],
];

/** What differs between two vCPUs: a name, and what each has. */
export interface StateDifference {
  readonly name: string;
  readonly values: readonly [string, string];
}

const hexBytes = (twin: Twin, at: number, bytes: number): string => `0x${Array.from(twin.bytes.subarray(at, at + bytes), (byte) => byte.toString(16).padStart(2, '0')).reverse().join('')}`;

/** What a comparison finds, or the divergence on the way to it. */
export function differencesIn(compare: () => StateDifference[]): StateDifference[] {
  try {
    return compare();
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    return [{ name: 'what they do', values: ['as it was before', error.message] }];
  }
}

export function registerDifferences(a: Twin, b: Twin): StateDifference[] {
  const differences: StateDifference[] = [];
  for (const [name, offset, bytes] of fields) {
    for (let i = 0; i < bytes; i++) {
      if (a.bytes[a.block + offset + i] === b.bytes[b.block + offset + i]) continue;
      differences.push({ name, values: [hexBytes(a, a.block + offset, bytes), hexBytes(b, b.block + offset, bytes)] });
      break;
    }
  }
  const flags = (registers: VcpuRegisters): bigint => registers.rflags;
  const [one, other] = [flags(a.vcpu.registers()), flags(b.vcpu.registers())];
  if (one !== other) differences.push({ name: 'rflags', values: [`0x${one.toString(16)}`, `0x${other.toString(16)}`] });
  if (a.vcpu.instructions !== b.vcpu.instructions) differences.push({ name: 'instructions', values: [String(a.vcpu.instructions), String(b.vcpu.instructions)] });
  return differences;
}

/** Bits of page table entries that engines may set at different times (Intel SDM 3A, 4.8: accessed and dirty). */
const ENTRY_FLAGS = 0x60;
const PRESENT = 1;

/** Words of a page that differ, other than by accessed and dirty flags, which the second twin takes over. */
function pageDifferences(a: Twin, b: Twin, host: number): StateDifference[] {
  const differences: StateDifference[] = [];
  const first = host >>> 2;
  if (firstDifference(a.words, first, b.words, first) < 0) return differences;
  for (let i = first; i < first + PAGE_SIZE / 4; i++) {
    const [one, other] = [a.words[i]!, b.words[i]!];
    if (one === other) continue;
    if (((one ^ other) & ~ENTRY_FLAGS) === 0 && (one & PRESENT) !== 0) b.words[i] = one;
    else differences.push({ name: `RAM at 0x${(i * 4 - RAM_BASE).toString(16)}`, values: [`0x${one.toString(16)}`, `0x${other.toString(16)}`] });
  }
  return differences;
}

/** In pages that the first twin may have written since its TLB was emptied last. Finds most differences soon. */
export function recentDifferences(a: Twin, b: Twin): StateDifference[] {
  const differences: StateDifference[] = [];
  for (let entry = 0; entry < TLB_SETS * TLB_ENTRIES; entry++) {
    const at = a.block + TLB + entry * TLB_ENTRY_BYTES;
    if ((a.words[(at + TLB_WRITE) >>> 2]! & TLB_INVALID) !== 0) continue;
    differences.push(...pageDifferences(a, b, RAM_BASE + (a.words[(at + TLB_RAM_PAGE) >>> 2]! & TLB_PAGE_MASK) * PAGE_SIZE));
  }
  return differences;
}

/** In all of RAM. */
export function ramDifferences(a: Twin, b: Twin): StateDifference[] {
  const differences: StateDifference[] = [];
  for (let host = RAM_BASE; host < a.bytes.length && differences.length < 16; host += 1 << PAGE_SHIFT) differences.push(...pageDifferences(a, b, host));
  return differences;
}
