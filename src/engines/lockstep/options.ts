import type { LinearMemory } from '../../memory/linear-memory.ts';
import type { RegionCompiler } from '../translator/region-builder.ts';
import type { TranslatorOptions } from '../translator/translator.ts';

export interface LockstepOptions extends TranslatorOptions {
  readonly ram: LinearMemory;
  readonly checkpointInstructions?: number;
  /** Makes regions of at most so many instructions, in this thread; to find out which one is translated wrongly. */
  readonly builder?: (maxInstructions?: number) => RegionCompiler;
}
