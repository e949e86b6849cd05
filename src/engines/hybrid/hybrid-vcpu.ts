import { PAGE_MASK, PAGE_SIZE } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import { secondsByName } from '../../base/seconds.ts';
import type { TranslationFigures, Vcpu, VcpuExit, VcpuRegisters, VcpuStart } from '../../cpu/vcpu.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import {
  CPL, CR0, CR4, DR7, EFLAGS, EXTRA_HEAT, FAULT_PENDING, LEAVE_SHUTDOWN, LINK_FROM, MODE, MODE_CODE16, MODE_CODE32, MODE_CODE64, MODE_CODE_MASK, MODE_REAL, MODE_V86, MSR_DEBUGCTL, PENDING_DEBUG, RIP, SEGMENTS, SEGMENT_BYTES, SEG_FS, SEG_GS, SEG_LDTR, SEG_SELECTOR, SHADOW,
  USER_ENTERED, USER_ENTRIES, USER_SLOT, USER_STAYS, USER_STAYS_SLOTS, USER_STOPS,
} from '../../isa/x86/state/layout.ts';
import { SHADOW_MEMORY, VCPU_BASE, VCPU_STRIDE } from '../../memory/layout.ts';
import type { InterruptInput } from '../../wiring/interrupt-input.ts';
import type { Interpreter } from '../interpreter/interpreter.ts';
import { Alarm } from '../kvm/alarm.ts';
import type { KvmCapabilities } from '../kvm/capabilities.ts';
import { guestCpuid, knowsHidden } from '../kvm/cpuid-table.ts';
import type { CpuidEntry } from '../kvm/cpuid-table.ts';
import type { KvmHost } from '../kvm/kvm-host.ts';
import { takenByKvm } from '../kvm/kvm-vcpu.ts';
import { DirectVm, directFigures } from './direct-vm.ts';
import type { Interruptions, VisitEnd } from './direct-vm.ts';
import { MeasuringPolicy } from './policy.ts';
import type { VisitPolicy } from './policy.ts';

export interface HybridOptions {
  readonly host: KvmHost;
  readonly capabilities: KvmCapabilities;
  /** The same vCPU on a software engine: it runs the kernel, and user code that is not worth the way into KVM. */
  readonly home: Interpreter;
  readonly memory: WebAssembly.Memory;
  readonly interrupts: InterruptInput;
  /** The guest's clock, for the times that `run` is given. */
  readonly clock: MonotonicClock;
  readonly index: number;
  /** 32-bit code too runs on the processor itself: a KVM without virtualization in hardware may emulate it. */
  readonly direct32: boolean;
  /** Features that guests should not have which are to run here, as words of CPUID_HIDDEN. */
  readonly hidden: readonly number[];
  /** Address of its area for shadow tables; missing: that of the only vCPU. */
  readonly area?: number;
  /** How other threads may end what runs directly; missing: there are none. */
  readonly interruptions?: Interruptions;
  /** Which visits run directly; missing: those that pay. */
  readonly policy?: VisitPolicy;
}

const CR0_PG = 0x80000000n;
const CR4_PKE = 0x400000n;
const FLAG_IF = 0x200;
/** TF, RF, VM: each instruction is to be looked at. IOPL 3: user code may do what only our supervisor may. */
const FLAGS_TRANSLATED = 0x100 | 0x10000 | 0x20000;
const IOPL = 0x3000;
const DEBUGCTL_BTF = 2;
const DR6_SINGLE_STEP = 0x4000;
/** Instructions of user code that are translated before it goes on directly, or a whole slice: as much as the way there costs. */
const TRIAL = 30_000;
/** An execution of the kernel's code behind a visit that the alarm has ended counts as so many more until the code is hot. */
const TICK_HEAT = 15;
const PAUSE = [0xf3, 0x90] as const;
/** Bytes before and behind an instruction in which the rest of a loop that waits is looked for. */
const LOOP = 16;
/** Until it is known better. */
const ENTRY_NS = 30_000;

/** A vCPU whose kernel mode a software engine runs, and whose user mode the host's processor, by KVM, where that pays (ADR 4). */
export class HybridVcpu implements Vcpu {
  readonly stateName = 'vcpu-x86';
  readonly stateVersion = 1;
  readonly #options: HybridOptions;
  readonly #home: Interpreter;
  readonly #block: DataView;
  readonly #alarm: Alarm;
  readonly #policy: VisitPolicy;
  readonly #counts = { instruction: 0, refused: 0, fault: 0, step: 0, time: 0, held: 0 };
  readonly #ns = { direct: 0, translated: 0 };
  readonly #figures = directFigures();
  #vm: DirectVm | undefined;
  #slotsStale = true;
  #exitRequested = false;
  /** The last run ended in the middle of a direct visit, or before one that was to be. */
  #inVisit = false;
  /** User code has been translated for TRIAL instructions or a slice on end, until just now. */
  #longTrial = false;
  #spins = false;

  constructor(options: HybridOptions) {
    this.#options = options;
    this.#home = options.home;
    this.#block = new DataView(options.memory.buffer, VCPU_BASE + options.index * VCPU_STRIDE, USER_STAYS + 2 * USER_STAYS_SLOTS);
    this.#alarm = new Alarm(options.host, options.clock);
    this.#policy = options.policy ?? new MeasuringPolicy(this.#block, ENTRY_NS);
  }

  /** Makes its VM, so that the first visit is as quick as others. */
  begin(): void {
    takenByKvm(() => this.#prepare());
  }

  /** What the guest has been told of its processor. */
  #cpuid(): readonly CpuidEntry[] {
    const { memory, index } = this.#options;
    return guestCpuid(this.#home.runtime, memory, index);
  }

  /** A VM that fits that. */
  #prepare(cpuid = this.#cpuid()): DirectVm {
    if (this.#vm?.fits(cpuid) === true) return this.#vm;
    this.close();
    this.#slotsStale = true;
    return (this.#vm = new DirectVm({ ...this.#options, area: this.#options.area ?? SHADOW_MEMORY, block: this.#block, cpuid, figures: this.#figures }));
  }

  /** Why the guest whose state is in the block cannot run here; undefined: it can. */
  obstacle(): string | undefined {
    return hybridObstacle(this.#cpuid(), this.#options.hidden);
  }

  /** Runs until something must be looked at or guest time is `until()`; what runs directly is not counted. Throws KvmFailure. */
  run(budget: number, until?: () => number): VcpuExit {
    const deadline = this.#alarm.deadline(until);
    this.#block.setUint32(USER_STOPS, 1, true);
    // Between two direct visits it finds its caches cold and runs seldom, but will for ever: its code is worth translating early.
    if (this.#inVisit) this.#block.setUint32(EXTRA_HEAT, TICK_HEAT, true);
    try {
      return takenByKvm(() => this.#run(budget, deadline));
    } finally {
      this.#block.setUint32(USER_STOPS, 0, true);
      this.#block.setUint32(EXTRA_HEAT, 0, true);
    }
  }

  #run(budget: number, deadline: () => number): VcpuExit {
    let direct = this.#inUser() && this.#goesOnDirectly();
    let visited = false;
    this.#spins = true;
    for (let left = budget; ; ) {
      if (direct && !this.#exitRequested && this.#mayRunDirectly()) {
        visited = true;
        this.#spins = false;
        const exit = this.#visit(deadline);
        if (exit !== undefined) return exit;
      }
      const began = this.#options.clock.now();
      const entries = this.#block.getUint32(USER_ENTRIES, true);
      const user = this.#inUser();
      const part = user ? Math.min(left, TRIAL) : left;
      const exit = this.#home.runToUser(part);
      this.#ns.translated += this.#options.clock.now() - began;
      this.#spins &&= this.#home.spins;
      if (exit === 'requested') this.#exitRequested = false;
      this.#longTrial = exit === 'budget' && user && this.#block.getUint32(USER_ENTRIES, true) === entries;
      left -= part;
      if (exit === 'user') left = budget;
      else if (exit !== 'budget') return exit;
      else if (left <= 0) return visited ? 'time' : 'budget';
      direct = exit === 'user' ? !this.#mayWait() : this.#inUser() && this.#goesOnDirectly();
      if (this.#options.clock.now() < deadline()) continue;
      // The next run does what this one has no time for.
      this.#inVisit = direct;
      return 'time';
    }
  }

  #inUser(): boolean {
    return this.#block.getUint32(CPL, true) === 3;
  }

  /** User code was in the middle when the last run ended. */
  #goesOnDirectly(): boolean {
    const inVisit = this.#inVisit;
    this.#inVisit = false;
    if (inVisit) return !this.#mayWait();
    this.#home.runtime.call('enterUser');
    this.#block.setUint32(USER_ENTERED, 0, true);
    return !this.#waits() && this.#policy.goesOn(this.#block.getUint32(USER_SLOT, true), this.#longTrial);
  }

  /**
   * May user code be in a loop that waits for another processor? One that runs directly would have the host's to itself, for nobody counts its PAUSE there:
   * where there is one about, it is translated first.
   */
  #mayWait(): boolean {
    if (this.#options.interruptions === undefined) return false;
    const host = this.#home.runtime.lookAt(this.#block.getBigUint64(RIP, true), true);
    if (host === 0) return false;
    const here = host & PAGE_MASK;
    const code = new Uint8Array(this.#options.memory.buffer, host - here, PAGE_SIZE).subarray(Math.max(0, here - LOOP), here + LOOP);
    return code.some((byte, i) => byte === PAUSE[0] && code[i + 1] === PAUSE[1]);
  }
  /** Has user code that is translated done nothing else, until just now? */
  #waits(): boolean {
    return this.#options.interruptions !== undefined && this.#home.spins;
  }

  /** Can the host's processor do what the guest's would, in the state as it is? */
  #mayRunDirectly(): boolean {
    const block = this.#block;
    const { interrupts, interruptions } = this.#options;
    const flags = block.getUint32(EFLAGS, true);
    const mode = block.getUint32(MODE, true);
    const code = mode & MODE_CODE_MASK;
    if ((mode & (MODE_REAL | MODE_V86)) !== 0 || code === MODE_CODE16 || (code === MODE_CODE32 && !this.#options.direct32)) return false;
    // Where KVM has no virtualization in hardware, bases of such segments get lost.
    if (code === MODE_CODE64 && [SEG_FS, SEG_GS].some((index) => (this.#selector(index) & 0xfffc) !== 0)) return false;
    if ((flags & FLAGS_TRANSLATED) !== 0 || (flags & IOPL) === IOPL) return false;
    if ((block.getBigUint64(CR0, true) & CR0_PG) === 0n || (block.getBigUint64(CR4, true) & CR4_PKE) !== 0n) return false;
    if ((block.getUint32(DR7, true) & 0xff) !== 0 || (block.getUint32(MSR_DEBUGCTL, true) & DEBUGCTL_BTF) !== 0 || (this.#selector(SEG_LDTR) & 0xfffc) !== 0) return false;
    if ([SHADOW, PENDING_DEBUG, FAULT_PENDING].some((offset) => block.getUint32(offset, true) !== 0)) return false;
    if ((flags & FLAG_IF) !== 0 && interrupts.pending()) return false;
    if (!interrupts.takeNmi()) return interruptions?.waiting !== true;
    interrupts.giveBackNmi();
    return false;
  }

  #selector(index: number): number {
    return this.#block.getUint32(SEGMENTS + index * SEGMENT_BYTES + SEG_SELECTOR, true);
  }

  /** One visit to user mode. Undefined: the software engine goes on. */
  #visit(deadline: () => number): VcpuExit | undefined {
    const { clock } = this.#options;
    const slot = this.#block.getUint32(USER_SLOT, true);
    // The next run translates, so that something is executed even if it is always too late.
    if (!this.#alarm.set(deadline())) return 'time';
    const vm = this.#vm ?? this.#prepare();
    if (this.#slotsStale) {
      this.#slotsStale = false;
      vm.updateSlots();
    }
    const { counts, ns } = this.#figures;
    const { guest } = ns;
    const { entries } = counts;
    const began = clock.now();
    const end = vm.visit();
    const took = clock.now() - began;
    this.#ns.direct += took;
    this.#counts[end]++;
    this.#inVisit = end === 'time';
    if (end !== 'held') this.#policy.note(slot, { guestNs: ns.guest - guest, entries: counts.entries - entries, end });
    this.#block.setUint32(LINK_FROM, 0, true);
    return this.#settle(end, deadline);
  }

  #settle(end: VisitEnd, deadline: () => number): VcpuExit | undefined {
    switch (end) {
      case 'time':
        if (this.#exitRequested) return undefined;
        this.#alarm.clear();
        // Another thread may have something that only the caller knows of.
        return this.#options.interruptions !== undefined || this.#options.clock.now() >= deadline() ? 'time' : undefined;
      case 'fault':
        return this.#home.deliverFault() ? 'shutdown' : undefined;
      case 'step':
        return this.#home.runtime.call('deliverTrap', DR6_SINGLE_STEP) === LEAVE_SHUTDOWN ? 'shutdown' : undefined;
      default:
        return undefined;
    }
  }

  reset(): void {
    this.#home.reset();
    this.#vm?.forgetFault();
  }
  start(state: VcpuStart): void {
    this.#home.start(state);
  }
  save(): Plain {
    return this.#home.save();
  }
  load(state: Plain, version: number): void {
    this.#home.load(state, version);
    this.#changed();
  }
  /** As the interpreter has it: legal between two runs, as the following. */
  refresh(): void {
    this.#home.refresh();
    this.#changed();
  }
  #changed(): void {
    this.#inVisit = this.#longTrial = false;
    this.#slotsStale = true;
    this.#alarm.forget();
    const cpuid = this.#cpuid();
    if (hybridObstacle(cpuid, this.#options.hidden) === undefined) this.#prepare(cpuid);
    this.#vm?.forgetFault();
  }
  init(): void {
    this.#home.init();
  }
  startUp(vector: number): void {
    this.#home.startUp(vector);
  }
  wake(): void {
    this.#home.wake();
  }
  leaveProcessor(): void {
    this.#home.leaveProcessor();
  }
  enterProcessor(): void {
    this.#home.enterProcessor();
  }
  addStolenTime(ns: number): void {
    this.#home.addStolenTime(ns);
  }
  heldBack(): boolean {
    return this.#home.heldBack();
  }
  get mayWake(): boolean {
    return this.#home.mayWake;
  }
  /** As the interpreter has it. Of a run that was partly direct nobody knows. */
  get spins(): boolean {
    return this.#spins;
  }
  get blocksNmi(): boolean {
    return this.#home.blocksNmi;
  }
  registers(): VcpuRegisters {
    return this.#home.registers();
  }
  requestExit(): void {
    this.#exitRequested = true;
    this.#home.requestExit();
  }
  setA20(open: boolean): void {
    this.#slotsStale = true;
    this.#home.setA20(open);
  }
  memoryMapChanged(): void {
    this.#slotsStale = true;
    this.#home.memoryMapChanged();
  }
  /** The shadow tables allow no stores to pages that have a flag. */
  logWrites(): void {
    this.#home.logWrites();
  }
  codeWritten(page: number, offset: number, length: number): void {
    this.#home.runtime.call('wroteCopied', page);
    this.#home.codeWritten(page, offset, length);
  }
  dropCode(): void {
    this.#home.dropCode();
  }
  recheckCode(): void {
    this.#home.recheckCode();
  }
  /** Gives back what the host holds for this vCPU; it may run again, on a new VM. */
  close(): void {
    this.#vm?.close();
    this.#vm = undefined;
  }

  readonly countsInstructions = false;
  get halted(): boolean {
    return this.#home.halted;
  }
  /** Those that the software engine has executed. */
  get instructions(): number {
    return this.#home.instructions;
  }
  exitCounts(): Readonly<Record<string, number>> {
    return { ...this.#figures.counts, ...this.#counts, paravirtEoi: this.#home.skippedEois };
  }
  exitSeconds(): Readonly<Record<string, number>> {
    const { guest, shadow } = this.#figures.ns;
    return secondsByName({ guest, shadow, direct: this.#ns.direct - guest - shadow, translated: this.#ns.translated });
  }
  translation(): TranslationFigures | undefined {
    return this.#home.translation();
  }
}

/** Why a guest that has been told so by CPUID cannot run on this engine; undefined: it can. `hidden`: see HybridOptions. */
export function hybridObstacle(cpuid: readonly CpuidEntry[], hidden: readonly number[]): string | undefined {
  if (!knowsHidden(cpuid, hidden)) return undefined;
  return 'the guest has been told of processor features that user code has not on this host (machines that are started with --switchable leave them out)';
}
