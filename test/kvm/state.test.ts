import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  DR, DR7, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_STAR, MSR_SYSENTER_ESP, MSR_TSC_AUX, MXCSR, NMI_BLOCKED, RIP, STATE_BYTES, VECTOR, X87, X87_CONTROL, X87_OPCODE, X87_STATUS, X87_TAGS,
} from '../../src/isa/x86/state/layout.ts';
import { VCPU_BASE } from '../../src/memory/layout.ts';
import { CODE, KvmFixture, kvmIsMissing, openKvm } from '../support/kvm.ts';

describe.skipIf(kvmIsMissing())('state of a vCPU', () => {
  let fixture: KvmFixture;
  let block: DataView;
  beforeAll(() => {
    fixture = new KvmFixture();
    block = new DataView(fixture.memory.wasm.buffer, VCPU_BASE, STATE_BYTES);
  });
  afterAll(() => fixture?.close());

  /** Into KVM, out again, nothing executed between. */
  function throughKvm(): void {
    fixture.kvm.requestExit();
    expect(fixture.kvm.run(1)).toBe('requested');
    fixture.kvm.save();
  }

  it('comes back from KVM as it went in', () => {
    fixture.load(fixture.interpreter, [0x90]);
    const r = (seed: number): bigint => BigInt.asUintN(64, BigInt(seed) * 0x9e3779b97f4a7c15n);
    for (let i = 0; i < 16; i++) block.setBigUint64(8 * i, r(i + 1), true);
    for (let i = 0; i < 64; i++) block.setBigUint64(VECTOR + 8 * i, (i & 2) !== 0 ? 0n : r(i + 20), true);
    for (let i = 0; i < 8; i++) {
      block.setBigUint64(X87 + 16 * i, r(i + 90) | (1n << 63n), true);
      block.setUint16(X87 + 16 * i + 8, 0x3fff + i, true);
    }
    block.setUint16(X87_CONTROL, 0x27f, true);
    block.setUint16(X87_STATUS, 0x3a41, true); // TOP 7
    block.setUint16(X87_TAGS, 0xcf00, true);
    block.setUint16(X87_OPCODE, 0x123, true);
    block.setUint32(MXCSR, 0x9fa1, true);
    [0x1111n, 0x2222n, 0x3333n, 0x4444n].forEach((value, i) => block.setBigUint64(DR + 8 * i, value, true));
    block.setBigUint64(DR7, 0x00010400n | 2n, true);
    for (const [offset, value] of [[MSR_STAR, 0x0013000800000000n], [MSR_LSTAR, 0x7fff1234n], [MSR_KERNEL_GS_BASE, 0x1234567n], [MSR_SYSENTER_ESP, 0x55n], [MSR_TSC_AUX, 3n]] as const) {
      block.setBigUint64(offset, value, true);
    }
    block.setUint32(NMI_BLOCKED, 1, true);
    fixture.interpreter.load(fixture.interpreter.save(), 1);
    const before = fixture.interpreter.registers();
    const vectors = fixture.memory.wasm.buffer.slice(VCPU_BASE + VECTOR, VCPU_BASE + VECTOR + 512);
    const words = [X87_CONTROL, X87_STATUS, X87_TAGS, X87_OPCODE].map((at) => block.getUint16(at, true));
    const registers = [...Array.from({ length: 8 }, (_, i) => X87 + 16 * i), ...Array.from({ length: 4 }, (_, i) => DR + 8 * i), DR7, MSR_STAR, MSR_LSTAR, MSR_KERNEL_GS_BASE, MSR_SYSENTER_ESP, MSR_TSC_AUX];
    const values = registers.map((at) => block.getBigUint64(at, true));
    throughKvm();
    expect(fixture.interpreter.registers()).toEqual(before);
    expect(isDeepStrictEqual(new Uint8Array(fixture.memory.wasm.buffer.slice(VCPU_BASE + VECTOR, VCPU_BASE + VECTOR + 512)), new Uint8Array(vectors))).toBe(true);
    expect([X87_CONTROL, X87_STATUS, X87_TAGS, X87_OPCODE].map((at) => block.getUint16(at, true))).toEqual(words);
    expect(registers.map((at) => block.getBigUint64(at, true))).toEqual(values);
    expect([block.getUint32(MXCSR, true), block.getUint32(NMI_BLOCKED, true)]).toEqual([0x9fa1, 1]);
  });

  it('is the same to the bit after a second journey', () => {
    throughKvm();
    const once = fixture.kvm.save() as { state: Uint8Array };
    throughKvm();
    const twice = fixture.kvm.save() as { state: Uint8Array };
    // The time stamp counter goes on.
    once.state.fill(0, 960, 968);
    twice.state.fill(0, 960, 968);
    expect(isDeepStrictEqual(twice, once)).toBe(true);
  });

  it('an access to a device that is under way is completed before the state is looked at', () => {
    fixture.load(fixture.kvm, [0xe5, 0x90, 0x90]); // in eax,90h
    fixture.onAccess = () => fixture.kvm.requestExit();
    let exit = fixture.kvm.run(1);
    while (exit === 'time') exit = fixture.kvm.run(1);
    fixture.onAccess = () => {};
    expect(exit).toBe('requested');
    const registers = fixture.kvm.registers();
    expect([registers.gpr[0], registers.rip]).toEqual([0x87654321n, BigInt(CODE + 2)]);
  });

  it('an interrupt that KVM has been given but not delivered is delivered on the way out', () => {
    fixture.handler(0x41, 0xf4);
    fixture.load(fixture.kvm, [0xfb, 0x90, 0xe6, 0x80, 0x90]); // sti; nop; out 80h,al
    fixture.onAccess = () => {
      fixture.waiting.push(0x41);
      fixture.kvm.requestExit();
    };
    let exit = fixture.kvm.run(1);
    while (exit === 'time') exit = fixture.kvm.run(1);
    fixture.onAccess = () => {};
    // The interrupt is handed over, then the entry is cut short.
    fixture.kvm.requestExit();
    expect([exit, fixture.kvm.run(1)]).toEqual(['requested', 'requested']);
    expect(fixture.run(fixture.kvm)).toBe('#65');
    expect(fixture.waiting).toEqual([]);
  });

  it('refuses a state that is damaged', () => {
    expect(() => fixture.kvm.load({ state: new Uint8Array(3) }, 1)).toThrow('state must be');
    expect(() => fixture.kvm.load(fixture.kvm.save(), 99)).toThrow('version 99');
  });

  it('what no KVM takes is a failure that leaves the state whole', () => {
    fixture.load(fixture.kvm, [0x90]);
    fixture.kvm.save();
    block.setBigUint64(568, 0x8000000000000000n, true); // CR4
    expect(() => fixture.kvm.run(1)).toThrow('KVM_SET_SREGS2');
    expect(block.getBigUint64(RIP, true)).toBe(BigInt(CODE));
    block.setBigUint64(568, 0n, true);
    expect(fixture.run(fixture.kvm)).toBe('end');
  });

  it('the time stamp counter goes on, and near the clock', () => {
    const kvm = openKvm() as { capabilities: { tscKhz: number } };
    fixture.load(fixture.kvm, [0x0f, 0x31, 0x89, 0xc6, 0x89, 0xd7, 0xe6, 0x80, 0x0f, 0x31]); // rdtsc; mov esi,eax; mov edi,edx; out 80h,al; rdtsc
    fixture.onAccess = () => void fixture.kvm.requestExit();
    expect(fixture.run(fixture.kvm)).toBe('end');
    fixture.onAccess = () => {};
    const { gpr } = fixture.kvm.registers();
    const first = (gpr[7]! << 32n) | gpr[6]!;
    const second = (gpr[2]! << 32n) | gpr[0]!;
    expect(second > first).toBe(true);
    expect(second - first < BigInt(kvm.capabilities.tscKhz) * 5000n).toBe(true);
  });
});
