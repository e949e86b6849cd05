import { beforeEach, describe, expect, it } from 'vitest';
import { identify } from '../../src/engines/identity.ts';
import { ApicBus } from '../../src/interrupts/apic-bus.ts';
import type { ApicTarget } from '../../src/interrupts/apic-bus.ts';
import { LocalApic } from '../../src/interrupts/local-apic.ts';
import { hypercalls } from '../../src/machine/processors/hypercalls.ts';
import { VcpuWords } from '../../src/machine/processors/shared-words.ts';
import { paravirtFeatures } from '../../src/machine/paravirt.ts';
import { TimerQueue } from '../../src/timers/timer-queue.ts';
import { InterpreterFixture } from '../support/interpreter.ts';

// KVM's paravirtual interface as a guest sees it: structures of Linux's pvclock-abi.h and kvm_para.h.

const WHERE = 0x200000;
const [SYSTEM_TIME, WALL_CLOCK, STEAL_TIME, END] = [0x4b564d01, 0x4b564d00, 0x4b564d03, 0x4b564d04];

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

beforeEach(() => offer(paravirtFeatures(true, 'threads')));

describe('the clock', () => {
  it.each([10_000, 1_000_000, 2_445_406, 3_000_000, 5_700_000, 100_000_000])('goes on from the time stamp as a counter of %i kHz says', (khz) => {
    offer(paravirtFeatures(true, 'one'), khz);
    guest.tsc = 123_456_789_012_345;
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
    const ticks = BigInt(guest.tsc);
    const now = (ticks * 1_000_000n) / BigInt(khz);
    expect(Math.abs(Number(clock(ticks) - now))).toBeLessThan(Number(now) / 1e9);
    expect(Math.abs(Number(clock(ticks + BigInt(khz) * 3_600_000n) - clock(ticks)) - 3.6e12)).toBeLessThan(3600);
  });
  it('tells the time of day at which it was zero', () => {
    guest.bootTime = 1_700_000_000_123_456;
    expect(run(write(WALL_CLOCK, WHERE))).toBe('end');
    const wall = bytes(12);
    expect([wall.getUint32(0, true) % 2, wall.getUint32(4, true), wall.getUint32(8, true)]).toEqual([0, 1_700_000_000, 123_456_000]);
  });
  it('says that the guest was held back, until that has seen it', () => {
    expect(guest.cpu.heldBack()).toBe(false);
    run(write(SYSTEM_TIME, WHERE + 1));
    const [version, before] = [bytes(32).getUint32(0, true), guest.words(WHERE + 8, 5)];
    expect(guest.cpu.heldBack()).toBe(true);
    // Nothing else changes, so that who reads it just now need not begin again.
    expect([bytes(32).getUint32(0, true), bytes(32).getUint8(29), ...guest.words(WHERE + 8, 5)]).toEqual([version, 3, ...before]);
    // The clock being written once more does not take it back.
    expect(run(write(SYSTEM_TIME, WHERE + 1))).toBe('end');
    expect(bytes(32).getUint8(29)).toBe(3);
    guest.memory.write(WHERE + 29, Uint8Array.of(1));
    expect(run(write(SYSTEM_TIME, WHERE + 1))).toBe('end');
    expect(bytes(32).getUint8(29)).toBe(1);
    expect(run(write(SYSTEM_TIME, WHERE))).toBe('end');
    expect(guest.cpu.heldBack()).toBe(false);
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

describe('an end of interrupt that needs no write', () => {
  const VECTOR = 31;
  const HANDLER = 0x20000;
  /** btr dword [WHERE], 0; setc al; out 0x80, al */
  const end = [0x0f, 0xba, 0x35, ...u32(WHERE), 0, 0x0f, 0x92, 0xc0, 0xe6, 0x80];
  /** out 0x81, al */
  const mark = [0xe6, 0x81];
  let apic: LocalApic;
  const inService = (): boolean => apic.registers.read(0x100, 4) !== 0;
  /** Behind the word's register, interrupts are let in: sti; nop; hlt. In the handler `code` is executed, then IRET. */
  function interrupted(code: readonly number[], where = WHERE + 1): void {
    guest.handler(VECTOR, 0xe9, ...u32(HANDLER - (0x3000 + 16 * VECTOR) - 5));
    guest.memory.write(HANDLER, Uint8Array.from([...code, 0xcf]));
    guest.apic = apic;
    apic.accept('fixed', VECTOR, false);
    guest.load([...write(END, where).slice(0, -1), 0xfb, 0x90]);
    // A request ends the run, as everywhere.
    let exit = guest.run();
    while (exit === 'requested') exit = guest.run();
    expect(exit).toBe('end');
  }
  const word = (): number => guest.words(WHERE, 1)[0]!;

  beforeEach(() => {
    apic = new LocalApic({
      id: 0, boot: true, bus: new ApicBus(), clock: { now: () => 0 }, timers: new TimerQueue(), kick: { kick: () => guest.cpu.requestExit() }, tsc: () => 0, pic: undefined,
      processor: { init: () => {}, startup: () => {} }, windowMoved: () => {},
    });
    apic.registers.write(0xf0, 4, 0x1ff);
  });

  it('the guest finds the bit and clears it: the interrupt has ended', () => {
    interrupted(end);
    expect([guest.written, word(), inService(), guest.cpu.skippedEois]).toEqual([[[0x80, 1]], 0, false, 1]);
  });
  it('is taken back where the guest has not made use of it by the end of the run', () => {
    interrupted([]);
    expect([word(), inService(), guest.cpu.skippedEois]).toEqual([0, true, 0]);
  });
  it('is taken back for another interrupt, which comes once the guest has written the register', () => {
    guest.onPort = (port) => {
      if (port === 0x81) apic.accept('fixed', VECTOR - 1, false);
      else apic.registers.write(0xb0, 4, 0);
    };
    guest.handler(VECTOR - 1, 0xb0, 7, ...mark.map((byte) => (byte === 0x81 ? 0x82 : byte)), 0xcf);
    interrupted([...mark, ...end]);
    expect([guest.written.map(([port, value]) => [port, port === 0x81 ? 0 : value]), guest.cpu.skippedEois, inService()]).toEqual([[[0x81, 0], [0x80, 0], [0x82, 7]], 0, false]);
  });
  it('and another one comes at once behind it', () => {
    guest.onPort = (port) => {
      if (port === 0x80) apic.accept('fixed', VECTOR - 1, false);
    };
    guest.handler(VECTOR - 1, 0xb0, 7, 0xe6, 0x82, 0xcf);
    interrupted(end);
    expect([guest.written, guest.cpu.skippedEois]).toEqual([[[0x80, 1], [0x82, 7]], 1]);
  });
  it.each([['has made use of it', end, 1, false], ['has not', [], 0, true]] as const)('ends with the word: the guest %s and switches it off', (_, before, skipped, still) => {
    // mov dword [WHERE], 0x55: the memory is the guest's own again.
    interrupted([...before, ...write(END, 0).slice(0, -1), 0xc7, 0x05, ...u32(WHERE), ...u32(0x55)]);
    expect([word(), guest.cpu.skippedEois, inService()]).toEqual([0x55, skipped, still]);
  });
  it('is not offered without a word, where there is no RAM, and behind INIT', () => {
    for (const where of [WHERE, 0xfed00001]) {
      interrupted(end, where);
      expect([guest.written, word(), inService(), guest.cpu.skippedEois]).toEqual([[[0x80, 0]], 0, true, 0]);
      apic.registers.write(0xb0, 4, 0);
    }
    run(write(END, WHERE + 1));
    guest.cpu.init();
    expect(run([0xb9, ...u32(END), 0x0f, 0x32, 0xf4])).toBe('end');
    expect(eax()).toBe(0);
  });
  it('has a reserved bit', () => expect(run(write(END, WHERE + 3))).toBe('#13(0) at +12'));
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
    offer(paravirtFeatures(true, 'one'));
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
  beforeEach(() => offer(paravirtFeatures(false, 'threads')));
  it('has no registers and no calls', () => {
    for (const index of [SYSTEM_TIME, END]) expect(run(write(index, WHERE + 1))).toBe('#13(0) at +12');
    expect(run(call(0xc1, 1, 0, 0))).toBe('#6 at +15');
  });
});
