import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Vcpu } from '../../src/cpu/vcpu.ts';
import { segmentDescriptor } from '../support/descriptors.ts';
import { CODE, KvmFixture, kvmIsMissing, kvmLacks } from '../support/kvm.ts';

// Small guests with one property each. What they do on the interpreter is what they must do on KVM.

describe.skipIf(kvmIsMissing())('guests on KVM', () => {
  let fixture: KvmFixture;
  beforeAll(() => {
    fixture = new KvmFixture();
  });
  afterAll(() => fixture?.close());

  /** What a run leaves behind, as text. */
  function outcome(vcpu: Vcpu, code: readonly number[], start: Parameters<KvmFixture['load']>[2] = {}): unknown {
    fixture.memory.write(0x20000, new Uint8Array(4096));
    fixture.load(vcpu, code, start);
    const end = fixture.run(vcpu);
    const { gpr, rip, rflags, cr2 } = vcpu.registers();
    const frame = Array.from({ length: 4 }, (_, i) => fixture.memory.readU32(Number(gpr[4]! & 0xffffn) + 4 * i));
    const data = Array.from({ length: 16 }, (_, i) => fixture.memory.readU32(0x20000 + 4 * i));
    return { end, accesses: [...fixture.accesses], gpr, rip, rflags, cr2, frame, data };
  }
  function same(code: readonly number[], start: Parameters<KvmFixture['load']>[2] = {}): ReturnType<typeof outcome> {
    const expected = outcome(fixture.interpreter, code, start);
    const found = outcome(fixture.kvm, code, start);
    expect(found).toEqual(expected);
    return found;
  }

  it('ports of every width, and strings to and from ports', () => {
    const found = same([
      0xb0, 0x41, 0xe6, 0x80, 0x66, 0xe7, 0x82, 0xe7, 0x84, // mov al,41h; out 80h,al; out 82h,ax; out 84h,eax
      0xe4, 0x90, 0x66, 0xe5, 0x92, 0xe5, 0x94, // in al,90h; in ax,92h; in eax,94h
      0xbe, 0, 0, 1, 0, 0xb9, 5, 0, 0, 0, 0xba, 0xf8, 3, 0, 0, 0xf3, 0x6e, // mov esi,CODE; mov ecx,5; mov edx,3f8h; rep outsb
      0xbf, 0, 0, 2, 0, 0xb9, 3, 0, 0, 0, 0xf3, 0x6d, // mov edi,20000h; mov ecx,3; rep insd
    ]) as { accesses: string[] };
    expect(found.accesses.slice(0, 7)).toEqual(['out1 80 41', 'out2 82 41', 'out4 84 41', 'in1 90', 'in2 92', 'in4 94', 'out1 3f8 b0']);
    expect(found.accesses).toHaveLength(14);
  });

  it('device memory of every width', () => {
    const found = same([
      0xa0, 0, 0, 0, 0xf0, 0x66, 0xa1, 2, 0, 0, 0xf0, 0xa1, 4, 0, 0, 0xf0, // mov al,[f0000000h]; mov ax,[f0000002h]; mov eax,[f0000004h]
      0xa2, 0x10, 0, 0, 0xf0, 0x66, 0xa3, 0x12, 0, 0, 0xf0, 0xa3, 0x14, 0, 0, 0xf0, // the same, written
      0x01, 0x05, 0x18, 0, 0, 0xf0, // add [f0000018h],eax
    ]) as { accesses: string[] };
    expect(found.accesses).toContain('write4 f0000014 87654321');
    expect(found.accesses.slice(-2)).toEqual(['read4 f0000018', 'write4 f0000018 eca8642']);
  });

  it('ROM can be read and executed; what is written to it goes to the bus', () => {
    const rom = fixture.memory.allocate(4096);
    rom.data.set([0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3]); // mov eax,12345678h; ret
    fixture.memory.onMapChanged(() => [fixture.kvm, fixture.interpreter].forEach((vcpu) => vcpu.memoryMapChanged()));
    fixture.memory.setWindows(rom, [{ first: 0x40000, bytes: 4096, kind: 'rom', host: rom.host }]);
    const found = same([0xb9, 0, 0, 4, 0, 0xff, 0xd1, 0x89, 0x41, 0x08, 0x8b, 0x19]) as { accesses: string[]; gpr: bigint[] }; // mov ecx,40000h; call ecx; mov [ecx+8],eax; mov ebx,[ecx]
    expect(found.accesses).toEqual(['write4 40008 12345678']);
    expect(found.gpr[3]).toBe(0x345678b8n);
    fixture.memory.setWindows(rom, []);
    expect((same([0xb9, 0, 0, 4, 0, 0x89, 0x41, 0x08]) as { accesses: string[] }).accesses).toEqual([]);
  });

  it('exceptions through the guest\'s own gates', () => {
    expect(same([0x31, 0xc0, 0xf7, 0xf0])).toMatchObject({ end: '#0' }); // xor eax,eax; div eax
    expect(same([0x0f, 0x0b])).toMatchObject({ end: '#6' }); // ud2
    expect(same([0xcc])).toMatchObject({ end: '#3' }); // int3
    expect(same([0xcd, 0x55])).toMatchObject({ end: '#85' }); // int 55h
    expect(same([0x66, 0xb8, 0x78, 0x00, 0x8e, 0xd8])).toMatchObject({ end: '#13' }); // mov ax,78h; mov ds,ax
  });

  it.skipIf(kvmLacks('ring0'))('page faults, behind page tables that the guest has made', () => {
    // A page directory at 30000h: 4 MiB identity by large page; CR4.PSE; then an access at 8 MiB.
    same([
      0xc7, 0x05, 0, 0, 3, 0, 0x83, 0, 0, 0, // mov dword [30000h],83h
      0xb8, 0x10, 0, 0, 0, 0x0f, 0x22, 0xe0, 0xb8, 0, 0, 3, 0, 0x0f, 0x22, 0xd8, // mov cr4,10h; mov cr3,30000h
      0x0f, 0x20, 0xc0, 0x0d, 0, 0, 0, 0x80, 0x0f, 0x22, 0xc0, // or cr0,80000000h
      0xa1, 0, 0, 0x80, 0, // mov eax,[800000h]
    ]);
    expect(fixture.kvm.registers().cr2).toBe(0x800000n);
  });

  it('real-address mode: segments, interrupt table', () => {
    fixture.memory.write(0x55 * 4, Uint8Array.of(0x00, 0x01, 0x00, 0x20)); // int 55h at 2000:0100
    fixture.memory.write(0x20100, Uint8Array.of(0xfe, 0xc4, 0xcf)); // inc ah; iret
    const real = (selector: number, attributes: number) => ({ selector, base: BigInt(selector * 16), limit: 0xffff, attributes });
    const handler = (vcpu: Vcpu): unknown => {
      fixture.load(vcpu, [0xb8, 0x34, 0x12, 0xcd, 0x55, 0x89, 0xe3, 0xe6, 0x80], { // mov ax,1234h; int 55h; mov bx,sp; out 80h,al
        rip: 0n, cr0: 0x10n, idtr: { base: 0n, limit: 0x3ff },
        segments: { cs: real(0x1000, 0x9b), ss: real(0, 0x93), ds: real(0, 0x93), es: real(0, 0x93), fs: real(0, 0x93), gs: real(0, 0x93) },
      });
      fixture.memory.write(0x20100, Uint8Array.of(0xfe, 0xc4, 0xcf));
      const end = fixture.run(vcpu);
      return { end, gpr: vcpu.registers().gpr, accesses: [...fixture.accesses] };
    };
    const expected = handler(fixture.interpreter);
    expect(handler(fixture.kvm)).toEqual(expected);
    expect(expected).toMatchObject({ accesses: ['out1 80 34'] });
  });

  it.skipIf(kvmLacks('syscall'))('long mode: user code, SYSCALL and back', () => {
    const tables = (): void => {
      for (const [at, value] of [[0x30000, 0x31007n], [0x31000, 0x32007n], [0x32000, 0x87n]] as const) fixture.poke64(at, value);
      fixture.memory.write(0x11000, Uint8Array.from([ // user: mov eax,7; syscall; add eax,[...]; ud2
        0xb8, 7, 0, 0, 0, 0x0f, 0x05, 0x83, 0xc0, 0x01, 0x66, 0x0f, 0x6e, 0xc0, 0x66, 0x0f, 0xfe, 0xc0, 0x66, 0x0f, 0x7e, 0xc3, 0x0f, 0x05,
      ]));
      fixture.memory.write(0x12000, Uint8Array.from([ // kernel: add eax,100h; cmp eax,300h; jb out; out 80h,al; hlt; out: sysretq
        0x05, 0x00, 0x01, 0, 0, 0x3d, 0x00, 0x02, 0, 0, 0x72, 0x03, 0xe6, 0x80, 0xf4, 0x48, 0x0f, 0x07,
      ]));
    };
    const wrmsr = (index: number, low: number, high: number): number[] => [
      0xb9, ...bytes32(index), 0xb8, ...bytes32(low), 0xba, ...bytes32(high), 0x0f, 0x30,
    ];
    const code = [
      ...wrmsr(0xc0000081, 0, 0x00130008), ...wrmsr(0xc0000082, 0x12000, 0), ...wrmsr(0xc0000084, 0x200, 0),
      0x0f, 0x20, 0xe0, 0x66, 0x0d, 0x00, 0x06, 0x0f, 0x22, 0xe0, // or cr4 (OSFXSR, OSXMMEXCPT): mov rax,cr4; or ax,600h
      0xb9, 0x00, 0x10, 0x01, 0x00, 0x41, 0xbb, 0x02, 0, 0, 0, 0x48, 0x0f, 0x07, // mov ecx,11000h; mov r11d,2; sysretq
    ];
    const long = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
    const go = (vcpu: Vcpu): unknown => {
      tables();
      fixture.load(vcpu, code, {
        cr0: 0x80000033n, cr3: 0x30000n, cr4: 0x20n, efer: 0x501n, rip: BigInt(CODE),
        segments: { cs: long(8, 0xa09b), ss: long(0x10, 0xc093), ds: long(0x10, 0xc093), es: long(0x10, 0xc093), fs: long(0x10, 0xc093), gs: long(0x10, 0xc093) },
      });
      const end = fixture.run(vcpu);
      const { gpr, rip } = vcpu.registers();
      return { end, gpr, rip, accesses: [...fixture.accesses] };
    };
    const expected = go(fixture.interpreter) as { gpr: bigint[] };
    expect(go(fixture.kvm)).toEqual(expected);
    expect(expected.gpr[3]).toBe(0x210n); // 7 + 100h + 1, doubled by PADDD
  });

  it('long mode: user code with vectors and x87, page faults and back by IRETQ', () => {
    const go = (vcpu: Vcpu): unknown => {
      // Low 2 MiB for all, the next 2 MiB missing; IDT of 64-bit gates at 50000h, TSS at 51000h.
      for (const [at, value] of [
        [0x30000, 0x31007n], [0x31000, 0x32007n], [0x32000, 0x87n], [0x32008, 0n], [0x51004, 0x9000n],
        [0x50000 + 16 * 14, 0x2000n | (8n << 16n) | (0x18e00n << 32n)], [0x50008 + 16 * 14, 0n], [0x50000 + 16 * 6, 0x2100n | (8n << 16n) | (0x18e00n << 32n)], [0x50008 + 16 * 6, 0n],
        [0x1020, 0xaffb_000000_ffffn], [0x1018, 0xcff3_000000_ffffn], [0x1008, 0xaf9b_000000_ffffn],
      ] as const) fixture.poke64(at, value);
      const descriptors = Object.fromEntries([[0x08, { access: 0x9b }], [0x18, { access: 0xfb }], [0x20, { access: 0xf3 }]] as const);
      fixture.memory.write(0x11000, Uint8Array.from([
        0xb8, 7, 0, 0, 0, 0x66, 0x0f, 0x6e, 0xc0, 0x66, 0x0f, 0xfe, 0xc0, 0x66, 0x0f, 0x7e, 0xc3, // mov eax,7; movd xmm0,eax; paddd xmm0,xmm0; movd ebx,xmm0
        0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xeb, 0xde, 0xc1, 0xdb, 0x1c, 0x25, 0, 0, 2, 0, // fninit; fld1; fldpi; faddp; fistp dword [20000h]
        0x8b, 0x0c, 0x25, 0x10, 0, 0x20, 0, // mov ecx,[200010h]: faults once
        0x0f, 0x0b, // ud2
      ]));
      // #PF: out 80h,al; map the page; iretq. #UD: halt.
      fixture.memory.write(0x12000, Uint8Array.from([
        0xe6, 0x80, 0x0f, 0x20, 0xd2, 0x48, 0xc7, 0x04, 0x25, 0x08, 0x20, 0x03, 0, 0x87, 0, 0x20, 0, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf, // mov rdx,cr2; mov qword [32008h],200087h; add rsp,8
      ]));
      fixture.memory.write(0x12100, Uint8Array.of(0xf4));
      fixture.memory.write(0x200010, Uint8Array.of(0x99, 0, 0, 0));
      const segment = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
      const data = segment(0x1b, 0xc0f3);
      fixture.load(vcpu, [], {
        rip: 0x11000n, cr0: 0x80000033n, cr3: 0x30000n, cr4: 0x620n, efer: 0x501n, idtr: { base: 0x50000n, limit: 4095 },
        segments: { cs: segment(0x23, 0xa0fb), ss: data, ds: data, es: data, fs: data, gs: data, tr: { selector: 0x28, base: 0x51000n, limit: 103, attributes: 0x8b } },
      });
      fixture.memory.write(0x20000, new Uint8Array(4));
      const end = fixture.run(vcpu);
      for (const [selector, fields] of Object.entries(descriptors)) fixture.poke64(0x1000 + Number(selector), segmentDescriptor(fields));
      const { gpr, rip, cr2 } = vcpu.registers();
      return { end, gpr, rip, cr2, accesses: [...fixture.accesses], sum: fixture.memory.readU32(0x20000) };
    };
    const expected = go(fixture.interpreter) as { gpr: bigint[] };
    expect(go(fixture.kvm)).toEqual(expected);
    expect(expected).toMatchObject({ cr2: 0x200010n, accesses: ['out1 80 7'], sum: 4 });
    expect(expected.gpr.slice(0, 4)).toEqual([7n, 0x99n, 0x200010n, 14n]);
  });

  /** Half a million turns of `loop` natively, as long as an emulated ring 0 takes for a few milliseconds. */
  const wait = [0xb9, ...bytes32(kvmLacks('ring0') ? 5_000 : 500_000), 0xe2, 0xfe];

  it('interrupts: waits for the window, wakes from HLT', () => {
    for (const vcpu of [fixture.interpreter, fixture.kvm]) {
      fixture.handler(0x40, 0x40, 0xcf); // inc eax; iretd
      fixture.waiting.push(0x40);
      fixture.load(vcpu, [0x31, 0xc0, 0xe6, 0x80, 0x89, 0xc3, 0xfb, ...wait, 0x89, 0xc2, 0xfa]); // xor eax,eax; out 80h,al; mov ebx,eax; sti; (wait); mov edx,eax; cli
      expect(fixture.run(vcpu)).toBe('end');
      expect(fixture.waiting).toEqual([]);
      expect(vcpu.registers().gpr.slice(0, 4)).toEqual([1n, 0n, 1n, 0n]);

      fixture.load(vcpu, [0x31, 0xc0, 0xfb, 0xf4, 0xfa]); // xor eax,eax; sti; hlt; cli
      fixture.handler(0x40, 0x40, 0xcf);
      let exit = vcpu.run(1000);
      while (exit === 'budget' || exit === 'time') exit = vcpu.run(1000);
      expect([exit, vcpu.halted]).toEqual(['halt', true]);
      fixture.waiting.push(0x40);
      expect(fixture.run(vcpu)).toBe('end');
      expect(vcpu.registers().gpr[0]).toBe(1n);
    }
    fixture.handler(0x40, 0xf4);
  });

  it('task priority: what it holds back comes when it falls', () => {
    for (const vcpu of [fixture.interpreter, fixture.kvm]) {
      fixture.handler(0x40, 0x40, 0xcf); // inc eax; iretd
      fixture.taskPriority = 5;
      fixture.waiting.push(0x40);
      fixture.load(vcpu, [0x31, 0xc0, 0xfb, ...wait, 0x89, 0xc3, 0xe6, 0x80, ...wait, 0xfa]); // xor eax,eax; sti; (wait); mov ebx,eax; out 80h,al; (wait); cli
      fixture.onAccess = () => void (fixture.taskPriority = 0);
      expect(fixture.run(vcpu)).toBe('end');
      fixture.onAccess = () => {};
      expect(vcpu.registers().gpr.slice(0, 4)).toEqual([1n, 0n, expect.anything(), 0n]);
    }
    fixture.handler(0x40, 0xf4);
  });

  it('non-maskable interrupts, one at a time', () => {
    for (const vcpu of [fixture.interpreter, fixture.kvm]) {
      fixture.handler(2, 0x40, 0xe6, 0x81, 0xcf); // inc eax; out 81h,al; iretd
      fixture.load(vcpu, [0x31, 0xc0, 0xe6, 0x80, 0x90, 0x90]);
      let raised = 0;
      fixture.onAccess = (text) => {
        // The second one comes while the first is served.
        if (raised === 2 || !text.startsWith('out1 8')) return;
        raised++;
        fixture.nmi = true;
        vcpu.requestExit();
      };
      expect(fixture.run(vcpu)).toBe('end');
      fixture.onAccess = () => {};
      expect(fixture.accesses).toEqual(['out1 80 0', 'out1 81 1', 'out1 81 2']);
    }
    fixture.handler(2, 0xf4);
  });

  it('MSRs: the model\'s values, and #GP for those it has not', () => {
    const found = same([0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32, 0xa3, 0, 0, 2, 0, 0xb9, 0xfe, 0, 0, 0, 0x0f, 0x32]) as { gpr: bigint[]; data: number[] };
    expect([found.data[0], found.gpr[0]]).toEqual([0xfee00900, 0x508n]);
    expect(same([0xb9, 0x99, 0x09, 0, 0, 0x0f, 0x32])).toMatchObject({ end: '#13' });
    expect(same([0xb9, 0xfe, 0, 0, 0, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30])).toMatchObject({ end: '#13' });
  });

  it.skipIf(kvmLacks('cpuid'))('CPUID says the same', () => {
    for (const leaf of [0, 1, 4, 7, 0xd, 0x15, 0x40000000, 0x80000001, 0x80000008]) same([0xb8, ...bytes32(leaf), 0x31, 0xc9, 0x0f, 0xa2]);
  });

  it('address line 20', () => {
    for (const vcpu of [fixture.interpreter, fixture.kvm]) {
      fixture.load(vcpu, [0xc6, 0x05, 0x00, 0x00, 0x32, 0x00, 0x77, 0x8a, 0x1d, 0x00, 0x00, 0x22, 0x00]); // mov byte [320000h],77h; mov bl,[220000h]
      fixture.memory.write(0x220000, Uint8Array.of(0));
      vcpu.setA20(false);
      expect(fixture.run(vcpu)).toBe('end');
      expect(vcpu.registers().gpr[3]! & 0xffn).toBe(0x77n);
      expect(fixture.memory.readU32(0x220000) & 0xff).toBe(0x77);
      vcpu.setA20(true);
    }
  });

  it('a triple fault is a shutdown', () => {
    for (const vcpu of [fixture.interpreter, fixture.kvm]) {
      fixture.load(vcpu, [0x0f, 0x0b], { idtr: { base: 0n, limit: 0 } });
      expect(fixture.run(vcpu)).toBe('shutdown');
    }
  });

  it('a guest that computes for ever gives way when its time is over', () => {
    fixture.load(fixture.kvm, [0xeb, 0xfe]);
    for (let i = 0; i < 3; i++) {
      expect(fixture.kvm.run(1)).toBe('time');
    }
    fixture.kvm.requestExit();
    expect(fixture.kvm.run(1)).toBe('requested');
    expect(fixture.kvm.registers().rip).toBe(BigInt(CODE));
  });
});

function bytes32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
}
