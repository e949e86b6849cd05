import { beforeEach, describe, expect, it } from 'vitest';
import { identify } from '../../src/engines/identity.ts';
import type { ApicTarget } from '../../src/interrupts/apic-bus.ts';
import { hypercalls } from '../../src/machine/processors/hypercalls.ts';
import { VcpuWords } from '../../src/machine/processors/shared-words.ts';
import { paravirtFeatures } from '../../src/machine/paravirt.ts';
import { InterpreterFixture } from '../support/interpreter.ts';

// KVM's paravirtual interface as a guest sees it: structures of Linux's pvclock-abi.h and kvm_para.h.

const WHERE = 0x200000;
const [SYSTEM_TIME, WALL_CLOCK, STEAL_TIME] = [0x4b564d01, 0x4b564d00, 0x4b564d03];

/** What RESET leaves in EDX. */
const SIGNATURE = 0x206c2;
const u32 = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
/** mov ecx, msr; mov eax, value; xor edx, edx; wrmsr; hlt */
const write = (msr: number, value: number): number[] => [0xb9, ...u32(msr), 0xb8, ...u32(value), 0x31, 0xd2, 0x0f, 0x30, 0xf4];
/** mov eax, number; mov ebx, a; mov ecx, b; vmcall or vmmcall; hlt */
const call = (opcode: number, number: number, a: number, b: number): number[] => [0xb8, ...u32(number), 0xbb, ...u32(a), 0xb9, ...u32(b), 0x0f, 0x01, opcode, 0xf4];

let guest: InterpreterFixture;
function offer(features: number, tscKhz = 1_000_000): void {
  guest = new InterpreterFixture();
  identify(guest.memory.wasm, { index: 0, tscKhz, hidden: [], paravirt: features });
}
function run(code: readonly number[]): string {
  guest.load(code);
  return guest.run();
}
const bytes = (count: number): DataView => new DataView(Uint8Array.from(guest.words(WHERE, count / 4).flatMap(u32)).buffer);
const eax = (): number => Number(BigInt.asIntN(32, guest.cpu.registers().gpr[0]!));

beforeEach(() => offer(paravirtFeatures(true, true)));

describe('the clock', () => {
  it.each([10_000, 1_000_000, 2_445_406, 3_000_000, 5_700_000, 100_000_000])('goes on from the time stamp as a counter of %i kHz says', (khz) => {
    offer(paravirtFeatures(true, false), khz);
    guest.tsc = 123_456_789_012_345n;
    expect(run(write(SYSTEM_TIME, WHERE + 1))).toBe('end');
    const time = bytes(32);
    expect(time.getUint32(0, true) % 2).toBe(0);
    // From zero on, so that all processors convert alike, whenever they ask.
    expect([time.getBigUint64(8, true), time.getBigUint64(16, true), time.getUint8(29)]).toEqual([0n, 0n, 1]);
    const clock = (ticks: bigint): bigint => {
      const shift = time.getInt8(28);
      return ((shift < 0 ? ticks >> BigInt(-shift) : ticks << BigInt(shift)) * BigInt(time.getUint32(24, true))) >> 32n;
    };
    // Now, and an hour later, to a thousand millionth part.
    const now = (guest.tsc * 1_000_000n) / BigInt(khz);
    expect(Math.abs(Number(clock(guest.tsc) - now))).toBeLessThan(Number(now) / 1e9);
    expect(Math.abs(Number(clock(guest.tsc + BigInt(khz) * 3_600_000n) - clock(guest.tsc)) - 3.6e12)).toBeLessThan(3600);
  });
  it('tells the time of day at which it was zero', () => {
    guest.bootTime = 1_700_000_000_123_456;
    expect(run(write(WALL_CLOCK, WHERE))).toBe('end');
    const wall = bytes(12);
    expect([wall.getUint32(0, true) % 2, wall.getUint32(4, true), wall.getUint32(8, true)]).toEqual([0, 1_700_000_000, 123_456_000]);
  });
  it('is not written where there is no RAM, nor once it is switched off', () => {
    expect(run(write(SYSTEM_TIME, 0xfed00001))).toBe('end');
    expect(run(write(SYSTEM_TIME, WHERE))).toBe('end');
    expect(bytes(32).getUint32(0, true)).toBe(0);
  });
});

describe('stolen time', () => {
  it('adds up', () => {
    expect(run(write(STEAL_TIME, WHERE + 1))).toBe('end');
    guest.cpu.addStolenTime(1000);
    guest.cpu.addStolenTime(500);
    expect([bytes(64).getBigUint64(0, true), bytes(64).getUint32(8, true)]).toEqual([1500n, 4]);
  });
  it('says that a processor sleeps, and takes what others have left for it', () => {
    run(write(STEAL_TIME, WHERE + 1));
    guest.cpu.leaveProcessor();
    expect(bytes(64).getUint8(16)).toBe(1);
    guest.memory.writeU32(WHERE + 16, 3);
    guest.cpu.enterProcessor();
    expect(bytes(64).getUint8(16)).toBe(0);
  });
  it('has reserved bits', () => expect(run(write(STEAL_TIME, WHERE + 3))).toBe('#13(0) at +12'));
});

describe('calls', () => {
  it.each([['VMCALL', 0xc1], ['VMMCALL', 0xd9]])('%s reaches the host', (_, opcode) => {
    guest.callAnswer = 3n;
    expect(run(call(opcode, 10, 6, 0))).toBe('end');
    expect(guest.calls).toEqual([[10, 6n, 0n, BigInt(SIGNATURE), 0n]]);
    expect(eax()).toBe(3);
  });
  it('refuses what it does not know, and what was not offered', () => {
    run(call(0xc1, 99, 0, 0));
    expect(eax()).toBe(-1000);
    offer(paravirtFeatures(true, false));
    run(call(0xc1, 10, 6, 0));
    expect([eax(), guest.calls]).toEqual([-1000, []]);
  });
  it('send interrupts to the processors of a bitmap, and wake one', () => {
    const got: string[] = [];
    const apic = (id: number): [number, Pick<ApicTarget, 'accept'>] => [id, { accept: (mode, vector) => got.push(`${id}: ${mode} ${vector}`) }];
    const words = new VcpuWords(new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }), 0);
    const answer = hypercalls(new Map([apic(0), apic(1), apic(4), apic(70)]), (id) => got.push(`${id} wakes`), words);
    expect(answer(10, 0b110011n, 1n << 6n, 0n, 0xf2n)).toBe(4n);
    expect(answer(10, 1n, 0n, 4n, 0x402n)).toBe(1n);
    expect(answer(5, 0n, 1n, 0n, 0n)).toBe(0n);
    expect(got).toEqual(['0: fixed 242', '1: fixed 242', '4: fixed 242', '70: fixed 242', '4: nmi 2', '1 wakes']);
    // Four messages by one call instead of four writes.
    expect(words.paravirtCounts).toEqual({ paravirtKick: 1, paravirtInterrupts: 2, paravirtSaved: 3 });
    expect([answer(10, 1n, 0n, 0n, 5n), answer(10, 1n, 0n, 0n, 0x8f2n), answer(10, 1n, 0n, 0n, 0x5f2n)]).toEqual([-22n, -22n, -22n]);
  });
});

describe('where it is hidden', () => {
  beforeEach(() => offer(paravirtFeatures(false, true)));
  it('has no registers and no calls', () => {
    expect(run(write(SYSTEM_TIME, WHERE + 1))).toBe('#13(0) at +12');
    expect(run(call(0xc1, 1, 0, 0))).toBe('#6 at +15');
  });
});
