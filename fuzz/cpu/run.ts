import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { compare } from './compare.ts';
import type { Difference } from './compare.ts';
import type { Case, Engine, Reference } from './executor.ts';
import { Generator } from './generate.ts';
import { Random } from './random.ts';
import { keyOf, shrink } from './shrink.ts';
import { DATA_MAPPED, RIP } from './state.ts';
import { writeOperands } from './values.ts';

const BATCH = 2000;

export interface FuzzOptions {
  readonly width: 32 | 64;
  readonly seed: number;
  readonly first: number;
  readonly cases: number;
  readonly rows: readonly number[];
  readonly reference: Reference;
  readonly engine: Engine;
  /** Kinds of differences after which to stop. */
  readonly limit: number;
}

export interface Finding {
  readonly index: number;
  readonly entry: Case;
  readonly difference: Difference;
  count: number;
}

export interface FuzzResult {
  readonly cases: number;
  readonly steps: number;
  readonly exceptions: number;
  readonly findings: readonly Finding[];
}

/** What the data pages hold before each case: the same operands in every run. */
export function dataImage(): Buffer {
  const image = Buffer.alloc(DATA_MAPPED);
  const random = new Random(0x706f6c79, 0);
  const view = new DataView(image.buffer, image.byteOffset);
  for (let at = 0; at < DATA_MAPPED; at += 64) writeOperands(random, view, at, 64);
  return image;
}

/** Runs cases `first` to `first + cases` of a seed; every kind of difference is shrunk once and counted. */
export function fuzz(options: FuzzOptions, image: Uint8Array, progress: (result: FuzzResult) => void = () => {}): FuzzResult {
  const { reference, engine, seed } = options;
  const generator = new Generator(options.width, options.rows);
  const findings = new Map<string, Finding>();
  let done = 0;
  let steps = 0;
  let exceptions = 0;
  const random = new Random(0, 0);
  while (done < options.cases && findings.size < options.limit) {
    const count = Math.min(BATCH, options.cases - done);
    const batch = Array.from({ length: count }, (_, i) => {
      random.reset(seed, options.first + done + i);
      return generator.generate(random);
    });
    const results = reference.run(batch);
    for (const [i, entry] of batch.entries()) {
      const trace = results[i]!;
      steps += trace.length;
      if (trace.at(-1)?.raised === true) exceptions++;
      const difference = compare(entry, image, trace, engine);
      if (difference === undefined) continue;
      const key = `${rowAt(entry, trace[difference.step - 1]?.state.u64(RIP) ?? BigInt(entry.address))} ${keyOf(difference)} ${difference.how}`;
      const known = findings.get(key);
      if (known !== undefined) known.count++;
      else if (findings.size < options.limit) findings.set(key, { index: options.first + done + i, ...shrink(entry, difference, image, reference, engine), count: 1 });
    }
    done += count;
    progress({ cases: done, steps, exceptions, findings: [...findings.values()] });
  }
  return { cases: done, steps, exceptions, findings: [...findings.values()] };
}

function rowAt(entry: Case, rip: bigint): string {
  let at = BigInt(entry.address);
  for (const { bytes, rowIndex } of entry.instructions) {
    if (at === rip) return opcodeRows[rowIndex]!.encoding;
    at += BigInt(bytes.length);
  }
  return 'elsewhere';
}
