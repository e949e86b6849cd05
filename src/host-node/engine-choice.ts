import { UserError } from '../base/errors.ts';
import { hiddenFromUser } from '../engines/kvm/cpuid-table.ts';
import type { KvmFinding } from '../engines/kvm/trial.ts';
import type { EngineChoice } from '../library/local-machine.ts';
import type { EngineName } from '../machine/configuration.ts';
import type { KvmParts } from '../machine/engines.ts';
import { calibrate } from './calibration.ts';
import type { HostFinding } from './calibration.ts';
import { KvmUnavailable } from './kvm/linux-kvm.ts';
import { kvmHere } from './kvm/kvm-here.ts';

/** A ring that executes fewer instructions a second is emulated, and slower than translated code. */
export const NATIVE = 2e8;

/** The hybrid engine leaves user code translated that does not run for as long as this; with dearer exits that is nearly all. */
const DEAREST_EXIT_NS = 100_000;

/**
 * What `auto` means without measuring: the name of an engine. For test runs and fleets of unlike hosts, whose guests
 * must all see the same.
 */
const AUTO_ENGINE = 'POLYVISOR_ENGINE';

/** What a machine wants that not every engine has. */
export interface EngineNeeds {
  readonly processors: number;
  /** A profile is to be made of what runs. */
  readonly profile: boolean;
  /** See ExecutionOptions. */
  readonly switchable?: boolean;
}
const PLAIN: EngineNeeds = { processors: 1, profile: false };

/** Throws UserError when KVM is asked for and there is none. */
export function settleEngine(name: EngineName, recalibrate = false, needs: EngineNeeds = PLAIN): EngineChoice {
  if (name === 'auto') {
    const fixed = process.env[AUTO_ENGINE];
    if (fixed === undefined || fixed === '') return chooseAutomatically(calibrate(recalibrate), needs);
    if (fixed !== 'interpreter' && fixed !== 'translator' && fixed !== 'hybrid' && fixed !== 'kvm') throw new UserError(`the environment's ${AUTO_ENGINE} is "${fixed}"; give interpreter, translator, hybrid or kvm`);
    return settleEngine(fixed, recalibrate, needs);
  }
  if (name === 'lockstep') {
    if (needs.switchable === true) throw new UserError('engine "lockstep" has nothing to change to; leave --switchable out, or give another engine');
    return { first: name };
  }
  if (name === 'interpreter' || name === 'translator') return needs.switchable === true ? switchableChoice(name, recalibrate) : { first: name };
  const kvm = usableKvm(recalibrate);
  if ('reason' in kvm) throw new UserError(`engine "${name}": ${kvm.reason}; ${kvm.remedy}, or give another engine`);
  if (name === 'hybrid' && !kvm.capabilities.syncRegisters) throw new UserError('engine "hybrid": KVM lacks KVM_CAP_SYNC_REGS; use a newer kernel, or give another engine');
  return { first: name, kvm, ...(needs.switchable === true ? { switchable: true } : {}) };
}

/** For a machine that begins on a software engine; where there is no KVM, these are all there is to change to. */
function switchableChoice(first: 'interpreter' | 'translator', recalibrate: boolean): EngineChoice {
  const kvm = usableKvm(recalibrate);
  return 'reason' in kvm ? { first } : { first, kvm, switchable: true };
}

function usableKvm(recalibrate: boolean): KvmParts | { readonly reason: string; readonly remedy: string } {
  const kvm = kvmHere();
  if (kvm instanceof KvmUnavailable) return { reason: kvm.message, remedy: kvm.remedy };
  const finding = calibrate(recalibrate).kvm;
  return 'reason' in finding ? finding : { ...kvm, ...whatIsKnown(finding) };
}

/** For the engines, of what small guests have found out. */
export function whatIsKnown(finding: KvmFinding): Pick<KvmParts, 'user' | 'hostCounter' | 'losesSyscalls'> {
  return { user: { direct32: finding.compatible >= NATIVE, hidden: hiddenFromUser(finding.user) }, hostCounter: !finding.tscOffset, losesSyscalls: !finding.syscall };
}

function chooseAutomatically(finding: HostFinding, needs: EngineNeeds): EngineChoice {
  const { engine, why } = judge(finding, needs);
  return { ...settleEngine(engine, false, needs), why };
}

/** The best engine for a machine on a host, and why. */
export function judge({ kvm }: HostFinding, { processors, profile }: EngineNeeds = PLAIN): { readonly engine: 'kvm' | 'hybrid' | 'translator'; readonly why: string } {
  const translator = (why: string) => ({ engine: 'translator', why: `engine translator: ${why}` }) as const;
  if ('reason' in kvm) return translator(kvm.reason);
  if (profile) return translator('a profile shows what is translated');
  const exit = `an exit costs ${microseconds(kvm.exitNs)}`;
  const against = kernelObstacle(kvm);
  if (against === undefined) return { engine: 'kvm', why: `engine kvm: ring 0 runs natively (${millions(kvm.ring0)} million instructions/s), ${exit}` };
  if (!kvm.syncRegisters || kvm.ring3 < NATIVE) return translator(against);
  if (kvm.exitNs > DEAREST_EXIT_NS) return translator(`${against}, and ${exit}`);
  if (processors > 1) return translator(`${against}, and machines with several processors are on the hybrid engine only when it is asked for`);
  return { engine: 'hybrid', why: `engine hybrid: user code runs natively (${millions(kvm.ring3)} million instructions/s, ${exit}), the kernel is translated: ${against}` };
}

/** Why the guest's kernel should not run on this KVM. */
export function kernelObstacle(kvm: KvmFinding): string | undefined {
  if (kvm.ring0 < NATIVE) return `KVM only emulates ring 0 here (${millions(kvm.ring0)} million instructions/s, against ${millions(kvm.ring3)} in ring 3)`;
  const broken = brokenPromises(kvm);
  return broken.length > 0 ? `KVM cannot be relied on here: ${broken.join(', ')}` : undefined;
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

export function microseconds(ns: number): string {
  return `${(ns / 1000).toFixed(1)} us`;
}
