import { expect, it } from 'vitest';
import { parseUnittestsCfg } from './unittests-cfg.ts';

it('reads entries of the suite\'s table', () => {
  const text = `
# a comment
[plain]
file = plain.flat

#[hidden]
#file = hidden.flat

[full]
file = full.flat
smp = 2
test_args = "one two"
qemu_params = -cpu max,+x
arch = x86_64
accel = kvm
timeout = 30

[older]
file = older.flat
smp = $MAX_SMP
extra_params = -cpu max -append 'a b'
`;
  const none = { cpus: 1, append: '', arch: undefined, machine: '', accelerator: undefined, timeout: undefined };
  expect(parseUnittestsCfg(text)).toEqual([
    { ...none, name: 'plain', file: 'plain.flat' },
    { name: 'full', file: 'full.flat', cpus: 2, append: 'one two', arch: 'x86_64', machine: '-cpu max,+x', accelerator: 'kvm', timeout: 30 },
    { ...none, name: 'older', file: 'older.flat', cpus: 2, append: 'a b', machine: "-cpu max -append 'a b'" },
  ]);
});
