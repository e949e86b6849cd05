import { UserError } from '../../base/errors.ts';

/** Engines that execute each processor in a thread of its own. */
export const THREAD_ENGINES = ['translator', 'interpreter', 'kvm'] as const;
export type ThreadEngine = (typeof THREAD_ENGINES)[number];

/** Those that a machine with several processors can be on: KVM where the host has it and the machine is made for it. */
export function threadEngines(kvm: boolean): readonly ThreadEngine[] {
  return THREAD_ENGINES.filter((engine) => kvm || engine !== 'kvm');
}

/** The engine of a machine with several processors. Throws UserError for one that cannot. */
export function threadEngine(name: string, cpus: number): ThreadEngine {
  if (name === 'auto') return THREAD_ENGINES[0];
  const found = THREAD_ENGINES.find((engine) => engine === name);
  if (found === undefined) throw new UserError(`engine "${name}" executes one processor so far, but ${cpus} are asked for; give --engine ${THREAD_ENGINES.join(' or ')}, or --cpus 1`);
  return found;
}
