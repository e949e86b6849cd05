import { IOCTLS, STRUCTS } from './abi.ts';
import type { CpuidEntry } from './cpuid-table.ts';
import { KvmError } from './kvm-host.ts';
import type { KvmHost } from './kvm-host.ts';

/** MSRs that follow each other. */
export interface MsrRun {
  readonly first: number;
  readonly count: number;
}

/** System calls, EFER, segment bases, TSC_AUX. */
const ALWAYS: readonly MsrRun[] = [{ first: 0x174, count: 3 }, { first: 0xc0000080, count: 5 }, { first: 0xc0000100, count: 4 }];
export const IA32_SPEC_CTRL = 0x48;
const IA32_PRED_CMD = 0x49;
/** Of leaf 7 EDX: both exist (SDM 2A, CPUID). Of its subleaf 2: BHI_DIS_S does. */
const EDX7_SPEC_CTRL = 1 << 26;
const EDX72_BHI_CTRL = 1 << 4;
const E2BIG = 7;
const HEAD = STRUCTS.kvm_msr_list.size;

/**
 * MSRs that KVM keeps itself. All others come out as exits, so that the model's answers are the same on every engine. What holds the
 * processor's predictors back has to reach the processor: PRED_CMD where KVM knows it, SPEC_CTRL where KVM holds all that the model may announce of it.
 * `supported`: what KVM can show in CPUID.
 */
export function keptMsrs(host: KvmHost, supported: readonly CpuidEntry[]): readonly MsrRun[] {
  return chooseMsrs(savedMsrs(host), supported);
}

/** By what KVM can save, and what it can show in CPUID. */
export function chooseMsrs(saved: readonly number[], supported: readonly CpuidEntry[]): readonly MsrRun[] {
  const edx = (index: number): number => supported.find((entry) => entry.leaf === 7 && entry.index === index)?.values[3] ?? 0;
  if ((edx(0) & EDX7_SPEC_CTRL) === 0) return ALWAYS;
  const whole = saved.includes(IA32_SPEC_CTRL) && (edx(2) & EDX72_BHI_CTRL) !== 0;
  return [...ALWAYS, whole ? { first: IA32_SPEC_CTRL, count: 2 } : { first: IA32_PRED_CMD, count: 1 }];
}

function savedMsrs(host: KvmHost): readonly number[] {
  for (let room = 256; ; room *= 2) {
    const list = new Uint32Array(HEAD / 4 + room);
    list[0] = room;
    try {
      host.ioctlData(host.device, IOCTLS.KVM_GET_MSR_INDEX_LIST, new Uint8Array(list.buffer));
    } catch (error) {
      if (error instanceof KvmError && error.errno === E2BIG && room < 4096) continue;
      throw error;
    }
    return [...list.subarray(HEAD / 4, HEAD / 4 + list[0]!)];
  }
}
