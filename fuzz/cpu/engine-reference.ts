import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { STEP_LIMIT } from './executor.ts';
import type { Case, Engine, Patch, Reference, Step } from './executor.ts';
import { DATA_BYTES, RIP } from './state.ts';

/** One of our engines as the reference, where the host processor cannot be it or another engine is to be judged. */
export function createEngineReference(engine: Engine, image: Uint8Array): Reference {
  return { name: engine.name, run: (cases) => cases.map((entry) => trace(engine, entry, image)), close: () => {} };
}

function trace(engine: Engine, entry: Case, image: Uint8Array): Step[] {
  const rows = new Map<bigint, number>();
  let at = BigInt(entry.address);
  for (const { bytes, rowIndex } of entry.instructions) {
    rows.set(at, rowIndex);
    at += BigInt(bytes.length);
  }
  let memory = Buffer.from(image.subarray(0, DATA_BYTES));
  for (const { offset, bytes } of entry.patches) memory.set(bytes, offset);
  engine.load(entry, entry.before, memory);
  const steps: Step[] = [];
  let row = rows.get(entry.before.u64(RIP));
  while (row !== undefined && steps.length < STEP_LIMIT) {
    const raised = engine.step(opcodeRows[row]!.repeatable);
    steps.push({ state: engine.state.clone(), raised, change: changeOf(memory, engine.memory) });
    if (raised) break;
    memory = Buffer.from(engine.memory);
    row = rows.get(engine.state.u64(RIP));
  }
  return steps;
}

function changeOf(before: Buffer, after: Buffer): Patch | undefined {
  const first = before.findIndex((byte, i) => byte !== after[i]);
  if (first < 0) return undefined;
  let end = before.length;
  while (before[end - 1] === after[end - 1]) end--;
  return { offset: first, bytes: Buffer.from(after.subarray(first, end)) };
}
