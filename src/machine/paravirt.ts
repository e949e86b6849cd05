import {
  FEATURE_CLOCK, FEATURE_CLOCK_OLD, FEATURE_EOI, FEATURE_IPI, FEATURE_NO_IO_DELAY, FEATURE_STABLE_CLOCK, FEATURE_STEAL_TIME, FEATURE_TLB_FLUSH, FEATURE_UNHALT,
} from '../cpu/paravirt.ts';

const CLOCK = FEATURE_CLOCK_OLD | FEATURE_CLOCK | FEATURE_STABLE_CLOCK | FEATURE_NO_IO_DELAY;
const ONE = CLOCK | FEATURE_EOI | FEATURE_STEAL_TIME;
const SEVERAL = ONE | FEATURE_TLB_FLUSH | FEATURE_UNHALT | FEATURE_IPI;

/** What executes a machine: one processor, whatever its engine (on KVM it finds no offer to leave out an EOI, and writes the register); several in threads of ours; several that may be on KVM. */
export type ProcessorKind = 'one' | 'threads' | 'kvm';

/**
 * What of KVM's paravirtual interface a machine's guest is offered. Threads of ours serve the calls that concern other processors; a KVM
 * without interrupt controllers of its own cannot.
 */
export function paravirtFeatures(wanted: boolean, processors: ProcessorKind): number {
  return !wanted ? 0 : processors === 'one' ? ONE : processors === 'threads' ? SEVERAL : CLOCK;
}
