import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../base/addresses.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import {
  CR0, CR2, CR4, FAULT_PENDING, MODE, MODE_CODE64, MODE_CODE_MASK, MSR_TSC_AUX, SCRATCH, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_LIMIT, SEG_SELECTOR, SEG_SS, VECTOR_DB, VECTOR_PF, XCR0,
} from '../../isa/x86/state/layout.ts';
import { RAM_BASE, SHADOW_END, SHADOW_PATCHES, SHADOW_PHYSICAL } from '../../memory/layout.ts';
import type { Interpreter } from '../interpreter/interpreter.ts';
import { CONSTANTS as K, IOCTLS, STRUCTS } from '../kvm/abi.ts';
import type { KvmCapabilities } from '../kvm/capabilities.ts';
import type { CpuidEntry } from '../kvm/cpuid-table.ts';
import { KvmFailure } from '../kvm/kvm-vcpu.ts';
import type { KvmHost } from '../kvm/kvm-host.ts';
import { KvmVm } from '../kvm/kvm-vm.ts';
import { LostTraps, isSoftwareTrap } from '../kvm/lost-traps.ts';
import { packRegisters, packSegment, packSegments, unpackRegisters } from '../kvm/registers.ts';
import {
  FRAME_END, GDT_LIMIT, IDT_LIMIT, MONITOR_CODE, MONITOR_CS, MONITOR_DATA, MONITOR_GDT, MONITOR_IDT, MONITOR_PATCHER, MONITOR_SS, MONITOR_STUBS, MONITOR_SYSCALL, MONITOR_TASK,
  MONITOR_TR, MONITOR_TSS, TSS_LIMIT, layOutMonitor, linearOf,
} from './monitor.ts';
import { CodeJudge, UNKNOWN_NEXT } from './code-judge.ts';
import type { Verdict } from './code-judge.ts';
import { Vectors } from './vectors.ts';

/** Where other threads may have something for this vCPU while it executes user code. */
export interface Interruptions {
  /** They have something now. */
  readonly waiting: boolean;
  /** From now on they end KVM_RUN; false: they have something already. */
  admit(): boolean;
  /** They need not. */
  refuse(): void;
}

/** Why user code does not run directly any more; the state is in the block. */
export type VisitEnd =
  /** The instruction at RIP is for another engine: it enters the kernel, asks the processor for something, or is seldom. */
  | 'instruction'
  /** The page of code at RIP is for another engine. */
  | 'refused'
  /** A page fault is pending. */
  | 'fault'
  /** A single step is to be reported. */
  | 'step'
  /** The alarm went off, or another thread wants something. */
  | 'time'
  /** The same, before anything was executed. */
  | 'held';

export interface DirectVmOptions {
  readonly host: KvmHost;
  readonly capabilities: KvmCapabilities;
  readonly home: Interpreter;
  readonly memory: WebAssembly.Memory;
  /** A view of the vCPU's block. */
  readonly block: DataView;
  /** Address of its area for shadow tables. */
  readonly area: number;
  /** Missing: there are no other threads. */
  readonly interruptions?: Interruptions;
  readonly cpuid: readonly CpuidEntry[];
  readonly clock: MonotonicClock;
  readonly figures: DirectFigures;
}

/** Counts since the vCPU was made; nanoseconds in KVM_RUN, and with tables. */
export type DirectFigures = ReturnType<typeof directFigures>;
export function directFigures() {
  return { counts: { visits: 0, entries: 0, fills: 0, patches: 0, resets: 0 }, ns: { guest: 0, shadow: 0 } };
}

const F = STRUCTS.kvm_run.fields;
const S = STRUCTS.kvm_sregs2.fields;
const R = STRUCTS.kvm_regs.fields;
const T = STRUCTS.kvm_dtable.fields;
const SEG = STRUCTS.kvm_segment.fields;
const E = STRUCTS.kvm_vcpu_events.fields;
const REGS = F['s.regs.regs'];
const SREGS = F['s.regs.sregs'];
const EVENTS = F['s.regs.events'];
const ALL = K.KVM_SYNC_X86_REGS | K.KVM_SYNC_X86_SREGS | K.KVM_SYNC_X86_EVENTS;

const FLAG_TF = 0x100;
const FLAG_RF = 0x10000;
const FLAGS = 0x3fffff;
/** PE, MP, ET, NE, WP, PG; EM, TS and AM are the guest's. */
const CR0_OURS = 0x80010033n;
const CR0_GUEST = 0x4000cn;
/** TSD, PAE, UMIP are set whatever the guest says; OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE are its own. Those that KVM knows. */
const CR4_TSD_PAE = 0x24n;
const CR4_OSFXSR_OSXMMEXCPT = 0x600n;
const CR4_UMIP = 0x800n;
const CR4_FSGSBASE = 0x10000n;
const CR4_OSXSAVE = 0x40000n;
/** LME, LMA, NXE; not SCE: SYSCALL is #UD. */
const EFER_OURS = 0xd00n;
/** LSTAR and CSTAR. */
const SYSCALL_TARGETS = [0xc0000082, 0xc0000083] as const;
const MSR_TSC_AUX_INDEX = 0xc0000103;
const ERROR_WRITE = 2n;
const ERROR_FETCH = 16n;
const ACCESS_READ = 0;
const ACCESS_WRITE = 1;
const ACCESS_FETCH = 2;
/** What the runtime's fillShadow answers; ELSEWHERE is what is left. */
const FILL_FAULT = 0;
const FILLED = 1;
const FILL_FULL = 3;
const FILL_SUSPECT = 4;
/** User code may not execute it, and it is one byte: it has room also at the end of a page. */
const HLT = 0xf4;
/** Faults on one address in a row that lead nowhere, until another engine takes the instruction. */
const PATIENCE = 3;
const HAS_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);

/** A VM of KVM whose supervisor is the monitor: it executes the guest's user code, and nothing else. Throws KvmError. */
export class DirectVm {
  readonly #options: DirectVmOptions;
  readonly #vm: KvmVm;
  readonly #view: DataView;
  readonly #block: DataView;
  readonly #run: DataView;
  readonly #runBytes: Uint8Array;
  readonly #regs: DataView;
  readonly #sregs: DataView;
  /** What `#sregs` is to be while user code runs. */
  readonly #wanted = new DataView(new ArrayBuffer(STRUCTS.kvm_sregs.size));
  readonly #wantedBytes = new Uint8Array(this.#wanted.buffer);
  /** The parts of `#wanted` that user code may not leave changed. */
  readonly #fixed = [S.cs, S.ss].map((place) => ({ at: SREGS + place, bytes: this.#wantedBytes.subarray(place, place + STRUCTS.kvm_segment.size) }));
  /** The block's segments, and as they were when `#wanted` was made of them. */
  readonly #segments: Int32Array;
  readonly #segmentsPacked: Int32Array;
  readonly #vectors: Vectors;
  readonly #judge: CodeJudge;
  readonly #lostTraps: LostTraps;
  /** Copies of code pages by the pages' host addresses, and what they were made from. */
  readonly #copies = new Map<number, { readonly verdict: Verdict; readonly copy: number }>();
  /** Bits of CR4 that are always set, and those that are as the guest has them. */
  readonly #cr4: bigint;
  readonly #cr4Guest: bigint;
  #xcr0 = -1n;
  #tscAux = -1n;
  /** KVM may have an exception or an interrupted instruction under way. */
  #dirtyEvents = true;
  #lastFault = -1n;
  #repeated = 0;
  /** CR2 as it was when the last visit began. */
  #raised = 0n;
  #fresh = true;

  constructor(options: DirectVmOptions) {
    this.#options = options;
    const { host, memory, block, capabilities, cpuid, area } = options;
    this.#view = new DataView(memory.buffer);
    this.#block = block;
    this.#vm = new KvmVm(host, memory, capabilities.keptMsrs, cpuid);
    this.#run = this.#vm.run;
    this.#runBytes = new Uint8Array(this.#run.buffer, this.#run.byteOffset);
    this.#regs = this.#part(REGS, STRUCTS.kvm_regs.size);
    this.#sregs = this.#part(SREGS, STRUCTS.kvm_sregs.size);
    this.#segments = new Int32Array(block.buffer, block.byteOffset + SEGMENTS, (8 * SEGMENT_BYTES) / 4);
    this.#segmentsPacked = new Int32Array(this.#segments.length).fill(-1);
    this.#vectors = new Vectors(this.#vm, block, capabilities.xsave);
    this.#judge = new CodeJudge(memory);
    this.#lostTraps = new LostTraps(options.home, block, memory);
    const has = (word: number, bit: number): boolean => ((capabilities.hidden[word]! >>> bit) & 1) === 0;
    this.#cr4 = CR4_TSD_PAE | (has(3, 2) ? CR4_UMIP : 0n);
    this.#cr4Guest = CR4_OSFXSR_OSXMMEXCPT | (has(2, 0) ? CR4_FSGSBASE : 0n) | (has(0, 26) ? CR4_OSXSAVE : 0n);
    layOutMonitor(memory, area);
    this.#prepare();
    this.#reset();
  }

  #part(offset: number, bytes: number): DataView {
    return new DataView(this.#run.buffer, this.#run.byteOffset + offset, bytes);
  }

  #prepare(): void {
    const initial = this.#vm.get(IOCTLS.KVM_GET_SREGS2, STRUCTS.kvm_sregs2.size);
    const wanted = this.#wanted;
    wanted.setBigUint64(S.apic_base, initial.getBigUint64(S.apic_base, true), true);
    wanted.setBigUint64(S.efer, EFER_OURS, true);
    for (const [place, base, limit] of [[S.gdt, MONITOR_GDT, GDT_LIMIT], [S.idt, MONITOR_IDT, IDT_LIMIT]] as const) {
      wanted.setBigUint64(place + T.base, base, true);
      wanted.setUint16(place + T.limit, limit, true);
    }
    this.#vm.setMsrs(SYSCALL_TARGETS.map((index) => [index, MONITOR_SYSCALL]));
  }

  /** Tables begin anew, also in KVM: it knows none of the old ones any more. */
  #reset(): void {
    const { area } = this.#options;
    const slot = { first: SHADOW_PHYSICAL, bytes: SHADOW_END, host: area, readOnly: false };
    if (!this.#fresh) this.#vm.slots.setOwn({ ...slot, bytes: 0 });
    this.#fresh = false;
    this.#options.figures.counts.resets++;
    this.#options.home.runtime.call('resetShadows', area);
    this.#copies.clear();
    this.#vm.slots.setOwn(slot);
  }

  /** See KvmVm. */
  fits(cpuid: readonly CpuidEntry[]): boolean {
    return this.#vm.fits(cpuid);
  }
  /** The same. */
  updateSlots(): void {
    this.#vm.updateSlots(this.#block);
  }

  /** Runs the user code whose state is in the block until something is for another engine, or the alarm goes off. */
  visit(): VisitEnd {
    this.#options.figures.counts.visits++;
    const { home } = this.#options;
    this.#vectors.push();
    this.#pushControl();
    packRegisters(this.#block, home.runtime.call('readFlags'), this.#regs);
    this.#runBytes.set(this.#wantedBytes, SREGS);
    this.#lastFault = -1n;
    this.#fillRaised();
    for (;;) {
      if (!this.#prepareEntry()) return this.#heldBack();
      if (!this.#enter()) return this.#interrupted();
      const end = this.#arrived(Number(this.#regs.getBigUint64(R.rip, true) - MONITOR_STUBS) - 1);
      if (end !== undefined) return end;
    }
  }

  /** The state in the block is another one: what has faulted there is no matter. */
  forgetFault(): void {
    this.#raised = this.#block.getBigUint64(CR2, true);
  }

  /** What the guest's kernel has mapped because of its last page fault is about to be used, so that it need not fault once more. */
  #fillRaised(): void {
    const block = this.#block;
    const address = block.getBigUint64(CR2, true);
    if (address === this.#raised) return;
    this.#raised = address;
    // As if it was read: what marks a page as dirty is the store itself.
    this.#fill(address, ACCESS_READ);
    block.setUint32(FAULT_PENDING, 0, true);
  }

  /** What KVM has to know of control registers and segments. */
  #pushControl(): void {
    const block = this.#block;
    const wanted = this.#wanted;
    if (this.#segments.some((word, i) => word !== this.#segmentsPacked[i])) {
      this.#segmentsPacked.set(this.#segments);
      packSegments(block, wanted);
      packSegment(wanted, S.tr, MONITOR_TSS, TSS_LIMIT, MONITOR_TR, MONITOR_TASK);
    }
    wanted.setBigUint64(S.cr0, CR0_OURS | (block.getBigUint64(CR0, true) & CR0_GUEST), true);
    wanted.setBigUint64(S.cr4, this.#cr4 | (block.getBigUint64(CR4, true) & this.#cr4Guest), true);
    const xcr0 = block.getBigUint64(XCR0, true);
    if (xcr0 !== this.#xcr0 && (this.#cr4Guest & CR4_OSXSAVE) !== 0n) this.#vm.setXcr0((this.#xcr0 = xcr0));
    const aux = block.getBigUint64(MSR_TSC_AUX, true);
    if (aux !== this.#tscAux) this.#vm.setMsrs([[MSR_TSC_AUX_INDEX, (this.#tscAux = aux)]]);
  }

  /** What KVM knows of tables is brought up to date; false: another thread wants something first. */
  #prepareEntry(): boolean {
    const { home, interruptions } = this.#options;
    if (interruptions !== undefined) home.runtime.call('takeShadowPosts');
    let root = home.runtime.call('shadowRoot');
    if (root === 0) {
      this.#reset();
      root = home.runtime.call('shadowRoot');
    }
    this.#wanted.setBigUint64(S.cr3, BigInt(SHADOW_PHYSICAL) + BigInt(root), true);
    const patches = home.runtime.call('takeShadowPatches');
    if (patches > 0) this.#patch(patches);
    // The rest of the system registers is as user code has left it: it may load data segments and their bases.
    for (const { at, bytes } of this.#fixed) this.#runBytes.set(bytes, at);
    this.#sregs.setBigUint64(S.cr3, this.#wanted.getBigUint64(S.cr3, true), true);
    if (interruptions === undefined || interruptions.admit()) return true;
    interruptions.refuse();
    return false;
  }

  /** The registers in `#regs` are those of user code. */
  #heldBack(): VisitEnd {
    this.#pull(this.#selector(S.cs), this.#selector(S.ss));
    return 'held';
  }

  /** Enters user mode with the registers in `#regs`; false: it was interrupted. */
  #enter(): boolean {
    const { clock, figures, interruptions } = this.#options;
    figures.counts.entries++;
    const began = clock.now();
    try {
      return this.#runOnce(ALL);
    } finally {
      interruptions?.refuse();
      figures.ns.guest += clock.now() - began;
    }
  }

  /** False when it was interrupted. */
  #runOnce(valid: number): boolean {
    const run = this.#run;
    run.setBigUint64(F.kvm_valid_regs, BigInt(valid), true);
    if (this.#dirtyEvents) this.#runBytes.fill(0, EVENTS, EVENTS + STRUCTS.kvm_vcpu_events.size);
    run.setBigUint64(F.kvm_dirty_regs, BigInt(K.KVM_SYNC_X86_REGS | K.KVM_SYNC_X86_SREGS | (this.#dirtyEvents ? K.KVM_SYNC_X86_EVENTS : 0)), true);
    this.#dirtyEvents = false;
    const { host } = this.#options;
    const error = host.runVcpu(this.#vm.vcpu);
    if (error === host.interrupted) {
      this.#dirtyEvents = true;
      return false;
    }
    if (error !== 0) throw new KvmFailure(`KVM_RUN failed with error ${error} in user code`);
    const reason = run.getUint32(F.exit_reason, true);
    if (reason === K.KVM_EXIT_HLT) return true;
    // What KVM cannot emulate, or an access that goes to no memory: as if interrupted before it.
    this.#dirtyEvents = true;
    if (reason === K.KVM_EXIT_INTERNAL_ERROR && run.getUint32(F['internal.suberror'], true) === K.KVM_INTERNAL_ERROR_EMULATION && this.#atUser()) return false;
    throw new KvmFailure(`KVM left user code for reason ${reason}`);
  }

  #atUser(): boolean {
    return (this.#selector(S.cs) & 3) === 3;
  }
  #selector(place: number): number {
    return this.#sregs.getUint16(place + SEG.selector, true);
  }

  /** KVM may know table entries as they were: the monitor in the VM writes and invalidates them. */
  #patch(count: number): void {
    this.#options.figures.counts.patches += count;
    const began = this.#options.clock.now();
    const regs = this.#regs;
    const user = this.#runBytes.slice(REGS, SREGS + STRUCTS.kvm_sregs.size);
    this.#sregs.setBigUint64(S.cr3, this.#wanted.getBigUint64(S.cr3, true), true);
    packSegment(this.#sregs, S.cs, 0n, 0xffffffff, MONITOR_CS, MONITOR_CODE);
    packSegment(this.#sregs, S.ss, 0n, 0xffffffff, MONITOR_SS, MONITOR_DATA);
    regs.setBigUint64(R.rip, MONITOR_PATCHER, true);
    regs.setBigUint64(R.rsi, linearOf(SHADOW_PATCHES), true);
    regs.setBigUint64(R.rcx, BigInt(count), true);
    regs.setBigUint64(R.rflags, 2n, true);
    // An alarm in the middle leaves all registers as they are for the next attempt.
    let alarm = false;
    while (!this.#runOnce(ALL)) {
      alarm = true;
      this.#options.host.clearAlarm();
    }
    if (alarm) this.#options.host.setAlarm(1);
    this.#runBytes.set(user, REGS);
    this.#options.figures.ns.shadow += this.#options.clock.now() - began;
  }

  /** The stub of a vector has been reached. Undefined: user code goes on. */
  #arrived(vector: number): VisitEnd | undefined {
    const error = HAS_ERROR.has(vector);
    const frame = this.#options.area + FRAME_END - 40;
    if (!(vector >= 0 && vector < 256)) throw new KvmFailure(`user code has left to no stub (${vector})`);
    const word = (index: number): bigint => this.#view.getBigUint64(frame + 8 * index, true);
    const regs = this.#regs;
    let rip = word(0);
    let flags = word(2);
    if (vector === VECTOR_PF && rip === MONITOR_SYSCALL) {
      // SYSCALL has happened: RCX and R11 are as it leaves them, so that doing it again changes nothing.
      rip = regs.getBigUint64(R.rcx, true) - 2n;
      flags = regs.getBigUint64(R.r11, true);
    } else if (isSoftwareTrap(vector)) {
      rip = this.#lostTraps.before(rip);
      // KVM goes on naming its vector.
      this.#dirtyEvents = true;
    }
    regs.setBigUint64(R.rip, BigInt.asUintN(64, rip), true);
    regs.setBigUint64(R.rflags, flags & ~BigInt(FLAG_RF), true);
    regs.setBigUint64(R.rsp, word(3), true);
    if (vector === VECTOR_PF && rip !== MONITOR_SYSCALL && word(0) !== MONITOR_SYSCALL) {
      const end = this.#pageFault(error ? this.#view.getBigUint64(frame - 8, true) : 0n);
      if (end === undefined) return undefined;
      this.#pull(Number(word(1)), Number(word(4)));
      return end;
    }
    this.#pull(Number(word(1)), Number(word(4)));
    return vector === VECTOR_DB && (Number(flags) & FLAG_TF) !== 0 ? 'step' : 'instruction';
  }

  /** `error`: what the processor said of the access. */
  #pageFault(error: bigint): VisitEnd | undefined {
    const began = this.#options.clock.now();
    const address = this.#sregs.getBigUint64(S.cr2, true);
    this.#repeated = address === this.#lastFault ? this.#repeated + 1 : 0;
    this.#lastFault = address;
    if (this.#repeated > PATIENCE) return 'instruction';
    const access = (error & ERROR_WRITE) !== 0n ? ACCESS_WRITE : (error & ERROR_FETCH) !== 0n ? ACCESS_FETCH : ACCESS_READ;
    const filled = this.#fill(address, access);
    this.#options.figures.ns.shadow += this.#options.clock.now() - began;
    if (filled === FILL_FAULT) return 'fault';
    if (filled !== FILLED) return access === ACCESS_FETCH ? 'refused' : 'instruction';
    this.#options.figures.counts.fills++;
    return undefined;
  }

  #fill(address: bigint, access: number): number {
    const { runtime } = this.#options.home;
    for (let trusted = 0, copy = 0; ; ) {
      this.#block.setBigUint64(SCRATCH, address, true);
      const filled = runtime.call('fillShadow', access, trusted, copy);
      if (filled === FILL_FULL) {
        this.#reset();
        copy = 0;
      } else if (filled !== FILL_SUSPECT) return filled;
      else {
        const host = this.#block.getUint32(SCRATCH, true);
        const verdict = this.#judge.judge(host, (this.#block.getUint32(MODE, true) & MODE_CODE_MASK) === MODE_CODE64, this.#nextOf(host, address));
        trusted = 1;
        if (verdict.places.length > 0) copy = this.#copyOf(host, verdict);
      }
    }
  }

  /** What CodeJudge has to know of the bytes behind a page of code, which lies at a host address. */
  #nextOf(host: number, linear: bigint): number {
    const bytes = this.#view;
    const last = bytes.getUint8(host + PAGE_SIZE - 1);
    if (last !== 0x0f && bytes.getUint8(host + PAGE_SIZE - 2) !== 0x0f) return 0;
    const next = (linear | BigInt(PAGE_MASK)) + 1n;
    const byte = this.#lostTraps.codeByte(next);
    return byte === -1 ? UNKNOWN_NEXT : byte | (this.#lostTraps.codeByte(next + 1n) << 8);
  }

  /** Offset in the area of a copy of a page with HLT in some places: what stands there is for another engine. */
  #copyOf(host: number, verdict: Verdict): number {
    const { home, area } = this.#options;
    const { runtime } = home;
    home.pageCopied((host - RAM_BASE) >>> PAGE_SHIFT);
    const known = this.#copies.get(host);
    let copy = known?.verdict === verdict ? known.copy : 0;
    if (copy === 0) {
      copy = runtime.call('newShadowPage');
      if (copy === 0) {
        this.#reset();
        copy = runtime.call('newShadowPage');
      }
      this.#copies.set(host, { verdict, copy });
      const bytes = new Uint8Array(this.#view.buffer);
      bytes.copyWithin(area + copy, host, host + PAGE_SIZE);
      for (const place of verdict.places) bytes[area + copy + place] = HLT;
    }
    return copy;
  }

  /** The alarm went off: in user code, or already on the way to a stub. */
  #interrupted(): VisitEnd {
    const regs = this.#regs;
    if (!this.#atUser()) return this.#arrived(Number(regs.getBigUint64(R.rip, true) - MONITOR_STUBS)) ?? 'time';
    const events = this.#part(EVENTS, STRUCTS.kvm_vcpu_events.size);
    const caught = events.getUint8(E['exception.injected']) !== 0 || events.getUint8(E['exception.pending']) !== 0;
    const vector = events.getUint8(E['exception.nr']);
    let rip = regs.getBigUint64(R.rip, true);
    // Nothing but a trap is lost when it is forgotten. KVM says of these by their vector alone that they wait.
    if (isSoftwareTrap(vector)) rip = this.#lostTraps.before(rip);
    if (rip === MONITOR_SYSCALL) rip = regs.getBigUint64(R.rcx, true) - 2n;
    regs.setBigUint64(R.rip, rip, true);
    regs.setBigUint64(R.rflags, regs.getBigUint64(R.rflags, true) & ~BigInt(FLAG_RF), true);
    this.#pull(this.#selector(S.cs), this.#selector(S.ss));
    return caught && vector === VECTOR_DB && (regs.getUint32(R.rflags, true) & FLAG_TF) !== 0 ? 'step' : 'time';
  }

  /** Registers into the block; selectors of CS and SS as user code had them. */
  #pull(cs: number, ss: number): void {
    const { runtime } = this.#options.home;
    const flags = unpackRegisters(this.#regs, this.#block);
    runtime.call('writeFlags', flags, FLAGS);
    for (const [index, place] of DATA_SEGMENTS) this.#pullSegment(index, place);
    for (const [index, selector] of [[SEG_CS, cs], [SEG_SS, ss]] as const) {
      // On a KVM that shows user code the host's descriptors it may have changed to another of them.
      if (selector !== this.#block.getUint32(SEGMENTS + index * SEGMENT_BYTES + SEG_SELECTOR, true)) throw new KvmFailure('user code has changed its code or stack segment by a far transfer');
    }
    this.#vectors.pull();
  }

  #pullSegment(index: number, place: number): void {
    const block = this.#block;
    const sregs = this.#sregs;
    const at = SEGMENTS + index * SEGMENT_BYTES;
    const base = sregs.getBigUint64(place + SEG.base, true);
    const selector = sregs.getUint16(place + SEG.selector, true);
    const same = selector === block.getUint32(at + SEG_SELECTOR, true);
    if (same && base === block.getBigUint64(at + SEG_BASE, true)) return;
    block.setBigUint64(at + SEG_BASE, base, true);
    if (same) return;
    block.setUint32(at + SEG_SELECTOR, selector, true);
    block.setUint32(at + SEG_LIMIT, sregs.getUint32(place + SEG.limit, true), true);
    this.#options.home.runtime.call('updateSegmentCache', index);
  }

  close(): void {
    this.#options.home.runtime.call('resetShadows', 0);
    this.#vm.close();
  }
}

const DATA_SEGMENTS = [[SEG_ES, S.es], [SEG_DS, S.ds], [SEG_FS, S.fs], [SEG_GS, S.gs]] as const;
