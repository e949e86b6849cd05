import { expect, test } from 'vitest';
import type { Vcpu } from '../../src/cpu/vcpu.ts';
import type { RunningEngine } from '../../src/machine/engines.ts';
import type { KvmHost } from '../../src/engines/kvm/kvm-host.ts';
import type { Log } from '../../src/host/log.ts';
import { silentLog } from '../../src/machine/trace.ts';
import { Random } from '../../fuzz/cpu/random.ts';
import { kvmIsMissing } from '../support/kvm.ts';
import { bytes32, runToEnd, userGuest } from '../support/user-guest.ts';

// User code in long mode with integer, x87, SSE and memory work whose results all depend on one another; every round
// faults into the kernel, which counts and goes on. Engines are changed at random moments.

const DATA = 0x20000;
const ROUNDS = 15;
/** A round is longer than a slice, so that the hybrid engine runs it directly. */
const TURNS = 40_000;

const user = ((): number[] => {
  const inner = [
    0x48, 0x69, 0xc0, ...bytes32(0x19660d), 0x48, 0x05, ...bytes32(0x3c6ef35f), // imul rax,rax,19660dh; add rax,3c6ef35fh
    0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x11, 0x48, 0x31, 0xd3, 0x48, 0xd1, 0xc3, // mov rdx,rax; shr rdx,17; xor rbx,rdx; rol rbx,1
    0xf2, 0x48, 0x0f, 0x2a, 0xca, 0xf2, 0x0f, 0x58, 0xc1, 0xf2, 0x0f, 0x51, 0xc0, // cvtsi2sd xmm1,rdx; addsd xmm0,xmm1; sqrtsd xmm0,xmm0
    0x0f, 0xb7, 0xd2, 0x89, 0x04, 0x95, ...bytes32(DATA), 0x03, 0x1c, 0x95, ...bytes32(DATA), // movzx edx,dx; mov [DATA+rdx*4],eax; add ebx,[DATA+rdx*4]
    0xd8, 0xc0, 0xdc, 0xf9, // fadd st0,st0; fdiv st1,st0 (the stack holds two numbers)
    0xd9, 0xc9, 0xd9, 0xe1, 0xd9, 0xe8, 0xde, 0xc1, // fxch; fabs; fld1; faddp
  ];
  const round = [0xb9, ...bytes32(TURNS), ...inner, 0xff, 0xc9, 0x0f, 0x85, ...bytes32(-(inner.length + 8)), 0x0f, 0x0b]; // mov ecx,TURNS; (inner); dec ecx; jnz; ud2
  return [
    0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xeb, 0x31, 0xc0, 0x31, 0xdb, 0x41, 0xbf, ...bytes32(ROUNDS), // fninit; fld1; fldpi; xor eax,eax; xor ebx,ebx; mov r15d,ROUNDS
    ...round, 0x41, 0xff, 0xcf, 0x0f, 0x85, ...bytes32(-(round.length + 9)), // dec r15d; jnz
    0xdd, 0x1c, 0x25, ...bytes32(DATA - 16), 0xdd, 0x1c, 0x25, ...bytes32(DATA - 8), // fstp qword, twice
    0xb8, ...bytes32(0x1234), 0x0f, 0x0b, // mov eax,1234h; ud2
  ];
})();

/** Runs to the end; `between` is called each time the vCPU stands still. Returns all that the program has computed. */
function compute(first: RunningEngine, between: (vcpu: Vcpu) => void, slice: () => number, ...hooks: [hook?: (host: KvmHost) => KvmHost, log?: Log]): unknown {
  const { vcpu, memory } = userGuest(user, first, ...hooks);
  runToEnd(vcpu, slice, () => between(vcpu));
  const { gpr, rip } = vcpu.registers();
  const data = new Uint8Array(0x41000);
  memory.read(DATA - 16, data);
  vcpu.close!();
  return { gpr: gpr.filter((_, i) => i !== 4), rip, sum: data.reduce((sum, byte, i) => (sum * 31 + byte + i) >>> 0, 0), last: [...data.subarray(0, 16)] };
}

test('interpreter, translator, hybrid engine and KVM in random turns compute what one engine computes', () => {
  const engines: RunningEngine[] = kvmIsMissing() ? ['interpreter', 'translator'] : ['interpreter', 'translator', 'hybrid', 'kvm'];
  const expected = compute('translator', () => {}, () => 1e6);
  for (const engine of engines) {
    let used: Vcpu | undefined;
    expect(compute(engine, (vcpu) => void (used = vcpu), () => 1e6)).toEqual(expected);
    if (engine === 'hybrid') expect(used!.engines!.usage()[engine]!.exits['visits']).toBeGreaterThan(0);
  }
  const random = new Random(5, 0);
  let last: Vcpu | undefined;
  const found = compute('interpreter', (vcpu) => {
    last = vcpu;
    vcpu.engines!.switchTo(engines[random.below(engines.length)]!);
  }, () => 2000 + random.below(300_000));
  expect(found).toEqual(expected);
  const { count, longestMs } = last!.engines!.switches;
  const usage = last!.engines!.usage();
  console.log(`${count} switches, the longest took ${longestMs.toFixed(1)} ms`);
  expect(count).toBeGreaterThan(20);
  for (const engine of engines) expect(usage[engine]!.seconds).toBeGreaterThan(0);
  if (engines.includes('hybrid')) expect(usage['hybrid']!.exits['visits']).toBeGreaterThan(0);
});

/** KVM whose runs fail from the `last` one on, as on a host that takes it away. */
function failing(host: KvmHost, last: number): KvmHost {
  const EFAULT = 14;
  let runs = 0;
  return new Proxy(host, {
    get: (real, name) => {
      if (name === 'runVcpu') return (vcpu: number) => (++runs < last ? real.runVcpu(vcpu) : EFAULT);
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? (value.bind(real) as unknown) : value;
    },
  });
}

test.skipIf(kvmIsMissing())('when KVM fails in the middle of a run, the translator goes on and says so', () => {
  const expected = compute('translator', () => {}, () => 1e6);
  const said: string[] = [];
  let last: Vcpu | undefined;
  const found = compute('kvm', (vcpu) => void (last = vcpu), () => 200_000, (host) => failing(host, 10), { ...silentLog, warn: (line) => said.push(line) });
  expect(found).toEqual(expected);
  expect(said).toEqual([expect.stringMatching(/KVM_RUN failed with error 14; the machine goes on with the translator$/)]);
  const { current, usage } = last!.engines!;
  expect(current).toBe('translator');
  expect(usage.call(last!.engines)['kvm']!.seconds).toBeGreaterThan(0);
});

test('an engine that the machine has not is refused, and it goes on', () => {
  const { vcpu } = userGuest(user, 'interpreter');
  expect(() => vcpu.engines!.switchTo('lockstep')).toThrow('no engine "lockstep"; give one of interpreter, translator');
  expect(vcpu.engines!.current).toBe('interpreter');
  expect(vcpu.run(1000)).toBe('budget');
  vcpu.close!();
});
