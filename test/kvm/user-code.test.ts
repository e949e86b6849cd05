import { expect, test } from 'vitest';
import type { Vcpu } from '../../src/cpu/vcpu.ts';
import { CODE, KvmFixture, STACK, kvmIsMissing } from '../support/kvm.ts';

// What a KVM without virtualization in hardware (pvm) does otherwise with user code, and must not: SYSCALL has to reach LSTAR, and
// page tables are what the guest has made of them, wherever it did so.

const TABLES = 0x30000;
const TSS = 0x38000;
const IDT = 0x39000;
const ENTRY = 0x3a000;
const FAULT = 0x3b000;
const USER = 0x3c000;
const GDT = 0x3d000;
const PAGES = TABLES + 0x3000;
const WINDOW = 0x3e000;
const SYSCALLS = 5;
const MSR_STAR = 0xc0000081;
const MSR_LSTAR = 0xc0000082;
const MSR_SFMASK = 0xc0000084;

const bytes32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const mov = (register: number, value: number): number[] => [0xb8 + register, ...bytes32(value)];
const wrmsr = (index: number, low: number, high: number): number[] => [0xb9, ...bytes32(index), 0xb8, ...bytes32(low), 0xba, ...bytes32(high), 0x0f, 0x30];

/** 64-bit paging of 2 MiB, each page as it is, for the kernel but for those of `user`. */
function layOut(fixture: KvmFixture, user: readonly number[]): void {
  for (const [at, value] of [[TABLES, TABLES + 0x1007], [TABLES + 0x1000, TABLES + 0x2007], [TABLES + 0x2000, PAGES + 7]] as const) fixture.poke64(at, BigInt(value));
  for (let i = 0; i < 512; i++) fixture.poke64(PAGES + 8 * i, BigInt((i << 12) | (user.includes(i << 12) ? 7 : 3)));
  for (const [at, value] of [
    [GDT + 0x08, 0xaf9b_000000_ffffn], [GDT + 0x10, 0xcf93_000000_ffffn], [GDT + 0x18, 0xcff3_000000_ffffn], [GDT + 0x20, 0xaffb_000000_ffffn], [TSS + 4, BigInt(STACK - 0x100)],
    [IDT + 16 * 14, BigInt(FAULT & 0xffff) | (8n << 16n) | (0x8e00n << 32n) | (BigInt(FAULT >> 16) << 48n)], [IDT + 16 * 14 + 8, 0n],
  ] as const) fixture.poke64(at, value);
}

const segment = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
/** In ring 0, or in ring 3 at USER. */
function startIn(ring: 0 | 3): Parameters<KvmFixture['load']>[2] {
  const data = ring === 0 ? segment(0x10, 0xc093) : segment(0x1b, 0xc0f3);
  return {
    cr0: 0x80010033n, cr3: BigInt(TABLES), cr4: 0x20n, efer: 0x501n, rip: BigInt(ring === 0 ? CODE : USER), gdtr: { base: BigInt(GDT), limit: 0x27 }, idtr: { base: BigInt(IDT), limit: 0xfff },
    segments: {
      cs: ring === 0 ? segment(8, 0xa09b) : segment(0x23, 0xa0fb), ss: data, ds: data, es: data, fs: segment(0, 0xc093), gs: segment(0, 0xc093), tr: { selector: 0x28, base: BigInt(TSS), limit: 103, attributes: 0x8b },
    },
  };
}

function go(fixture: KvmFixture, vcpu: Vcpu): { readonly end: string; readonly gpr: readonly bigint[] } {
  const { memory } = fixture;
  layOut(fixture, [USER]);
  // The last thing that user code does faults: the kernel counts that in EBP and gives it the page.
  memory.write(USER, Uint8Array.from([
    0xb8, ...bytes32(1), ...Array.from({ length: SYSCALLS }, () => [0x05, ...bytes32(3), 0xf9, 0x0f, 0x05]).flat(), // mov eax,1; (add eax,3; stc; syscall), again and again
    0x8b, 0x3c, 0x25, ...bytes32(FAULT + 0x800), 0xbb, ...bytes32(0x1234), 0x0f, 0x05, // mov edi,[FAULT+800h]; mov ebx,1234h; syscall
  ]));
  memory.write(ENTRY, Uint8Array.from([
    0x49, 0x89, 0xe7, 0x66, 0x8c, 0xca, 0x41, 0xff, 0xc6, 0x44, 0x01, 0xd8, // mov r15,rsp; mov dx,cs; inc r14d; add eax,r11d
    0x81, 0xfb, ...bytes32(0x1234), 0x74, 0x03, 0x48, 0x0f, 0x07, 0xf4, // cmp ebx,1234h; je end; sysretq; end: hlt
  ]));
  memory.write(FAULT, Uint8Array.from([
    0x80, 0x0c, 0x25, ...bytes32(PAGES + 8 * (FAULT >> 12)), 0x04, 0x0f, 0x01, 0x3c, 0x25, ...bytes32(FAULT + 0x800), // or byte [page table],4; invlpg
    0xff, 0xc5, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf, // inc ebp; add rsp,8; iretq
  ]));
  memory.write(FAULT + 0x800, Uint8Array.from(bytes32(0x5678)));
  fixture.load(vcpu, [
    ...wrmsr(MSR_STAR, 0, 0x00130008), ...wrmsr(MSR_LSTAR, ENTRY, 0), ...wrmsr(MSR_SFMASK, 0x201, 0),
    0xb9, ...bytes32(USER), 0x41, 0xbb, ...bytes32(0x202), 0x48, 0x0f, 0x07, // mov ecx,USER; mov r11d,202h; sysretq
  ], startIn(0));
  const end = fixture.run(vcpu);
  return { end, gpr: vcpu.registers().gpr };
}

test.skipIf(kvmIsMissing())('system calls and page faults of user code reach the kernel, each its own', () => {
  const fixture = new KvmFixture();
  try {
    const expected = go(fixture, fixture.interpreter);
    expect(expected.gpr[14]).toBe(BigInt(SYSCALLS + 1));
    expect(expected.gpr[5]).toBe(1n);
    expect(expected.gpr[7]).toBe(0x5678n);
    expect(go(fixture, fixture.kvm)).toEqual(expected);
    const counts = fixture.kvm.exitCounts();
    console.log(`${counts['lostSyscall']} system calls of ${SYSCALLS + 1} were made for KVM`);
  } finally {
    fixture.close();
  }
});

test.skipIf(kvmIsMissing())('user code sees what its page tables say, also when another engine has changed them', () => {
  const fixture = new KvmFixture();
  const { kvm, memory } = fixture;
  try {
    layOut(fixture, [USER, WINDOW]);
    fixture.load(kvm, [], startIn(3));
    memory.write(USER, Uint8Array.from([0x8b, 0x04, 0x25, ...bytes32(WINDOW), 0x83, 0xf8, 0x02, 0x75, 0xf4, 0x0f, 0x0b])); // again: mov eax,[WINDOW]; cmp eax,2; jne again; ud2
    memory.write(WINDOW, Uint8Array.from(bytes32(1)));
    memory.write(WINDOW + 0x1000, Uint8Array.from(bytes32(2)));
    for (let i = 0; i < 3; i++) expect(kvm.run(1000)).toBe('time');
    const state = kvm.save();
    fixture.poke64(PAGES + 8 * (WINDOW >> 12), BigInt((WINDOW + 0x1000) | 7));
    kvm.load(state, kvm.stateVersion);
    // There is no gate for its end.
    const exits = Array.from({ length: 20 }, () => kvm.run(1000));
    expect(exits).toContain('shutdown');
    expect(kvm.registers().gpr[0]).toBe(2n);
  } finally {
    fixture.close();
  }
});

test.skipIf(kvmIsMissing())('breakpoints of user code are delivered once, wherever the state leaves KVM', () => {
  const fixture = new KvmFixture();
  const { kvm, memory, clock } = fixture;
  const TIMES = 5000;
  const count = FAULT + 0x800;
  try {
    layOut(fixture, [USER]);
    for (const [vector, at] of [[3, ENTRY], [14, FAULT]] as const) fixture.poke64(IDT + 16 * vector, BigInt(at & 0xffff) | (8n << 16n) | (0xee00n << 32n) | (BigInt(at >> 16) << 48n));
    memory.write(USER, Uint8Array.from([
      ...mov(1, TIMES), ...mov(2, 0), 0xcc, 0xff, 0xc2, 0xff, 0xc9, 0x75, 0xf9, // next: int3; inc edx; dec ecx; jnz next
      0x8b, 0x04, 0x25, ...bytes32(FAULT), // mov eax,[FAULT]
    ]));
    memory.write(ENTRY, Uint8Array.from([0xff, 0x04, 0x25, ...bytes32(count), 0x48, 0xcf])); // inc dword [count]; iretq
    memory.write(FAULT, Uint8Array.of(0xf4));
    fixture.load(kvm, [], { ...startIn(3), rflags: 0x202n });
    let left = 0;
    for (let exit = 'time'; exit !== 'halt' && left < 20_000; left++) {
      const until = clock.now() + 200_000 + (left * 7919 % 400_000);
      exit = kvm.run(1000, () => until);
      expect(['time', 'halt']).toContain(exit);
      kvm.pause();
    }
    const { gpr } = kvm.registers();
    expect({ loops: gpr[2], delivered: memory.readU32(count) }).toEqual({ loops: BigInt(TIMES), delivered: TIMES });
    expect(left).toBeGreaterThan(2);
  } finally {
    fixture.close();
  }
});
