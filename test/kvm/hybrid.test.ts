import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Vcpu, VcpuStart } from '../../src/cpu/vcpu.ts';
import { MSR_LSTAR, MSR_SFMASK, MSR_STAR, XCR0 } from '../../src/isa/x86/state/layout.ts';
import { VCPU_BASE } from '../../src/memory/layout.ts';
import { segmentDescriptor } from '../support/descriptors.ts';
import { CODE, HANDLERS, KvmFixture, kvmIsMissing, kvmLacks, openKvm } from '../support/kvm.ts';

// User code that runs directly does to registers, memory and page tables what it does on the interpreter, and the kernel
// sees the same of it: each case runs on both.

const TABLES = 0x30000;
const PAGES = TABLES + 0x3000;
const GATES = 0x50000;
const TASK = 0x51000;
const DATA = 0x20000;
const KERNEL_STACK = 0x9000;
const P_U_W = 7n;

const bytes32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const mov = (register: number, value: number): number[] => [0xb8 + register, ...bytes32(value)];
const UD2 = [0x0f, 0x0b];
const IRETQ = [0x48, 0xcf];

/** On this host, in ring 3. */
function hasAvx2(): boolean {
  const kvm = openKvm();
  return typeof kvm !== 'string' && (kvm.user.hidden[2]! & (1 << 5)) === 0;
}

describe.skipIf(kvmIsMissing())('user code on the hybrid engine', () => {
  let fixture: KvmFixture;
  beforeAll(() => {
    fixture = new KvmFixture();
  });
  afterAll(() => fixture?.close());

  interface Setting {
    /** 32-bit code, in compatibility mode. */
    readonly compatible?: boolean;
    readonly start?: Partial<VcpuStart>;
    /** Code by address, and entries of the page table by page. */
    readonly code?: Readonly<Record<number, readonly number[]>>;
    readonly pages?: Readonly<Record<number, bigint>>;
  }

  /** Long mode, user mode, 2 MiB in small pages mapped one to one; a gate for each vector to HLT, or what the test puts there. */
  function load(vcpu: Vcpu, code: readonly number[], { compatible = false, start = {}, code: more = {}, pages = {} }: Setting, into = fixture): void {
    const { memory } = into;
    memory.write(DATA, new Uint8Array(0x2000));
    into.poke64(TABLES, BigInt(TABLES + 0x1000) | P_U_W);
    into.poke64(TABLES + 0x1000, BigInt(TABLES + 0x2000) | P_U_W);
    into.poke64(TABLES + 0x2000, BigInt(PAGES) | P_U_W);
    for (let page = 0; page < 512; page++) into.poke64(PAGES + 8 * page, pages[page] ?? (BigInt(page) << 12n) | P_U_W);
    for (let vector = 0; vector < 256; vector++) {
      const dpl = vector === 0x80 || vector === 3 || vector === 4 ? 0x6000 : 0;
      into.poke64(GATES + 16 * vector, BigInt(HANDLERS + 16 * vector) | (8n << 16n) | (BigInt(0x8e00 | dpl) << 32n));
      into.poke64(GATES + 16 * vector + 8, 0n);
      memory.write(HANDLERS + 16 * vector, Uint8Array.of(0xf4));
    }
    for (const [selector, value] of [
      [0x08, 0xaf9b_000000_ffffn], [0x10, segmentDescriptor({ access: 0x93 })], [0x18, segmentDescriptor({ access: 0xfb })], [0x20, segmentDescriptor({ access: 0xf3 })], [0x28, 0xaffb_000000_ffffn],
    ] as const) into.poke64(0x1000 + selector, value);
    into.poke64(TASK + 4, BigInt(KERNEL_STACK));
    const flat = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
    const data = flat(0x23, 0xc0f3);
    const none = { selector: 0, base: 0n, limit: 0, attributes: 0x10000 };
    into.load(vcpu, code, {
      rflags: 0x202n, cr0: 0x80050033n, cr3: BigInt(TABLES), cr4: 0x10620n, efer: 0xd01n, idtr: { base: BigInt(GATES), limit: 4095 }, gdtr: { base: 0x1000n, limit: 0x2f }, ...start,
      segments: { cs: compatible ? flat(0x1b, 0xc0fb) : flat(0x2b, 0xa0fb), ss: data, ds: data, es: data, fs: compatible ? data : none, gs: compatible ? data : none, tr: { selector: 0x28, base: BigInt(TASK), limit: 103, attributes: 0x8b } },
    });
    for (const [address, bytes] of Object.entries(more)) memory.write(Number(address), Uint8Array.from(bytes));
    const block = new DataView(memory.wasm.buffer, VCPU_BASE, 4096);
    block.setBigUint64(MSR_STAR, 0x0018_0008n << 32n, true);
    block.setBigUint64(MSR_LSTAR, BigInt(HANDLERS + 16 * 0x90), true);
    block.setBigUint64(MSR_SFMASK, 0x200n, true);
    block.setBigUint64(XCR0, 7n, true);
  }

  function outcome(vcpu: Vcpu, code: readonly number[], setting: Setting): Record<string, unknown> {
    // What the other one has decoded lies in tables that both share.
    (vcpu === fixture.hybrid ? fixture.interpreter : fixture.hybrid).reset();
    load(vcpu, code, setting);
    const end = fixture.run(vcpu);
    const { gpr, rip, rflags, cr2, segments } = vcpu.registers();
    const words = (at: number, count: number): number[] => Array.from({ length: count }, (_, i) => fixture.memory.readU32(at + 4 * i));
    return { end, gpr, rip, rflags, cr2, segments, frame: words(KERNEL_STACK - 48, 12), data: words(DATA, 64), tables: words(PAGES, 1024).map((entry, i) => (i % 2 === 0 ? entry & 0x67 : entry)) };
  }

  let visits = 0;
  beforeEach(() => {
    visits = fixture.hybrid.exitCounts()['visits']!;
  });
  function same(code: readonly number[], setting: Setting = {}): Record<string, unknown> & { gpr: bigint[] } {
    const expected = outcome(fixture.interpreter, code, setting);
    const found = outcome(fixture.hybrid, code, setting);
    expect(found).toEqual(expected);
    expect(fixture.hybrid.exitCounts()['visits']).toBeGreaterThan(visits);
    return found as ReturnType<typeof same>;
  }

  it('computes, and comes out with all registers', () => {
    const found = same([
      ...Array.from({ length: 8 }, (_, i) => mov(i === 4 ? 3 : i, 0x1111 * (i + 1))).flat(), ...[0, 1, 2, 3, 4, 5, 6, 7].flatMap((i) => [0x49, 0xc7, 0xc0 + i, ...bytes32(-i - 5)]), // mov r8+i,-i-5
      ...mov(1, 200_000), 0x48, 0x69, 0xc0, 0x0d, 0x66, 0x19, 0x00, 0x48, 0xff, 0xc0, 0xff, 0xc9, 0x75, 0xf2, 0xf9, ...UD2, // next: imul rax,rax,19660dh; inc rax; dec ecx; jnz next; stc
    ]);
    expect(found).toMatchObject({ end: '#6' });
  });

  it('system calls, software interrupts and breakpoints', () => {
    expect(same([...mov(0, 7), 0xf9, 0x0f, 0x05])).toMatchObject({ end: '#144' }); // stc; syscall
    expect(same([0xcd, 0x80])).toMatchObject({ end: '#128' });
    expect(same([0xcd, 0x20])).toMatchObject({ end: '#13' });
    expect(same([0xcc])).toMatchObject({ end: '#3' });
    expect(same([0xcd, 0x03])).toMatchObject({ end: '#3' });
    expect(same([0x0f, 0x34])).toMatchObject({ end: '#13' }); // sysenter
  });

  it('exceptions', () => {
    expect(same([0x31, 0xc9, 0xf7, 0xf1])).toMatchObject({ end: '#0' }); // xor ecx,ecx; div ecx
    expect(same([0xfa])).toMatchObject({ end: '#13' }); // cli
    expect(same([0xf4])).toMatchObject({ end: '#13' });
    expect(same([0xe4, 0x80])).toMatchObject({ end: '#13' }); // in al,80h
    expect(same([0x48, 0xb8, 0, 0, 0, 0, 0, 0x80, 0, 0x80, 0x48, 0x8b, 0x00])).toMatchObject({ end: '#13' }); // mov rax,8000800000000000h; mov rax,[rax]
    expect(same([0x8b, 0x04, 0x25, ...bytes32(DATA + 1)], { start: { rflags: 0x40202n } })).toMatchObject({ end: '#17' }); // mov eax,[DATA+1] with AC
    expect(same([0x9c, 0x81, 0x0c, 0x24, ...bytes32(0x100), 0x9d, 0x90, 0x90], {})).toMatchObject({ end: '#1' }); // pushf; or dword [rsp],100h; popf; nop; nop
  });

  it('page faults: missing, read-only, supervisor, not executable', () => {
    const touch = [0x8b, 0x04, 0x25, ...bytes32(DATA + 0x10), ...UD2];
    const write = [0xc7, 0x04, 0x25, ...bytes32(DATA + 0x10), ...bytes32(5), ...UD2];
    const page = DATA >> 12;
    expect(same(touch)).toMatchObject({ end: '#6' });
    expect(same(write)).toMatchObject({ end: '#6' });
    for (const flags of [0n, 1n, 3n, 5n]) {
      same(touch, { pages: { [page]: BigInt(DATA) | flags } });
      same(write, { pages: { [page]: BigInt(DATA) | flags } });
    }
    expect(same([...mov(0, DATA), 0xff, 0xe0], { pages: { [page]: BigInt(DATA) | P_U_W | (1n << 63n) } })).toMatchObject({ end: '#14', cr2: BigInt(DATA) }); // jmp rax
    same([0x8b, 0x04, 0x25, ...bytes32(0x400000)]);
    same([0x48, 0xb8, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff, 0x48, 0x8b, 0x00]); // mov rax,ffff800000000000h; mov rax,[rax]
    // Across two pages, of which the second is missing.
    same([0x48, 0x89, 0x04, 0x25, ...bytes32(DATA + 0xffc), ...UD2], { pages: { [page + 1]: 0n } });
  });

  it('the kernel maps a page, and takes it away again', () => {
    const page = DATA >> 12;
    // #PF: mov qword [entry],DATA|7; add rsp,8; iretq. #BP: mov qword [entry],(DATA+1000h)|7; invlpg [DATA]; iretq.
    const entry = bytes32(PAGES + 8 * page);
    const code = {
      [HANDLERS + 16 * 14]: [0xe9, ...bytes32(0x12000 - (HANDLERS + 16 * 14) - 5)], [HANDLERS + 16 * 3]: [0xe9, ...bytes32(0x12100 - (HANDLERS + 16 * 3) - 5)],
      0x12000: [0x48, 0xc7, 0x04, 0x25, ...entry, ...bytes32(DATA | 7), 0x48, 0x83, 0xc4, 0x08, ...IRETQ],
      0x12100: [0x48, 0xc7, 0x04, 0x25, ...entry, ...bytes32((DATA + 0x1000) | 7), 0x0f, 0x01, 0x3c, 0x25, ...bytes32(DATA), ...IRETQ],
      [DATA]: bytes32(0xaaaa), [DATA + 0x1000]: bytes32(0xbbbb),
    };
    const load = (register: number): number[] => [0x8b, 0x04 + 8 * register, 0x25, ...bytes32(DATA)];
    const found = same([...load(0), ...load(1), 0xcc, ...load(2), 0xff, 0x04, 0x25, ...bytes32(DATA), 0xcc, ...load(3), ...UD2], { code, pages: { [page]: 0n } }); // inc dword [DATA]
    expect(found.gpr.slice(0, 4)).toEqual([0xaaaan, 0xaaaan, 0xbbbbn, 0xbbbcn]);
    expect(fixture.hybrid.exitCounts()['visits']).toBeGreaterThan(visits + 1);
  });

  it('code that writes to itself, and code that another engine has decoded', () => {
    const target = 0x13000;
    const code = { [target]: [...mov(0, 1), 0xc3] };
    const call = [0xb9, ...bytes32(target), 0xff, 0xd1]; // mov ecx,target; call rcx
    const found = same([...call, 0x89, 0xc3, 0xc6, 0x04, 0x25, ...bytes32(target + 1), 9, ...call, 0xcc, 0xc6, 0x04, 0x25, ...bytes32(target + 1), 10, ...call, ...UD2], { // mov ebx,eax; mov byte [target+1],9; int3; mov byte [target+1],10
      code: { ...code, [HANDLERS + 16 * 3]: [0x50, 0xe9, ...bytes32(0x12200 - (HANDLERS + 16 * 3) - 6)], 0x12200: [0xb8, ...bytes32(target), 0xff, 0xd0, 0x89, 0xc6, 0x58, ...IRETQ] }, // push rax; mov eax,target; call rax; mov esi,eax; pop rax
    });
    expect([found.gpr[3], found.gpr[6], found.gpr[0]]).toEqual([1n, 9n, 10n]);
  });

  it('vectors and x87, which the kernel uses too', () => {
    const found = same([
      ...mov(0, 7), 0x66, 0x0f, 0x6e, 0xc0, 0x66, 0x0f, 0x70, 0xc0, 0x00, 0xf3, 0x0f, 0x5b, 0xc8, 0x0f, 0x5e, 0xc8, // movd xmm0,eax; pshufd xmm0,xmm0,0; cvttps2dq xmm1,xmm0; divps xmm1,xmm0
      0xcc, 0x66, 0x0f, 0xfe, 0xc0, 0x66, 0x0f, 0x7e, 0xc3, 0x0f, 0xae, 0x1c, 0x25, ...bytes32(DATA), // int3; paddd xmm0,xmm0; movd ebx,xmm0; stmxcsr [DATA]
      0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xeb, 0xde, 0xc1, 0xcc, 0xdd, 0x1c, 0x25, ...bytes32(DATA + 8), ...UD2, // fninit; fld1; fldpi; faddp; int3; fstp qword [DATA+8]
    ], { code: { [HANDLERS + 16 * 3]: [0x66, 0x0f, 0xfe, 0xc0, 0xd9, 0xfa, ...IRETQ] } }); // paddd xmm0,xmm0; fsqrt
    expect(found.gpr[3]).toBe(28n);
  });

  it.skipIf(!hasAvx2())('256-bit vectors, which the kernel uses too', () => {
    const found = same([
      0xc5, 0xf5, 0x76, 0xc9, 0xcc, 0xc5, 0xf5, 0xfe, 0xc9, 0xc5, 0xfe, 0x7f, 0x0c, 0x25, ...bytes32(DATA), ...UD2, // vpcmpeqd ymm1,ymm1,ymm1; int3; vpaddd ymm1,ymm1,ymm1; vmovdqu [DATA],ymm1
    ], { start: { cr4: 0x50620n }, code: { [HANDLERS + 16 * 3]: [0xc5, 0xf5, 0xfe, 0xc9, ...IRETQ] } }); // vpaddd ymm1,ymm1,ymm1
    expect((found['data'] as number[]).slice(0, 9)).toEqual([...Array(8).fill(0xfffffffc), 0]);
  });

  it('what a processor in ring 3 answers by itself is the model\'s', () => {
    expect(same([...mov(0, 7), 0x31, 0xc9, 0x0f, 0xa2, ...UD2])).toMatchObject({ end: '#6' }); // cpuid
    same([...mov(0, 0x80000002 | 0), 0x0f, 0xa2, ...UD2]);
    same([...mov(3, 0x28), 0x0f, 0x03, 0xc3, ...UD2]); // lsl eax,ebx
    same([...mov(3, 0x7b), 0x0f, 0x03, 0xc3, ...UD2]);
    same([0x0f, 0x01, 0xd9]); // vmmcall
    same([0x0f, 0x01, 0xe0]); // smsw eax
    same([0x0f, 0x33]); // rdpmc
    same([0x31, 0xc9, 0x0f, 0x01, 0xd0, ...UD2]); // xgetbv
    const { gpr } = same([0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x83, 0xf8, 0x00, 0x0f, 0x95, 0xc3, 0x31, 0xc0, 0x31, 0xd2, 0x85, 0xc0, ...UD2]); // rdtsc; ...; setnz bl; ...
    expect(Number(gpr[3]! & 0xffn)).toBe(1);
  });

  it.skipIf(!hasAvx2())('extended state is stored as far as the guest has enabled it, whatever the host has', () => {
    const ones = [0xc5, 0xf5, 0x76, 0xc9, ...mov(0, 0xee), 0x31, 0xd2]; // vpcmpeqd ymm1,ymm1,ymm1; mov eax,0eeh; xor edx,edx
    const at = (area: number): number[] => [0x25, ...bytes32(area)];
    const setting = { start: { cr4: 0x50620n }, code: { [DATA + 0xc0]: Array<number>(64).fill(0x77) } };
    const header = DATA - 512;
    for (const [xsave, compacted] of [[[0x0f, 0xae, 0x24], 0], [[0x0f, 0xae, 0x34], 0], [[0x0f, 0xc7, 0x24], 0x80000000]] as const) { // xsave, xsaveopt, xsavec
      const { data } = same([...ones, ...xsave, ...at(header), ...UD2], setting) as unknown as { data: number[] };
      expect(data.slice(0, 4)).toEqual([6, 0, compacted === 0 ? 0 : 6, compacted]);
      // Behind AVX's the host may have more.
      same([...ones, ...xsave, ...at(DATA + 0xc0 - 1088), ...UD2], setting);
    }
  });

  it('instructions across the end of a page', () => {
    const end = 0x14000;
    const from = (start: number): number[] => [0xbf, ...bytes32(start), 0xff, 0xe7]; // mov edi,start; jmp rdi
    expect(same(from(end - 8), { code: { [end - 8]: [...mov(0, 7), 0x31, 0xc9, 0x0f, 0xa2, ...UD2] } })).toMatchObject({ end: '#6' }); // xor ecx,ecx; cpuid
    // With sense before it: what the last test has left there could be read in another way.
    same(from(end - 2), { code: { [end - 66]: [...Array(64).fill(0x90), 0x0f, 0x01, 0xd0, ...UD2] } }); // xgetbv
    visits = fixture.hybrid.exitCounts()['visits']!;
    same(from(end - 8), { code: { [end - 8]: [...mov(1, 1000), 0xff, 0xc9, 0x0f, 0x85, ...bytes32(-8), ...UD2] } }); // next: dec ecx; jnz next
    expect(fixture.hybrid.exitCounts()['visits']).toBeLessThan(visits + 100);
  });

  it('segment registers', () => {
    same([...mov(0, 0x23), 0x8e, 0xd8, 0x8c, 0xdb, ...UD2]); // mov ds,eax; mov ebx,ds
    same([...mov(0, 0x13), 0x8e, 0xd8]);
    // Without virtualization in hardware user code finds the host's descriptors.
    if (!kvmLacks('cpuid')) same([...mov(0, 0x7b), 0x8e, 0xd8]);
    same([...mov(0, 0x12345), 0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xf3, 0x48, 0x0f, 0xae, 0xd8, ...mov(0, DATA), 0xf3, 0x48, 0x0f, 0xae, 0xd0, 0x64, 0x48, 0x89, 0x04, 0x25, ...bytes32(8), ...UD2]); // wrfsbase rax; wrgsbase rax; ...; mov fs:[8],rax
  });

  it.skipIf(kvmLacks('compatible'))('32-bit code in compatibility mode', () => {
    same([...mov(0, 5), 0x40, 0x48, 0x40, 0xa3, ...bytes32(DATA + 4), 0x60, 0x61, 0x68, ...bytes32(9), 0x8f, 0x05, ...bytes32(DATA + 8), ...UD2], { compatible: true }); // inc eax; dec eax; inc eax; mov [DATA+4],eax; pusha; popa; push 9; pop [DATA+8]
    same([0x0f, 0x05], { compatible: true }); // syscall
    expect(same([...mov(0, 0x7fffffff), 0x83, 0xc0, 0x01, 0xce], { compatible: true })).toMatchObject({ end: '#4' }); // add eax,1; into
    same([0xea, ...bytes32(CODE + 16), 0x2b, 0, ...Array(9).fill(0x90), 0x48, 0xff, 0xc0, ...UD2], { compatible: true }); // jmp 2bh:CODE+16; ...; inc rax
  });

  it('breakpoints are not lost where the alarm goes off', () => {
    const { hybrid, clock } = fixture;
    const whole = hybrid.run;
    // Each run has a time of its own, from none to what a few entries take.
    let runs = 0;
    hybrid.run = (budget) => {
      const until = clock.now() + (runs++ * 7919 % 160_000);
      return whole.call(hybrid, budget, () => until);
    };
    try {
      const { data } = { data: [] as number[], ...same([...Array(500).fill(0xcc), ...UD2], { code: { [HANDLERS + 16 * 3]: [0xff, 0x04, 0x25, ...bytes32(DATA), ...IRETQ] } }) }; // #BP: inc dword [DATA]; iretq
      expect(data[0]).toBe(500);
    } finally {
      hybrid.run = whole;
    }
  });

  describe('says of a run that it was spent in a loop that waits', () => {
    const waits = [...mov(1, 100_000), 0xf3, 0x90, 0x80, 0x3c, 0x24, 1, 0xff, 0xc9, 0x75, 0xf6]; // next: pause; cmp byte [rsp],1; dec ecx; jnz next
    const counts = [...mov(1, 100_000), 0xff, 0xc9, 0x75, 0xfc]; // next: dec ecx; jnz next
    let others: KvmFixture;
    beforeAll(() => {
      others = new KvmFixture({ waiting: false, admit: () => true, refuse: () => {} });
    });
    afterAll(() => others.close());

    /** In runs of 10,000 instructions or some time: how each ended, and whether it says that it waited. */
    function runs({ hybrid, clock }: KvmFixture): { readonly exits: readonly string[]; readonly spins: readonly boolean[] } {
      const exits: string[] = [];
      const spins: boolean[] = [];
      for (;;) {
        const until = clock.now() + 300_000;
        const exit = hybrid.run(10_000, () => until);
        if (exit === 'halt') return { exits, spins };
        exits.push(exit);
        spins.push(exit === 'budget' && hybrid.spins);
      }
    }

    it('which the kernel did', () => {
      const handler = HANDLERS + 16 * 0x90;
      const room = 0x14000;
      load(fixture.hybrid, [0x0f, 0x05], { code: { [handler]: [0xe9, ...bytes32(room - handler - 5)], [room]: [...waits, ...counts, 0xf4] } }); // syscall; handler: jmp room
      const { exits, spins } = runs(fixture);
      expect(exits.filter((exit) => exit === 'budget').length).toBeGreaterThan(35);
      expect(spins.filter((spun) => spun).length).toBeGreaterThan(35);
      expect(spins.lastIndexOf(true)).toBeLessThan(spins.length - 15);
      expect(fixture.hybrid.exitCounts()['visits']).toBeGreaterThan(visits);
    });

    it('which user code did, among several processors', () => {
      load(others.hybrid, [...waits, ...counts, ...UD2], {}, others);
      const { spins } = runs(others);
      expect(spins.filter((spun) => spun).length).toBeGreaterThan(30);
      // The rest of it goes on directly.
      expect(others.hybrid.exitCounts()['visits']).toBeGreaterThan(0);
      expect(spins.at(-1)).toBe(false);
      // Nobody else has the host's processor: it stays directly there.
      load(fixture.hybrid, [...waits, ...counts, ...UD2], {});
      expect(runs(fixture).spins).not.toContain(true);
    });
  });

  it('an interrupt that comes meanwhile is taken, and user code goes on', () => {
    const { hybrid } = fixture;
    load(hybrid, [0x83, 0x3c, 0x25, ...bytes32(DATA), 0, 0x74, 0xf6, ...UD2], { code: { [HANDLERS + 16 * 0x40]: [0xc6, 0x04, 0x25, ...bytes32(DATA), 1, ...IRETQ] } }); // wait: cmp dword [DATA],0; je wait
    // Until its time was over now and then.
    for (const ends = performance.now() + 100_000; !(hybrid.exitCounts()['time']! > 2) && performance.now() < ends;) expect(hybrid.run(10_000)).toMatch(/^(budget|time)$/);
    expect(hybrid.exitCounts()['time']).toBeGreaterThan(2);
    fixture.waiting.push(0x40);
    expect(fixture.run(hybrid)).toBe('#6');
    expect(fixture.waiting).toEqual([]);
  });
});
