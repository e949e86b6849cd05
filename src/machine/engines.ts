import { createInterpreter } from '../engines/interpreter/interpreter.ts';
import { LockstepVcpu } from '../engines/lockstep/lockstep-vcpu.ts';
import { createTranslator } from '../engines/translator/translator.ts';
import type { TranslatorOptions } from '../engines/translator/translator.ts';
import type { EngineModules } from '../engines/modules.ts';
import type { EngineName } from './configuration.ts';
import { checkEngine } from './configuration.ts';
import type { EngineFactory } from './engine-factory.ts';

/** Where a translator works, and how much memory its code may take. */
export type TranslationChoice = Pick<TranslatorOptions, 'compiler' | 'cacheBytes'>;

/** The engine that a name stands for on this host, and how to make a vCPU on it. */
export function chooseEngine(name: EngineName, modules: EngineModules, translation: TranslationChoice = {}): { readonly name: string; readonly create: EngineFactory } {
  checkEngine(name);
  if (name === 'translator' || name === 'auto') return { name: 'translator', create: (parts) => createTranslator({ ...parts, modules, ...translation }) };
  if (name === 'lockstep') return { name, create: (parts) => new LockstepVcpu({ ...parts, modules, ...translation }) };
  return { name: 'interpreter', create: (parts) => createInterpreter({ ...parts, modules }) };
}
