import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { kvmIsMissing } from '../../../test/support/kvm.ts';
import { UserError } from '../../base/errors.ts';
import { settleEngine } from '../engine-choice.ts';
import { kvmHere } from './kvm-here.ts';
import { KvmUnavailable, cannotOpen } from './linux-kvm.ts';

it.each([
  [2, 'there is no /dev/kvm', 'modprobe kvm_intel'], [13, '/dev/kvm may not be opened', 'join the group kvm'], [1, '/dev/kvm may not be opened', 'join the group kvm'], [16, 'error 16', 'another hypervisor'],
])('error %i of opening the device says what would help', (errno, reason, remedy) => {
  const { message, remedy: found } = cannotOpen(errno);
  expect(message).toContain(reason);
  expect(found).toContain(remedy);
});

it('engine kvm is there, or refused with the remedy in one line', () => {
  const kvm = kvmHere();
  if (kvm instanceof KvmUnavailable) {
    expect(() => settleEngine('kvm')).toThrow(UserError);
    expect(() => settleEngine('kvm')).toThrow(`engine "kvm": ${kvm.message}; ${kvm.remedy}, or give another engine`);
  } else for (const name of ['kvm', 'hybrid'] as const) expect(settleEngine(name)).toMatchObject({ first: name, kvm });
});

it('a machine on a software engine has KVM to change to only if that is asked for', () => {
  const asked = { processors: 1, profile: false, switchable: true };
  const kvm = kvmHere();
  expect(settleEngine('translator')).toEqual({ first: 'translator' });
  if (kvm instanceof KvmUnavailable) expect(settleEngine('translator', false, asked)).toEqual({ first: 'translator' });
  else expect(settleEngine('translator', false, asked)).toMatchObject({ first: 'translator', kvm, switchable: true });
  expect(() => settleEngine('lockstep', false, asked)).toThrow('leave --switchable out');
});

it('auto is what the environment says, where it does', () => {
  expect(settleEngine('auto')).toEqual({ first: 'translator' });
});

it.skipIf(kvmIsMissing())('signals, as of a profiler, end no call', () => {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-signals-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const built = new URL('../../../dist/src/', import.meta.url).href;
  const program = `
    import { IOCTLS } from '${built}engines/kvm/abi.js';
    import { LinuxKvm } from '${built}host-node/kvm/linux-kvm.js';
    const kvm = new LinuxKvm();
    for (let i = 0; i < 300; i++) kvm.close(kvm.ioctl(kvm.device, IOCTLS.KVM_CREATE_VM, 0));
    console.log('made');
  `;
  expect(execFileSync(process.execPath, ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-interval', '100', '--input-type=module', '-e', program], { encoding: 'utf8' })).toBe('made\n');
});
