import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { assembledKernel } from '../support/compiled-guest.ts';
import { nativeUnavailable } from '../support/native.ts';
import { kvmIsMissing } from '../support/kvm.ts';

/** Counts and messages of two-processors.S, as it prints them. */
const FOUND = 'found 00002710 000000c8 end';

const program = (): Uint8Array => assembledKernel(new URL('two-processors.S', import.meta.url));

describe.skipIf(nativeUnavailable() !== undefined)('a guest for two processors: start-up, a spin lock, interrupts between them', () => {
  const engines = ['translator', 'interpreter', ...(kvmIsMissing() ? [] : (['kvm', 'hybrid'] as const))] as const;
  const options = (engine: (typeof engines)[number]) => ({ kernel: program(), memory: '16M', cpus: 2, overcommit: true, engine }) as const;

  test.each(engines)('on the %s', async (engine) => {
    const vm = await VirtualMachine.create(options(engine));
    const ended = vm.start();
    expect(await vm.console.waitFor(/found .* end/, 400_000)).toBe(FOUND);
    expect((await ended).kind).toBe('poweroff');
    expect([vm.report().engine, vm.report().cpus]).toEqual([engine, 2]);
  });

  test('on all of them by turns', async () => {
    const vm = await VirtualMachine.create({ ...options('translator'), switchable: true });
    let running = true;
    const ended = vm.start().finally(() => (running = false));
    for (let i = 1; running; i++) {
      vm.switchEngine(vm.engines[i % vm.engines.length]!);
      // Longer and longer: on a busy host an engine may not get to anything in so short a time.
      await new Promise((resolve) => setTimeout(resolve, 2 + i));
    }
    expect((await ended).kind).toBe('poweroff');
    expect(vm.console.text).toContain(FOUND);
    expect([...vm.engines].sort()).toEqual([...engines].sort());
    expect(Object.keys(vm.report().engines).length).toBeGreaterThan(1);
  });

  test.each(engines)('stopped and stored by the %s at any place, it goes on elsewhere', async (engine) => {
    const stateAfter = async (ms: number): Promise<ReturnType<VirtualMachine['save']>> => {
      const vm = await VirtualMachine.create(options(engine));
      void vm.start();
      await new Promise((resolve) => setTimeout(resolve, ms));
      const state = vm.save();
      // Some hosts are done by then.
      const over = vm.report().end !== null;
      await vm.stop();
      return over ? stateAfter(ms / 2) : state;
    };
    const state = await stateAfter(30);
    const other = await VirtualMachine.create(options(engine));
    other.load(state);
    expect(isDeepStrictEqual(other.save(), state)).toBe(true);
    const ended = other.start();
    expect(await other.console.waitFor(/found .* end/, 400_000)).toBe(FOUND);
    expect((await ended).kind).toBe('poweroff');
  });
});
