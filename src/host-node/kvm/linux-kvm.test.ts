import { expect, it } from 'vitest';
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
