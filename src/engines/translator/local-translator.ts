import type { InterpreterOptions, Interpreter } from '../interpreter/interpreter.ts';
import { RegionBuilder } from './region-builder.ts';
import { createTranslator } from './translator.ts';
import type { TranslatorOptions } from './translator.ts';

/** A translator whose regions are made in this thread, while the guest waits, unless there is a compiler: for tests and measurements. */
export function createLocalTranslator(options: InterpreterOptions & Partial<TranslatorOptions>): Interpreter {
  return createTranslator({ compiler: new RegionBuilder(options.modules.handlers), ...options });
}
