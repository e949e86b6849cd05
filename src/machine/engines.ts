import { createInterpreter } from '../engines/interpreter/interpreter.ts';
import type { RegionCompiler } from '../engines/translator/region-builder.ts';
import { createTranslator } from '../engines/translator/translator.ts';
import type { EngineModules } from '../engines/modules.ts';
import type { EngineName } from './configuration.ts';
import { checkEngine } from './configuration.ts';
import type { EngineFactory } from './engine-factory.ts';

/** The engine that a name stands for on this host, and how to make a vCPU on it. `compiler`: where the translator works. */
export function chooseEngine(name: EngineName, modules: EngineModules, compiler?: RegionCompiler): { readonly name: string; readonly create: EngineFactory } {
  checkEngine(name);
  if (name === 'translator' || name === 'auto') return { name: 'translator', create: (parts) => createTranslator({ ...parts, modules, ...(compiler === undefined ? {} : { compiler }) }) };
  return { name: 'interpreter', create: (parts) => createInterpreter({ ...parts, modules }) };
}
