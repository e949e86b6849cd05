import { CR4, MODE, MODE_CODE64, RAX, RBX, RCX, RDX, STATE_BYTES, XCR0 } from '../../isa/x86/state/layout.ts';
import { VCPU_BASE, VCPU_STRIDE } from '../../memory/layout.ts';
import type { Runtime } from '../runtime-module.ts';
import { CONSTANTS, IOCTLS, STRUCTS } from './abi.ts';
import { KvmError } from './kvm-host.ts';
import type { KvmHost } from './kvm-host.ts';

export interface CpuidEntry {
  readonly leaf: number;
  readonly index: number;
  readonly values: readonly [eax: number, ebx: number, ecx: number, edx: number];
}

const E = STRUCTS.kvm_cpuid_entry2.fields;
const HEAD = STRUCTS.kvm_cpuid2.size;
const E2BIG = 7;
const EAX = 0;
const EBX = 1;
const ECX = 2;
const EDX = 3;

/** Leaves that look at ECX, and how many indices the model knows. */
const INDEXED: ReadonlyMap<number, number> = new Map([[4, 5], [7, 3], [0xb, 3], [0xd, 10]]);
/** Feature words by their place in CPUID_HIDDEN: leaf and register. */
export const FEATURE_WORDS = [[1, ECX], [1, EDX], [7, EBX], [7, ECX], [7, EDX], [0x80000001, ECX], [0x80000001, EDX]] as const;
/** Features of KVM's list that the monitor makes itself: APIC, x2APIC, TSC deadline, hypervisor; several processors; what depends on mode. */
const OURS: ReadonlyMap<string, number> = new Map([[`1 ${ECX}`, (1 << 21) | (1 << 24) | (1 << 27) | (1 << 31)], [`1 ${EDX}`, (1 << 9) | (1 << 28)], [`7 ${ECX}`, 1 << 4], [`7 ${EDX}`, 1 << 29]]);

/** What this host's KVM can show its guests. */
export function supportedCpuid(host: KvmHost): readonly CpuidEntry[] {
  for (let room = 128; ; room *= 2) {
    const data = new Uint8Array(HEAD + room * STRUCTS.kvm_cpuid_entry2.size);
    const view = new DataView(data.buffer);
    view.setUint32(0, room, true);
    try {
      host.ioctlData(host.device, IOCTLS.KVM_GET_SUPPORTED_CPUID, data);
    } catch (error) {
      if (error instanceof KvmError && error.errno === E2BIG && room < 4096) continue;
      throw error;
    }
    return Array.from({ length: view.getUint32(0, true) }, (_, i) => {
      const at = HEAD + i * STRUCTS.kvm_cpuid_entry2.size;
      const word = (offset: number): number => view.getUint32(at + offset, true);
      return { leaf: word(E.function), index: word(E.index), values: [word(E.eax), word(E.ebx), word(E.ecx), word(E.edx)] as const };
    });
  }
}

/** Features that are the supervisor's affair, by the place of their word: paging, machine checks, SYSENTER and SYSCALL, SMEP and the like. */
const SUPERVISOR: readonly number[] = [(1 << 17) | (1 << 26), 0x13ffa | (1 << 11), (1 << 1) | (1 << 7) | (1 << 10) | (1 << 20), 1 << 2, 0, 0, (1 << 11) | (1 << 20) | (1 << 26) | (1 << 29)];
/** Protection keys: user code with them does not run directly. */
const KEYS: readonly number[] = [0, 0, 0, 1 << 3, 0, 0, 0];

/** Words for CPUID_HIDDEN of a guest whose user code alone runs on the processor: what that lacks, `features` being what it says there. */
export function hiddenFromUser(features: readonly number[]): readonly number[] {
  return features.map((word, i) => {
    const [leaf, register] = FEATURE_WORDS[i]!;
    return (~(word | SUPERVISOR[i]! | (OURS.get(`${leaf} ${register}`) ?? 0)) | KEYS[i]!) >>> 0;
  });
}

/** Words for CPUID_HIDDEN: every feature bit that KVM lacks. */
export function hiddenByKvm(supported: readonly CpuidEntry[]): readonly number[] {
  return FEATURE_WORDS.map(([leaf, register]) => {
    const entry = supported.find((candidate) => candidate.leaf === leaf && candidate.index === 0);
    return ~((entry?.values[register] ?? 0) | (OURS.get(`${leaf} ${register}`) ?? 0)) >>> 0;
  });
}

/** CPUID of the vCPU whose block it is, as the runtime answers it to the guest. The block is behind it as it was. */
export function modelCpuid(runtime: Runtime, block: DataView): readonly CpuidEntry[] {
  const ask = (leaf: number, index: number): CpuidEntry => {
    block.setBigUint64(RAX, BigInt(leaf >>> 0), true);
    block.setBigUint64(RCX, BigInt(index), true);
    runtime.call('cpuid');
    const word = (offset: number): number => block.getUint32(offset, true);
    return { leaf: leaf >>> 0, index, values: [word(RAX), word(RBX), word(RCX), word(RDX)] };
  };
  const state = new Uint8Array(block.buffer, block.byteOffset, STATE_BYTES);
  const before = state.slice();
  const ranges = [0, 0x40000000, 0x80000000].flatMap((first) => {
    const last = first === 0x40000000 ? 0x40000010 : ask(first, 0).values[EAX];
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  const entries = ranges.flatMap((leaf) => Array.from({ length: INDEXED.get(leaf) ?? 1 }, (_, index) => ask(leaf, index)));
  state.set(before);
  return entries;
}

/**
 * The same, of the vCPU `index`, as KVM is to be told: what there is at all, for some of it shows in 64-bit code only, or once the
 * guest has switched it on, which KVM finds out itself.
 */
export function guestCpuid(runtime: Runtime, memory: WebAssembly.Memory, index: number): readonly CpuidEntry[] {
  const block = new DataView(memory.buffer, VCPU_BASE + index * VCPU_STRIDE, STATE_BYTES);
  const mode = block.getUint32(MODE, true);
  const switches = [CR4, XCR0].map((offset) => [offset, block.getBigUint64(offset, true)] as const);
  block.setUint32(MODE, MODE_CODE64, true);
  for (const [offset] of switches) block.setBigUint64(offset, offset === XCR0 ? 1n : 0n, true);
  const entries = modelCpuid(runtime, block);
  block.setUint32(MODE, mode, true);
  for (const [offset, value] of switches) block.setBigUint64(offset, value, true);
  return entries;
}

/** Whether a guest that has been told so (see `guestCpuid`) knows of features that `hidden` names, as words like those of CPUID_HIDDEN. */
export function knowsHidden(cpuid: readonly CpuidEntry[], hidden: readonly number[]): boolean {
  return FEATURE_WORDS.some(([leaf, register], i) => (cpuid.find((entry) => entry.leaf === leaf && entry.index === 0)!.values[register] & hidden[i]!) !== 0);
}

/** A kvm_cpuid2 structure. */
export function packCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEAD + entries.length * STRUCTS.kvm_cpuid_entry2.size));
  view.setUint32(0, entries.length, true);
  entries.forEach(({ leaf, index, values }, i) => {
    const at = HEAD + i * STRUCTS.kvm_cpuid_entry2.size;
    view.setUint32(at + E.function, leaf, true);
    view.setUint32(at + E.index, index, true);
    view.setUint32(at + E.flags, INDEXED.has(leaf) ? CONSTANTS.KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0, true);
    [E.eax, E.ebx, E.ecx, E.edx].forEach((offset, register) => view.setUint32(at + offset, values[register]!, true));
  });
  return new Uint8Array(view.buffer);
}
