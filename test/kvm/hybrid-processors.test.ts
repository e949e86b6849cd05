import { expect, test } from 'vitest';
import { FREESTANDING, bootWith } from '../support/compiled-guest.ts';
import { answer, command, powerOff } from '../support/guest-shell.ts';
import { kvmIsMissing } from '../support/kvm.ts';
import { nativeUnavailable } from '../support/native.ts';

const ROUNDS = process.env['POLYVISOR_NIGHTLY'] === '1' ? 1000 : 20;

test.skipIf(kvmIsMissing() || nativeUnavailable() !== undefined)('two processors whose user code runs directly: programs that check themselves, page tables and code in common, changes of engine', async () => {
  const vm = await bootWith({
    'self-check': { source: new URL('../nightly/self-check.c', import.meta.url), flags: FREESTANDING },
    'shared-pages': { source: new URL('shared-pages.c', import.meta.url), flags: ['-pthread'] },
  }, { memory: '256M', cpus: 2, overcommit: true, noReboot: true, engine: 'hybrid' });
  expect(vm.engines).toEqual(['translator', 'interpreter', 'hybrid']);
  await answer(vm, 'nproc; cat /sys/devices/system/cpu/online', /^2\n0-1\n/);
  const found = await command(vm, `/shared-pages ${ROUNDS}`);
  expect(found).toMatch(/^remapped\nprotected\nmodified\nSHARED PAGES/m);
  expect(vm.report().exits['entries']).toBeGreaterThan(10);

  let working = true;
  const work = command(vm, `/self-check 3 > /tmp/checked & /shared-pages ${ROUNDS}; wait; cat /tmp/checked`).finally(() => (working = false));
  for (let i = 0; working; i++) {
    vm.switchEngine(i % 2 === 0 ? 'translator' : 'hybrid');
    await new Promise((resolve) => setTimeout(resolve, 50 * (i + 1)));
  }
  vm.switchEngine('hybrid');
  const output = await work;
  expect(output).toMatch(/SHARED PAGES[^]*SELF-CHECK 3 rounds/);
  expect(output).not.toContain('BAD');
  const { switches, engines } = vm.report();
  expect(switches.count).toBeGreaterThan(1);
  expect(engines['translator']!.instructions).toBeGreaterThan(1000);
  await powerOff(vm);
}, 1_200_000);
