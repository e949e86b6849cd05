import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { hostHas } from '../differential/native.ts';
import { bootWith } from '../support/compiled-guest.ts';
import { command, powerOff } from '../support/guest-shell.ts';
import { kvmIsMissing } from '../support/kvm.ts';
import { nativeUnavailable } from '../support/native.ts';

const source = new URL('lazily-bound.c', import.meta.url);
const flags = ['-mavx2', '-Wl,-z,lazy', '-lm'];
const RUNS = 10;

function printedByHost(): string {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-lazily-bound-'));
  try {
    const program = join(folder, 'program');
    execFileSync('cc', ['-O2', '-o', program, fileURLToPath(source), ...flags]);
    return execFileSync(program, { encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.skipIf(kvmIsMissing() || nativeUnavailable() !== undefined || !hostHas('avx2'))('a dynamically linked program whose user code runs directly prints what it prints on the host', async () => {
  const expected = printedByHost();
  const vm = await bootWith({ 'lazily-bound': { source, flags, dynamic: true } }, { memory: '256M', noReboot: true, engine: 'hybrid' });
  const found = await command(vm, `for run in $(seq ${RUNS}); do /lazily-bound || break; done`);
  expect(found.replace(/\[status 0\]$/, '').trim().split(/(?<=^sums.*)\n/m)).toEqual(Array<string>(RUNS).fill(expected.trim()));
  expect(vm.report().exits['entries']).toBeGreaterThan(10);
  await powerOff(vm);
}, 1_200_000);
