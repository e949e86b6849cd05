import { seconds } from '../../base/seconds.ts';
import type { EngineUsage } from '../../cpu/vcpu.ts';

/** What processors have done since they were made, on whatever engine. */
export interface Usage {
  readonly ns: number;
  readonly instructions: number;
  readonly exits: Readonly<Record<string, number>>;
}

const NOTHING: Usage = { ns: 0, instructions: 0, exits: {} };

/** Shares what processors have done out among the engines that they have been on. */
export class UsageByEngine {
  readonly #of = new Map<string, Usage>();
  /** What counted at the last change. */
  #counted = NOTHING;

  /** `engine` was the one until now. */
  count(engine: string, total: Usage): void {
    this.#of.set(engine, combine(this.#of.get(engine) ?? NOTHING, combine(total, this.#counted, -1), 1));
    this.#counted = total;
  }

  report(countsInstructions: (engine: string) => boolean): Readonly<Record<string, EngineUsage>> {
    return Object.fromEntries([...this.#of].map(([engine, { ns, instructions, exits }]) => [engine, { seconds: seconds(ns), instructions: countsInstructions(engine) ? instructions : null, exits }]));
  }
}

function combine(a: Usage, b: Usage, sign: 1 | -1): Usage {
  const exits = Object.fromEntries([...new Set([...Object.keys(a.exits), ...Object.keys(b.exits)])].map((name) => [name, (a.exits[name] ?? 0) + sign * (b.exits[name] ?? 0)]));
  return { ns: a.ns + sign * b.ns, instructions: a.instructions + sign * b.instructions, exits };
}
