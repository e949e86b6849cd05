import { expect, test } from 'vitest';
import { hostHas } from '../differential/native.ts';
import { bootWith, printedByHost } from '../support/compiled-guest.ts';
import { command, powerOff } from '../support/guest-shell.ts';
import { kvmIsMissing } from '../support/kvm.ts';
import { nativeUnavailable } from '../support/native.ts';

const program = { source: new URL('lazily-bound.c', import.meta.url), flags: ['-mavx2', '-Wl,-z,lazy', '-lm'], dynamic: true };
const RUNS = 10;

test.skipIf(kvmIsMissing() || nativeUnavailable() !== undefined || !hostHas('avx2'))('a dynamically linked program whose user code runs directly prints what it prints on the host', async () => {
  const expected = printedByHost(program);
  const vm = await bootWith({ 'lazily-bound': program }, { memory: '256M', noReboot: true, engine: 'hybrid' });
  const found = await command(vm, `for run in $(seq ${RUNS}); do /lazily-bound || break; done`);
  expect(found.replace(/\[status 0\]$/, '').trim().split(/(?<=^sums.*)\n/m)).toEqual(Array<string>(RUNS).fill(expected.trim()));
  expect(vm.report().exits['entries']).toBeGreaterThan(10);
  await powerOff(vm);
}, 1_200_000);
