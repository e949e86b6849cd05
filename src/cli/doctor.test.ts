import { describe, expect, it } from 'vitest';
import { judge } from '../host-node/engine-choice.ts';
import { wasmProblem } from '../library/wasm-features.ts';
import { describeHost } from './doctor.ts';
import { describeShares } from './meter.ts';

const native = { ring0: 3e9, ring3: 3e9, compatible: 3e9, exitNs: 2500, cpuid: true, user: [0, 0, 0, 0, 0, 0, 0], syscall: true, tscOffset: true, syncRegisters: true };

describe('the choice of an engine', () => {
  it('is KVM where ring 0 is native and KVM does what it says', () => {
    expect(judge({ kvm: native })).toEqual({ engine: 'kvm', why: 'engine kvm: ring 0 runs natively (3000 million instructions/s), an exit costs 2.5 us' });
  });
  const emulated = { ...native, ring0: 1.4e6, exitNs: 9100 };
  it('is the hybrid engine where only user code is native, and says why', () => {
    expect(judge({ kvm: emulated })).toEqual({
      engine: 'hybrid',
      why: 'engine hybrid: user code runs natively (3000 million instructions/s, an exit costs 9.1 us), the kernel is translated: KVM only emulates ring 0 here (1.4 million instructions/s, against 3000 in ring 3)',
    });
    expect(judge({ kvm: { ...native, cpuid: false } }).engine).toBe('hybrid');
  });
  it.each([
    ['all is emulated', { ...emulated, ring3: 1.4e6 }, {}, 'KVM only emulates ring 0 here (1.4 million instructions/s, against 1.4 in ring 3)'],
    ['KVM lacks what hybrid needs', { ...emulated, syncRegisters: false }, {}, 'KVM only emulates ring 0 here (1.4 million instructions/s, against 3000 in ring 3)'],
    ['exits are dear', { ...emulated, exitNs: 150_000 }, {}, 'KVM only emulates ring 0 here (1.4 million instructions/s, against 3000 in ring 3), and an exit costs 150.0 us'],
    ['there are several processors', emulated, { processors: 2 }, 'KVM only emulates ring 0 here (1.4 million instructions/s, against 3000 in ring 3), and machines with several processors are on the hybrid engine only when it is asked for'],
    ['a profile is made', native, { profile: true }, 'a profile shows what is translated'],
    ['there is no KVM', { reason: 'there is no /dev/kvm', remedy: 'load it' }, {}, 'there is no /dev/kvm'],
  ])('is the translator where %s', (_, kvm, needs, why) => {
    expect(judge({ kvm }, { processors: 1, profile: false, ...needs })).toEqual({ engine: 'translator', why: `engine translator: ${why}` });
  });
  it('is KVM also for several processors', () => expect(judge({ kvm: native }, { processors: 4, profile: false }).engine).toBe('kvm'));
});

describe('doctor', () => {
  it('this JavaScript engine has what generated code needs', () => expect(wasmProblem('Node')).toBeUndefined());
  it('names what is missing and what would help', () => {
    const text = describeHost({ kvm: { reason: '/dev/kvm may not be opened', remedy: 'join the group kvm' } }, undefined).join('\n');
    expect(text).toContain('kvm          not here: /dev/kvm may not be opened\n             to have it: join the group kvm');
    expect(text).toContain('auto chooses translator: /dev/kvm may not be opened');
  });
  it('says so when nothing can run', () => {
    expect(describeHost({ kvm: native }, 'no tail calls').at(-1)).toBe('no engine can run a guest here; use Node 20 or later');
  });
});

it('the live line shows shares of time since the last one, and what guest code was left for', () => {
  const usage = (seconds: number, port: number) => ({ seconds, instructions: null, exits: { port, halt: 0 } });
  const before = { engine: 'kvm', wallSeconds: 1, idleSeconds: 0.2, engines: { kvm: usage(0.5, 100), translator: usage(0.1, 0) } };
  const after = { engine: 'kvm', wallSeconds: 3, idleSeconds: 0.7, engines: { kvm: usage(1.9, 2100), translator: usage(0.1, 0) } };
  expect(describeShares(before, after)).toBe('kvm* 70 %, idle 25 % | a second: port 1000');
});
