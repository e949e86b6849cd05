import { UserError } from '../../base/errors.ts';

/** Engines that execute each processor in a thread of its own. */
export const THREAD_ENGINES = ['translator', 'interpreter', 'kvm', 'hybrid'] as const;
export type ThreadEngine = (typeof THREAD_ENGINES)[number];

/**
 * Those that a machine with several processors can be on: one that begins on an engine of KVM's, or is made to be switched, has that one,
 * or all that the host's KVM can make.
 */
export function threadEngines(first: ThreadEngine, kvm: { readonly syncRegisters: boolean } | undefined, switchable: boolean): readonly ThreadEngine[] {
  return THREAD_ENGINES.filter((engine) => {
    if (engine === 'translator' || engine === 'interpreter' || engine === first) return true;
    return switchable && kvm !== undefined && (engine === 'kvm' || kvm.syncRegisters);
  });
}

/** The engine of a machine with several processors. Throws UserError for one that cannot. */
export function threadEngine(name: string, cpus: number): ThreadEngine {
  if (name === 'auto') return THREAD_ENGINES[0];
  const found = THREAD_ENGINES.find((engine) => engine === name);
  if (found === undefined) throw new UserError(`engine "${name}" executes one processor so far, but ${cpus} are asked for; give --engine ${THREAD_ENGINES.join(' or ')}, or --cpus 1`);
  return found;
}
