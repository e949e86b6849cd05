import type { Hypercalls } from '../../engines/runtime-module.ts';
import { deliveryMode } from '../../interrupts/apic-bus.ts';
import type { ApicTarget } from '../../interrupts/apic-bus.ts';
import { HYPERCALL_KICK, HYPERCALL_SEND_IPI } from '../../cpu/paravirt.ts';

// Calls of KVM's paravirtual interface that concern other processors (Linux, Documentation/virt/kvm/x86/hypercalls.rst).

/** Linux's EINVAL. */
const INVALID = -22n;
/** Destination mode and shorthand of an interrupt command: the call says itself who is meant. */
const ADDRESSING = 0xc0800n;

/** What calls have done, for the report. */
export interface HypercallCounts {
  countKick(): void;
  /** A call that has sent so many interrupts: each but one would have been a write to the local APIC of its own. */
  countInterrupts(sent: number): void;
}

/** `apics`: of all processors, by their identifiers; `wake` ends the halt of the one with that identifier, or its next one. */
export function hypercalls(apics: ReadonlyMap<number, Pick<ApicTarget, 'accept'>>, wake: (apicId: number) => void, counts: HypercallCounts): Hypercalls {
  return (number, a, b, c, d) => {
    switch (number) {
      case HYPERCALL_KICK:
        counts.countKick();
        wake(Number(BigInt.asUintN(32, b)));
        return 0n;
      case HYPERCALL_SEND_IPI: {
        const answer = sendInterrupts(apics, BigInt.asUintN(64, a) | (BigInt.asUintN(64, b) << 64n), Number(BigInt.asUintN(32, c)), d);
        if (answer >= 0n) counts.countInterrupts(Number(answer));
        return answer;
      }
      default:
        return INVALID;
    }
  };
}

/** To the processors whose bits are set, counted from the identifier `first` on; returns how many there are. */
function sendInterrupts(apics: ReadonlyMap<number, Pick<ApicTarget, 'accept'>>, processors: bigint, first: number, command: bigint): bigint {
  const mode = deliveryMode(Number((command >> 8n) & 7n));
  const vector = Number(command & 0xffn);
  if ((command & ADDRESSING) !== 0n || (mode !== 'fixed' && mode !== 'nmi') || (mode === 'fixed' && vector < 16)) return INVALID;
  let found = 0n;
  for (let rest = processors, id = first; rest !== 0n; rest >>= 1n, id++) {
    const apic = (rest & 1n) !== 0n ? apics.get(id) : undefined;
    apic?.accept(mode, vector, false);
    if (apic !== undefined) found++;
  }
  return found;
}
