import { compare, nameOf } from './compare.ts';
import type { Difference } from './compare.ts';
import type { Case, Engine, Reference } from './executor.ts';
import { FLAT_DATA, MXCSR, RFLAGS, RIP, X87_CONTROL, X87_STATUS, X87_TAGS, SELECTORS, fields, selectorNames } from './state.ts';
import type { CpuState } from './state.ts';

/** What a difference is about, apart from the values: two with the same key are one bug, most likely. */
export function keyOf(difference: Difference): string {
  return difference.lines.map((line) => nameOf(line).replace(/ 0x.*| at .*|(?<=ymm)\d+|(?<=^r)\d(?=x87)/g, '')).join();
}

/** The shortest sequence and the simplest state that still differ in the same way. */
export function shrink(start: Case, first: Difference, image: Uint8Array, reference: Reference, engine: Engine): { entry: Case; difference: Difference } {
  let entry = start;
  let difference = first;
  const key = keyOf(first);
  /** Tries candidates in one run of the reference; takes the first that differs in the same way. */
  const adopt = (candidates: readonly Case[]): boolean => {
    if (candidates.length === 0) return false;
    const results = reference.run(candidates);
    for (const [i, candidate] of candidates.entries()) {
      const found = compare(candidate, image, results[i]!, engine);
      if (found === undefined || keyOf(found) !== key) continue;
      entry = candidate;
      difference = found;
      return true;
    }
    return false;
  };
  while (adopt(shorter(entry)));
  for (let again = true; again;) {
    again = false;
    for (const simplify of simplifications) {
      const candidate = simplify(entry);
      if (candidate !== undefined && adopt([candidate])) again = true;
    }
    if (adopt(entry.patches.map((_, i) => ({ ...entry, patches: entry.patches.filter((__, k) => k !== i) })))) again = true;
  }
  return { entry, difference };
}

/** Fewer instructions: halves first, then one less. */
function shorter(entry: Case): Case[] {
  const { instructions } = entry;
  const count = instructions.length;
  if (count < 2) return [];
  const half = count >> 1;
  const lists = [instructions.slice(0, half), instructions.slice(half), ...instructions.map((_, i) => instructions.filter((__, k) => k !== i))];
  return lists.map((list) => ({ ...entry, instructions: list }));
}

type Simplify = (entry: Case) => Case | undefined;
const plainValues: Readonly<Record<string, bigint>> = { flags: 0x202n, mxcsr: 0x1f80n, fcw: 0x37fn, fsw: 0n, ftw: 0n, es: BigInt(FLAT_DATA), ss: BigInt(FLAT_DATA), ds: BigInt(FLAT_DATA) };

/** Each sets one field to its plainest value. */
const simplifications: readonly Simplify[] = fields.filter(({ offset }) => offset !== RIP).map(({ name, offset, bytes }) => {
  const plain = plainOf(name, bytes);
  return (entry: Case): Case | undefined => {
    if (entry.before.bytes.compare(plain, 0, bytes, offset, offset + bytes) === 0) return undefined;
    const before = entry.before.clone();
    plain.copy(before.bytes, offset);
    return { ...entry, before };
  };
});

export function plainOf(name: string, bytes: number): Buffer {
  const plain = Buffer.alloc(bytes);
  const value = plainValues[name];
  if (value !== undefined) plain.writeUIntLE(Number(value), 0, Math.min(bytes, 6));
  return plain;
}

/** A state with every field at its plainest. */
export function setPlain(state: CpuState): void {
  state.bytes.fill(0);
  state.setU64(RFLAGS, plainValues['flags']!);
  state.setU32(MXCSR, Number(plainValues['mxcsr']));
  state.setU16(X87_CONTROL, Number(plainValues['fcw']));
  state.setU16(X87_STATUS, 0);
  state.setU16(X87_TAGS, 0);
  selectorNames.forEach((name, i) => state.setU16(SELECTORS + i * 2, Number(plainValues[name] ?? 0n)));
}
