import {
  FEATURE_CLOCK, FEATURE_CLOCK_OLD, FEATURE_IPI, FEATURE_NO_IO_DELAY, FEATURE_STABLE_CLOCK, FEATURE_STEAL_TIME, FEATURE_TLB_FLUSH, FEATURE_UNHALT,
} from '../cpu/paravirt.ts';

const CLOCK = FEATURE_CLOCK_OLD | FEATURE_CLOCK | FEATURE_STABLE_CLOCK | FEATURE_NO_IO_DELAY;
const SEVERAL = FEATURE_STEAL_TIME | FEATURE_TLB_FLUSH | FEATURE_UNHALT | FEATURE_IPI;

/**
 * What of KVM's paravirtual interface a machine's guest is offered. `threads`: its processors run in threads of ours, which serve the
 * calls that concern other processors; a KVM without interrupt controllers of its own cannot.
 */
export function paravirtFeatures(wanted: boolean, threads: boolean): number {
  return !wanted ? 0 : threads ? CLOCK | SEVERAL : CLOCK;
}
