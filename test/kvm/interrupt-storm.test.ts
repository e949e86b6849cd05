import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { assembledKernel } from '../support/compiled-guest.ts';
import { kvmIsMissing, kvmLacks } from '../support/kvm.ts';
import { nativeUnavailable } from '../support/native.ts';

describe.skipIf(nativeUnavailable() !== undefined)('a guest in a storm of interrupts, messages to nobody and wild hypercalls', () => {
  const engines = ['translator', 'interpreter', ...(kvmIsMissing() ? [] : (['kvm', 'hybrid'] as const))] as const;

  describe.each(engines)('on the %s', (engine) => {
    // A KVM that emulates ring 0 replaces VMCALL by the processor's own such instruction, and emulates that again, for ever.
    const flags = engine === 'kvm' && kvmLacks('ring0') ? ['-DRING0_EMULATED'] : [];
    const create = (cpus: number) => VirtualMachine.create({ kernel: assembledKernel(new URL('interrupt-storm.S', import.meta.url), flags), memory: '16M', cpus, overcommit: true, engine });

    test.each([1, 2])('with %i processors hurts only itself', async (cpus) => {
      const vm = await create(cpus);
      const ended = vm.start();
      const [, interrupts] = /storm ([0-9a-f]{8}) end/.exec(await vm.console.waitFor(/storm [0-9a-f]{8} end/))!;
      // Of each of 1,000 rounds at least one; of 100 on a KVM that emulates ring 0, which looks seldom whether it may hand one over.
      expect(parseInt(interrupts!, 16)).toBeGreaterThanOrEqual(flags.length > 0 ? 10 : 1000);
      const { engine: found, end, engines: usage } = vm.report();
      expect([found, end]).toEqual([engine, null]);
      for (const { instructions } of Object.values(usage)) expect(instructions ?? 0).toBeLessThan(1e9);
      // The host is heard, and the guest still is.
      vm.console.write('x');
      await vm.console.waitFor('x');
      const other = await create(cpus);
      other.load(vm.save());
      void other.start();
      other.console.write('y');
      await other.console.waitFor('y');
      expect((await other.stop()).kind).toBe('stopped');
      await vm.stop();
      expect((await ended).kind).toBe('stopped');
    });
  });
});
