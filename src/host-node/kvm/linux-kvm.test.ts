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

it('auto is what the environment says, where it does', () => {
  expect(settleEngine('auto')).toEqual({ first: 'translator' });
});
