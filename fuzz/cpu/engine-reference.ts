import { STEP_LIMIT, instructionsByAddress } from './executor.ts';
import type { Case, Engine, Patch, Reference, Step } from './executor.ts';
import { DATA_BYTES, RIP } from './state.ts';

/** One of our engines as the reference, where the host processor cannot be it or another engine is to be judged. */
export function createEngineReference(engine: Engine, image: Uint8Array): Reference {
  return { name: engine.name, run: (cases) => cases.map((entry) => trace(engine, entry, image)), close: () => {} };
}

function trace(engine: Engine, entry: Case, image: Uint8Array): Step[] {
  const starts = instructionsByAddress(entry);
  let memory = Buffer.from(image.subarray(0, DATA_BYTES));
  for (const { offset, bytes } of entry.patches) memory.set(bytes, offset);
  engine.load(entry, entry.before, memory);
  const steps: Step[] = [];
  let at = entry.before.u64(RIP);
  while (starts.has(Number(at)) && steps.length < STEP_LIMIT) {
    const raised = engine.step();
    steps.push({ state: engine.state.clone(), raised, change: changeOf(memory, engine.memory) });
    if (raised) break;
    memory = Buffer.from(engine.memory);
    at = engine.state.u64(RIP);
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
