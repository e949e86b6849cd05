import { readFileSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import type { Profile } from '../engines/profile/profiler.ts';
import { Symbols } from '../engines/profile/symbols.ts';
import { foldedText, profileText } from '../engines/profile/text.ts';
import { fileTrouble } from './words.ts';

/** Turns a profile into what people and flame graph tools read. */
export interface ProfileTexts {
  /** A table of regions. */
  table(profile: Profile): string;
  /** Folded stacks. */
  folded(profile: Profile): string;
}

/** `map`: path of a System.map, or of a copy of /proc/kallsyms. Throws UserError. */
export function profileTexts(map: string | undefined): ProfileTexts {
  const symbols = map === undefined ? undefined : Symbols.parse(read(map), map);
  return { table: (profile) => profileText(profile, symbols), folded: (profile) => foldedText(profile, symbols) };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    throw new UserError(`map ${path} ${fileTrouble(error)}; give the path of a System.map`);
  }
}
