import { UserError } from '../base/errors.ts';
import { hiddenFromUser } from '../engines/kvm/cpuid-table.ts';
import type { EngineChoice } from '../library/local-machine.ts';
import type { EngineName } from '../machine/configuration.ts';
import { calibrate } from './calibration.ts';
import type { HostFinding } from './calibration.ts';
import { KvmUnavailable } from './kvm/linux-kvm.ts';
import { kvmHere } from './kvm/kvm-here.ts';

/** A ring that executes fewer instructions a second is emulated, and slower than translated code. */
export const NATIVE = 2e8;

/**
 * What `auto` means without measuring: the name of an engine. For test runs and fleets of unlike hosts, whose guests
 * must all see the same.
 */
const AUTO_ENGINE = 'POLYVISOR_ENGINE';

/** Throws UserError when KVM is asked for and there is none. */
export function settleEngine(name: EngineName, recalibrate = false): EngineChoice {
  if (name === 'auto') {
    const fixed = process.env[AUTO_ENGINE];
    if (fixed === undefined || fixed === '') return chooseAutomatically(calibrate(recalibrate));
    if (fixed !== 'interpreter' && fixed !== 'translator' && fixed !== 'hybrid' && fixed !== 'kvm') throw new UserError(`the environment's ${AUTO_ENGINE} is "${fixed}"; give interpreter, translator, hybrid or kvm`);
    return settleEngine(fixed);
  }
  if (name === 'interpreter' || name === 'translator' || name === 'lockstep') return { first: name };
  const kvm = kvmHere();
  if (kvm instanceof KvmUnavailable) throw new UserError(`engine "${name}": ${kvm.message}; ${kvm.remedy}, or give another engine`);
  if (name === 'hybrid' && !kvm.capabilities.syncRegisters) throw new UserError('engine "hybrid": KVM lacks KVM_CAP_SYNC_REGS; use a newer kernel, or give another engine');
  const finding = calibrate(recalibrate).kvm;
  if ('reason' in finding) throw new UserError(`engine "${name}": ${finding.reason}; ${finding.remedy}, or give another engine`);
  return { first: name, kvm: { ...kvm, user: { direct32: finding.compatible >= NATIVE, hidden: hiddenFromUser(finding.user) } } };
}

function chooseAutomatically(finding: HostFinding): EngineChoice {
  const { engine, why } = judge(finding);
  return engine === 'kvm' ? { ...settleEngine('kvm'), why } : { first: engine, why };
}

/** The best engine for a host, and why. */
export function judge({ kvm }: HostFinding): { readonly engine: 'kvm' | 'translator'; readonly why: string } {
  const translator = (why: string) => ({ engine: 'translator', why: `engine translator: ${why}` }) as const;
  if ('reason' in kvm) return translator(kvm.reason);
  const speed = `${millions(kvm.ring0)} million instructions/s`;
  if (kvm.ring0 < NATIVE) return translator(`KVM only emulates ring 0 here (${speed}, against ${millions(kvm.ring3)} in ring 3)`);
  const broken = brokenPromises(kvm);
  if (broken.length > 0) return translator(`KVM cannot be relied on here: ${broken.join(', ')}`);
  return { engine: 'kvm', why: `engine kvm: ring 0 runs natively (${speed}), an exit costs ${(kvm.exitNs / 1000).toFixed(1)} us` };
}

/** What a KVM does otherwise than its interface says. */
export function brokenPromises(kvm: { readonly cpuid: boolean; readonly syscall: boolean; readonly tscOffset: boolean }): readonly string[] {
  return [
    ...(kvm.cpuid ? [] : ['guests see the host\'s CPUID']),
    ...(kvm.syscall ? [] : ['SYSCALL does not reach the guest\'s kernel']),
    ...(kvm.tscOffset ? [] : ['guests see the host\'s time stamp counter']),
  ];
}

export function millions(perSecond: number): string {
  return perSecond >= 1e7 ? Math.round(perSecond / 1e6).toString() : (perSecond / 1e6).toFixed(1);
}
