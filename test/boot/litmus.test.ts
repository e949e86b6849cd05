import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import { bootWith } from '../support/compiled-guest.ts';
import { attempt } from '../support/guest-shell.ts';
import { kvmIsMissing } from '../support/kvm.ts';
import { nativeUnavailable } from '../support/native.ts';

// x86-TSO: what a program for several processors must never see, and what it may see.

const MAY_BE_SEEN = ['SB', 'n6'];
const NEVER = ['SB+mfence', 'SB+lock', 'SB+xchg', 'MP', 'LB', '2+2W', 'n5', 'n6+mfence', 'IRIW', 'IRIW+mfence', 'WRC'];
/** On the last user code, which all of it is, runs on the processor itself. */
const ENGINES = ['translator', 'interpreter', ...(kvmIsMissing() ? [] : ['hybrid'] as const)] as const;
const nightly = process.env['POLYVISOR_NIGHTLY'] === '1';
const why = nativeUnavailable() ?? (availableParallelism() > 1 ? undefined : 'the host has one processor');

describe.skipIf(why !== undefined)(`litmus tests of x86-TSO${why === undefined ? '' : ` (${why})`}`, () => {
  test.each(ENGINES.filter((engine) => nightly || engine !== 'interpreter'))('on processors of the %s', async (engine) => {
    // With four, each thread of IRIW and WRC has a processor of its own.
    const cpus = Math.min(4, availableParallelism());
    const vm = await bootWith({ litmus: { source: new URL('litmus.c', import.meta.url), flags: ['-pthread'] } }, { memory: '256M', cpus, engine });
    const entries = (): number => vm.report().exits['entries'] ?? 0;
    const booted = entries();
    /** All tests, each for so many seconds; whether stores were seen late, as they may be. */
    const seenLate = async (seconds: number): Promise<boolean> => {
      const output = await attempt(vm, `/litmus ${seconds}`, 900_000);
      const counts = new Map([...output.matchAll(/^litmus (\S+) (\d+) (\d+)$/gm)].map(([, name, runs, outcomes]) => [name!, { runs: Number(runs), outcomes: Number(outcomes) }]));
      expect(output).toContain(`litmus done on ${cpus} processors`);
      expect([...counts.keys()].sort()).toEqual([...MAY_BE_SEEN, ...NEVER].sort());
      for (const [name, { runs, outcomes }] of counts) {
        expect([name, runs > 0]).toEqual([name, true]);
        if (NEVER.includes(name)) expect([name, outcomes]).toEqual([name, 0]);
      }
      return MAY_BE_SEEN.some((name) => counts.get(name)!.outcomes > 0);
    };
    // The processors have to run at the same time, with store buffers, or nothing of it says anything: on a busy host they seldom do.
    expect(await seenLate(nightly ? 5 : 0.3) || await seenLate(5) || await seenLate(20), 'no store was seen late').toBe(true);
    if (engine === 'hybrid') expect(entries() - booted).toBeGreaterThan(50);
    await vm.stop();
  }, 3_000_000);
});
