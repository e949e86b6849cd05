import { once } from '../base/once.ts';
import { identify } from '../engines/identity.ts';
import { createInterpreter } from '../engines/interpreter/interpreter.ts';
import { HybridVcpu } from '../engines/hybrid/hybrid-vcpu.ts';
import type { HybridOptions } from '../engines/hybrid/hybrid-vcpu.ts';
import type { KvmCapabilities } from '../engines/kvm/capabilities.ts';
import type { KvmHost } from '../engines/kvm/kvm-host.ts';
import { KvmFailure, KvmVcpu, beginKvm } from '../engines/kvm/kvm-vcpu.ts';
import type { LockstepVcpu } from '../engines/lockstep/lockstep-vcpu.ts';
import { Profiler } from '../engines/profile/profiler.ts';
import { createTranslator } from '../engines/translator/translator.ts';
import type { TranslatorOptions } from '../engines/translator/translator.ts';
import type { EngineModules } from '../engines/modules.ts';
import type { EngineFactory } from './engine-factory.ts';
import { SwitchableVcpu } from './switchable-vcpu.ts';
import type { EngineSlot } from './switchable-vcpu.ts';

/** Engines that execute a guest; `auto` stands for one of them. */
export type RunningEngine = 'interpreter' | 'translator' | 'hybrid' | 'kvm' | 'lockstep';

/** Where a translator works, and how much memory its code may take. */
export type TranslationChoice = Pick<TranslatorOptions, 'compiler' | 'cacheBytes'>;

/** KVM of this host. */
export interface KvmParts {
  readonly host: KvmHost;
  readonly capabilities: KvmCapabilities;
  /** What is known of ring 3, for the hybrid engine. */
  readonly user: Pick<HybridOptions, 'direct32' | 'hidden'>;
  /** Guests see the host's time stamp counter, whatever KVM is told. */
  readonly hostCounter: boolean;
  /** SYSCALL of user code does not reach the guest's kernel. */
  readonly losesSyscalls: boolean;
}

/** The engines of one machine. */
export interface EngineSet {
  readonly first: RunningEngine;
  readonly modules: EngineModules;
  readonly translation: TranslationChoice;
  /** Loaded where it is the first. */
  readonly lockstep?: typeof LockstepVcpu | undefined;
  /** A profile is to be made of what translator and interpreter run; gets what makes it. */
  readonly profile?: ((profiler: Profiler) => void) | undefined;
  /** Missing: the machine is never on KVM, and its processor has all features. */
  readonly kvm?: KvmParts | undefined;
  /** The processor has what all engines have, not only the first. */
  readonly switchable?: boolean | undefined;
}

/** Rate of the time stamp counter for machines that may be on this KVM; undefined: any. */
export function tscKhzFor(kvm: KvmParts | undefined): number | undefined {
  return kvm === undefined || kvm.capabilities.tscScaling ? undefined : kvm.capabilities.tscKhz;
}

/** Features that the processor of a machine should not have. */
export function hiddenFor({ first, kvm, switchable }: Pick<EngineSet, 'first' | 'kvm' | 'switchable'>): readonly number[] {
  if (kvm === undefined) return [];
  const { capabilities, user } = kvm;
  if (switchable === true && capabilities.syncRegisters) return capabilities.hidden.map((word, i) => (word | user.hidden[i]!) >>> 0);
  return first === 'hybrid' ? user.hidden : capabilities.hidden;
}

/** How to make a vCPU on the set's first engine that can change to the others. */
export function engineFactory(set: EngineSet): EngineFactory {
  const { first, modules, translation, lockstep, profile, kvm } = set;
  return (parts) => {
    const profiler = profile === undefined ? undefined : new Profiler(parts.memory, parts.index, parts.clock);
    if (profiler !== undefined) profile!(profiler);
    const options = { ...parts, modules, profiler };
    const common = { first, fallback: 'translator', clock: parts.clock, log: parts.log };
    // Lockstep is two vCPUs over two memories: there is nothing to change to.
    if (first === 'lockstep') return new SwitchableVcpu({ ...common, engines: new Map([[first, { create: () => new lockstep!({ ...options, ...translation }) }]]), prepare: false });
    // One of each: KVM builds on the interpreter, the hybrid engine on the translator.
    const interpreter = once(() => createInterpreter(options));
    const translator = once(() => createTranslator({ ...options, ...translation }));
    const direct = once(() => new KvmVcpu({ ...options, ...kvm!, home: interpreter() }));
    const engines = new Map<RunningEngine, EngineSlot>([['interpreter', { create: interpreter }], ['translator', { create: translator }]]);
    if (kvm !== undefined) {
      if (kvm.capabilities.syncRegisters) {
        engines.set('hybrid', {
          create: () => {
            const vcpu = new HybridVcpu({ ...options, ...kvm, ...kvm.user, home: translator() });
            vcpu.begin();
            return vcpu;
          },
          obstacle: (vcpu) => (vcpu as HybridVcpu).obstacle(),
          givesUp: (error) => error instanceof KvmFailure,
        });
      }
      engines.set('kvm', {
        create: direct,
        obstacle: (vcpu) => (vcpu as KvmVcpu).obstacle(),
        givesUp: (error) => error instanceof KvmFailure,
      });
    }
    identify(parts.memory, { index: parts.index, tscKhz: parts.tscKhz(), hidden: hiddenFor(set), paravirt: parts.paravirt ?? 0 });
    return new SwitchableVcpu({ ...common, engines, prepare: kvm !== undefined, ...(kvm === undefined ? {} : { begin: () => beginKvm(direct()) }) });
  };
}
