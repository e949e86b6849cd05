import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';

// A stored machine is a record of sections, one a component, by the component's name.

export function saveSection(part: Stateful): [string, Plain] {
  return [part.stateName, { version: part.stateVersion, state: part.save() }];
}

/** Loads a component from its section. Throws StateError when the section is missing, damaged or of unknown version. */
export function loadSection(machine: Plain, part: Stateful): void {
  const section = isRecord(machine) && Object.hasOwn(machine, part.stateName) ? machine[part.stateName] : undefined;
  if (section === undefined) throw new StateError(`the stored machine has no ${part.stateName}`);
  if (!isRecord(section) || !Number.isInteger(section['version']) || section['state'] === undefined) throw new StateError(`${part.stateName}: the stored section is damaged`);
  part.load(section['state'], section['version'] as number);
}

function isRecord(value: Plain | undefined): value is { readonly [key: string]: Plain } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}
