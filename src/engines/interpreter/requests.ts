import { implementedFeatures, unimplementedSemantics } from '../../isa/x86/features.ts';
import { opcodeRows } from '../../isa/x86/opcodes/table.ts';
import type { OpcodeRow } from '../../isa/x86/opcodes/row.ts';
import type { Shape } from '../../isa/x86/semantics/context.ts';
import { semantics } from '../../isa/x86/semantics/table.ts';
import { SHAPES_PER_ROW, handlerIndex } from '../modules.ts';
import type { HandlerMap } from '../modules.ts';
import { isFrequent } from './frequent-instructions.ts';
import { buildHandlerModule } from './handler-module.ts';
import type { HandlerRequest } from './handler-module.ts';

/** Every shape that a row can be decoded to. */
export function shapesOf(row: OpcodeRow): { shape: Shape; rep: number }[] {
  const out: { shape: Shape; rep: number }[] = [];
  const implicit = row.operands.some((operand) => 'XYO'.includes(operand[0]!)) || row.name === 'xlat';
  for (const long of [false, true]) {
    if (row.validity === (long ? 'not64' : 'only64')) continue;
    for (const size of [16, 32, 64] as const) {
      if (size === 64 && !long) continue;
      if (row.vex && size === 16) continue;
      if (long && row.size64 === 'f64' && size !== 64) continue;
      if (long && row.size64 === 'd64' && size === 32) continue;
      for (const memory of [false, true]) {
        if (implicit !== memory && (implicit || !row.hasModrm)) continue;
        if (row.hasModrm && (row.modes & (memory ? 1 : 2)) === 0 && !(row.semantics.startsWith('mov') && /[cd]r$/.test(row.semantics) && !memory)) continue;
        const shape = { operands: row.operands, size, long, memory, locked: false } as const;
        if (!(row.locks && memory)) for (const rep of [0, 0xf3, 0xf2]) out.push({ shape: { ...shape, rep: !row.repeatable || rep === 0 ? 'none' : rep === 0xf3 ? 'rep' : 'repne' }, rep });
        if (row.lockable && memory) out.push({ shape: { ...shape, rep: 'none', locked: true }, rep: 0 });
      }
    }
  }
  return out;
}

/** Builds the interpreter module and the map from decoded shapes to its handlers. */
export function buildInterpreter(memoryPages: { minimum: number; maximum: number }): { wasm: Uint8Array; map: HandlerMap } {
  const requests: HandlerRequest[] = [];
  const indices: number[] = [];
  opcodeRows.forEach((row, number) => {
    if (row.feature !== '' && !implementedFeatures.has(row.feature)) return;
    const found = semantics[row.semantics];
    if (found === undefined) {
      if (!unimplementedSemantics.has(row.semantics)) throw new Error(`opcode row ${row.encoding} ${row.name} has no semantics`);
      return;
    }
    for (const { shape, rep } of shapesOf(row)) {
      requests.push({ semantics: found, shape, frequent: isFrequent(row, shape) });
      indices.push(handlerIndex(number, shape.size, shape.memory, shape.long, rep, shape.locked));
    }
  });
  const { wasm, places, traits } = buildHandlerModule(requests, memoryPages);
  const map = new Uint16Array(opcodeRows.length * SHAPES_PER_ROW);
  indices.forEach((index, i) => {
    map[index] = places[i]!;
  });
  return { wasm, map: { places: map, traits: Uint8Array.from(traits) } };
}
