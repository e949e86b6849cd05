import type { MonotonicClock } from '../../host/clock.ts';
import { MODE, MODE_LONG, MSR_LSTAR, MSR_SYSENTER_EIP } from '../../isa/x86/state/layout.ts';
import { PROFILE_COUNTERS, PROFILE_COUNTERS_END, VCPU_BASE, VCPU_STRIDE } from '../../memory/layout.ts';

/** Executions and guest instructions of a region: u64 each. */
export const COUNTER_BYTES = 16;

/** A translated region, where it was first seen. */
export interface ProfiledRegion {
  /** Linear address of the block that it was made for. */
  readonly entry: bigint;
  /** Linear addresses that its blocks lie in; the end is behind the last. */
  readonly start: bigint;
  readonly end: bigint;
  readonly user: boolean;
  /** Guest instructions in it, and bytes of its WebAssembly. */
  readonly size: number;
  readonly translatedBytes: number;
}

export interface RegionProfile extends ProfiledRegion {
  readonly executions: number;
  readonly instructions: number;
  /** Of the samples that fell into it. */
  readonly ns: number;
}

export interface Sample {
  readonly rip: bigint;
  readonly user: boolean;
  readonly ns: number;
}

/** Everything that was found out, for writing. */
export interface Profile {
  readonly regions: readonly RegionProfile[];
  readonly samples: readonly Sample[];
  /** Regions for which there was no counter any more. */
  readonly uncounted: number;
  /** Where the kernel said that system calls enter it: how far it was moved from where its map says. */
  readonly entry: { readonly symbol: string; readonly address: bigint } | undefined;
}

/**
 * What a vCPU spends its time on. Regions count by themselves; time is sampled: each slice's counts for the instruction that
 * it ended at. Slices are of equal numbers of instructions, so what is slow shows as long ones.
 */
export class Profiler {
  readonly clock: MonotonicClock;
  readonly #cpu: number;
  readonly #view: DataView;
  readonly #regions: { readonly region: ProfiledRegion; readonly counter: number }[] = [];
  readonly #samples = new Map<string, { readonly rip: bigint; readonly user: boolean; ns: number }>();
  #next = PROFILE_COUNTERS;
  #uncounted = 0;

  /** `index`: of the vCPU. */
  constructor(memory: WebAssembly.Memory, index: number, clock: MonotonicClock) {
    this.#cpu = VCPU_BASE + index * VCPU_STRIDE;
    this.#view = new DataView(memory.buffer);
    this.clock = clock;
  }

  sample(rip: bigint, user: boolean, ns: number): void {
    const key = `${user ? 'u' : 'k'}${rip.toString(36)}`;
    const known = this.#samples.get(key);
    if (known === undefined) this.#samples.set(key, { rip, user, ns });
    else known.ns += ns;
  }

  /** Address of counters for a region that is to be made; undefined when there are none left. */
  takeCounter(): number | undefined {
    if (this.#next + COUNTER_BYTES > PROFILE_COUNTERS_END) {
      this.#uncounted++;
      return undefined;
    }
    const counter = this.#next;
    this.#next += COUNTER_BYTES;
    return counter;
  }
  /** A region with these counters is in use from now on. */
  addRegion(region: ProfiledRegion, counter: number): void {
    this.#regions.push({ region, counter });
  }

  /** What has been found out so far. */
  profile(): Profile {
    const samples = [...this.#samples.values()].sort((a, b) => (a.rip < b.rip ? -1 : a.rip > b.rip ? 1 : 0));
    const regions = new Map<string, RegionProfile>();
    for (const { region, counter } of this.#regions) {
      // Made again after its page was written or it was evicted: the same code to who reads it.
      const key = `${region.user} ${region.entry}`;
      const before = regions.get(key);
      regions.set(key, {
        ...region,
        executions: Number(this.#view.getBigUint64(counter, true)) + (before?.executions ?? 0),
        instructions: Number(this.#view.getBigUint64(counter + 8, true)) + (before?.instructions ?? 0),
        ns: 0,
      });
    }
    return { regions: withTimes([...regions.values()], samples), samples, uncounted: this.#uncounted, entry: this.#entry() };
  }

  #entry(): Profile['entry'] {
    const long = (this.#view.getUint32(this.#cpu + MODE, true) & MODE_LONG) !== 0;
    const address = this.#view.getBigUint64(this.#cpu + (long ? MSR_LSTAR : MSR_SYSENTER_EIP), true);
    return address === 0n ? undefined : { symbol: long ? 'entry_SYSCALL_64' : 'entry_SYSENTER_32', address };
  }
}

/** Gives each sample to the smallest region that it falls into. */
function withTimes(regions: readonly RegionProfile[], samples: readonly Sample[]): RegionProfile[] {
  const byPage = new Map<string, number[]>();
  const pageKey = (address: bigint, user: boolean): string => `${user} ${address >> 12n}`;
  regions.forEach(({ start, user }, i) => {
    const key = pageKey(start, user);
    const there = byPage.get(key);
    if (there === undefined) byPage.set(key, [i]);
    else there.push(i);
  });
  const times = new Float64Array(regions.length);
  for (const { rip, user, ns } of samples) {
    let best: number | undefined;
    for (const i of byPage.get(pageKey(rip, user)) ?? []) {
      const { start, end } = regions[i]!;
      if (rip >= start && rip < end && (best === undefined || end - start < regions[best]!.end - regions[best]!.start)) best = i;
    }
    if (best !== undefined) times[best]! += ns;
  }
  return regions.map((region, i) => ({ ...region, ns: times[i]! }));
}
