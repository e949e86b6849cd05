import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { createInstruction } from '../../isa/x86/decode/instruction.ts';
import { REC_LINK } from '../../isa/x86/decode/record.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import { BUDGET } from '../../isa/x86/state/layout.ts';
import { handlerIndexOf } from '../modules.ts';
import type { EngineModules } from '../modules.ts';
import { encodeRecord } from './encode-record.ts';

const JUMP_TO_ITSELF = Uint8Array.of(0xeb, 0xfe);
/** Liftoff's code, of which a turn is some 50 KB, asks V8 to optimise it after 1.8 MB of turns (V8 11), 13 MB (V8 13). */
const TURNS = 2000;

const warm = new WeakSet<WebAssembly.Module>();

/**
 * Lets V8 begin to optimise the functions that stand for most handlers (handler-loop.ts), which takes some 100 ms of another thread's time: while the
 * guest is still being loaded, not once it runs. Until that is done it asks for it anew every few dozen turns, a microsecond each.
 * Legal before the vCPU's first reset: it leaves another RIP. `room`: address of a record that may be overwritten.
 */
export function warmUp(modules: EngineModules, view: DataView, cpu: number, room: number, enter: (cpu: number, record: number) => number): void {
  if (warm.has(modules.interpreter)) return;
  warm.add(modules.interpreter);
  const decoder = new Decoder(implementedFeatures);
  const instruction = createInstruction();
  for (const codeSize of [64, 32] as const) {
    decoder.decode(JUMP_TO_ITSELF, 0, JUMP_TO_ITSELF.length, codeSize, instruction);
    encodeRecord(view, room, instruction, 0, 1, modules.handlers.places[handlerIndexOf(instruction)]!);
    view.setUint32(room + REC_LINK, room, true);
    view.setInt32(cpu + BUDGET, TURNS, true);
    enter(cpu, room);
  }
  // None of these turns is the guest's.
  view.setInt32(cpu + BUDGET, 0, true);
}
