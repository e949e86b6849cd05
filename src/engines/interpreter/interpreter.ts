import { StateError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import type { SegmentState, TranslationFigures, Vcpu, VcpuExit, VcpuRegisters, VcpuStart } from '../../cpu/vcpu.ts';
import type { Log } from '../../host/log.ts';
import type { InterruptInput } from '../../wiring/interrupt-input.ts';
import type { SystemBus } from '../../wiring/system-bus.ts';
import {
  APIC_ID, BUDGET, BUDGET_START, COUNT_CODE_INVALIDATIONS, COUNT_EXCEPTIONS, COUNT_INTERRUPTS, COUNT_TLB_MISSES, CPL, CORE_THREADS, CPUID_HIDDEN, CR0, CR3, CR4, DR, DR7, EFER, EFLAGS,
  EVENTS, FAULT_ADDRESS, FAULT_ERROR, FAULT_HAS_ERROR, FAULT_PENDING, FAULT_VECTOR, FLAGS_KIND, GDTR_BASE, GDTR_LIMIT, GPR, HALTED, IDTR_BASE, IDTR_LIMIT, INSTRUCTIONS, IP_BASE, LEAVE_BUDGET, LEAVE_FAULT, LEAVE_HALT, LEAVE_HOT, LEAVE_JUMP, LEAVE_MISSED, LEAVE_NEXT,
  LEAVE_RESUME, LEAVE_SHUTDOWN, LEAVE_STALE, LINK_FROM, MODE, MODE_CODE64, MODE_CODE_MASK, MSR_DEBUGCTL, MSR_STAR, PENDING_DEBUG, PHYSICAL_MASK, RECORD, RIP, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_BASE, SEG_CS, SEG_LIMIT, SEG_SELECTOR, SEG_SS,
  NMI_BLOCKED, PAUSES, PARAVIRT, PARAVIRT_END, PARAVIRT_EOI_COUNT, PARAVIRT_EOI_MSR, PARAVIRT_SYSTEM_TIME_MSR, PDPTES_LOADED, RF_TAKEN, SHADOW, STATE_BYTES, STEP, STEP_AS_TF_IS, STEP_TRAPS, STI_DONE, STI_NEXT, USER_ENTERED, VECTOR_DB, VECTOR_PF, WAIT_SIPI, X87,
} from '../../isa/x86/state/layout.ts';
import { VCPU_BASE, VCPU_STRIDE } from '../../memory/layout.ts';
import { REC_COUNT, REC_HANDLER, REC_LENGTH, REC_PAGE_OFFSET } from '../../isa/x86/decode/record.ts';
import { ENDS_BLOCK } from '../modules.ts';
import type { EngineModules, HandlerMap } from '../modules.ts';
import { instantiateRuntime } from '../runtime-module.ts';
import type { HostFunctions, Hypercalls, Runtime } from '../runtime-module.ts';
import { SEGMENT_NAMES, registersOf } from '../vcpu-registers.ts';
import type { Profiler } from '../profile/profiler.ts';
import { FIRST_CODE_AREA } from './code-area.ts';
import type { CodeArea } from './code-area.ts';
import { CodeCache } from './code-cache.ts';
import { CodeOwners } from './code-owners.ts';
import type { Tier } from './code-cache.ts';
import { warmUp } from './warm-up.ts';

export interface InterpreterOptions {
  readonly modules: EngineModules;
  /** The machine's linear memory, laid out as memory/layout.ts says. */
  readonly memory: WebAssembly.Memory;
  readonly bus: SystemBus;
  readonly interrupts: InterruptInput;
  /** The time stamp counter before the guest's own offset, in ticks. */
  readonly hostTsc: () => number;
  readonly random32: () => number;
  /** For the paravirtual interface: the time of day when the guest's clock was zero, in microseconds since 1970; calls for other processors. */
  readonly bootTime?: (() => number) | undefined;
  readonly hypercall?: Hypercalls | undefined;
  /** FERR# changes while CR0.NE is clear; returns whether IGNNE# is asserted. Missing: x87 errors are #MF always. */
  readonly numericError?: ((pending: boolean) => boolean) | undefined;
  /** Number of this vCPU, 0 to 63: decides where its block lies. */
  readonly index: number;
  /** Of its local APIC, if it is not the same. */
  readonly apicId?: number;
  /** How many vCPUs the machine has; missing: this one. */
  readonly vcpus?: number;
  /** Where its decoded code lies; missing: where that of the only one does. */
  readonly codeArea?: CodeArea;
  /** The block holds a state already: it is not reset. `refresh` is due before the first run. */
  readonly adopts?: boolean;
  /** Bytes of a page with decoded code of other vCPUs were written. */
  readonly codeWritten?: (page: number, offset: number, length: number) => void;
  /** Another vCPU has to look at what was posted to it before it goes on, wherever it is. */
  readonly interruptVcpu?: (index: number) => void;
  /** Asked for kind 'exception'. */
  readonly log?: Log;
  readonly profiler?: Profiler | undefined;
  /** Makes the second tier of this vCPU. */
  readonly tier?: (core: InterpreterCore) => Tier;
}

/** What a second tier builds on. */
export interface InterpreterCore {
  readonly memory: WebAssembly.Memory;
  /** Address of the vCPU's block. */
  readonly cpu: number;
  readonly runtime: Runtime;
  readonly handlers: HandlerMap;
  /** The handlers' table, by REC_HANDLER; and the interpreter's functions. */
  readonly table: WebAssembly.Table;
  readonly functions: Record<string, WebAssembly.ExportedFunction>;
  cache(): CodeCache;
}

const FLAG_TF = 0x100;
const FLAG_IF = 0x200;
const FLAG_RF = 0x10000;
const DR6_SINGLE_STEP = 0x4000;
/** TF traps behind branches alone. */
const DEBUGCTL_BTF = 2n;
const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, ...Array.from({ length: 16 }, (_, i) => 0x40 + i)]);
/** What INIT does not change (SDM 3A, table 10-1): from, to. MSRs, the x87 and vector registers, what the host knows of the processor. */
const KEPT_OVER_INIT = [[MSR_STAR, FAULT_PENDING], [COUNT_EXCEPTIONS, STEP], [PHYSICAL_MASK, APIC_ID], [X87, CPUID_HIDDEN], [PARAVIRT_SYSTEM_TIME_MSR, PARAVIRT_END]] as const;
const CR0_CACHING = 0x60000000n;
/** INS, OUTS, MOVS, CMPS, STOS, LODS, SCAS. */
const STRINGS = new Set([0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf]);

/** A loop that waits has one PAUSE in at most so many instructions. */
const SPIN_INSTRUCTIONS = 8;

/** A vCPU on the interpreter. */
export function createInterpreter(options: InterpreterOptions): Interpreter {
  return new Interpreter(options);
}

export class Interpreter implements Vcpu {
  readonly stateName = 'vcpu-x86';
  readonly stateVersion = 1;
  readonly #cpu: number;
  readonly #view: DataView;
  readonly #handlers: HandlerMap;
  readonly #bytes: Uint8Array;
  readonly #runtime: Runtime;
  readonly #enter: (cpu: number, record: number) => number;
  readonly #interpret: (cpu: number, record: number) => number;
  readonly #resume: (cpu: number) => number;
  readonly #interrupts: InterruptInput;
  readonly #owners: CodeOwners;
  readonly #cache: CodeCache;
  readonly #tier: Tier | undefined;
  readonly #counts = { port: 0, mmio: 0, halt: 0, budget: 0 };
  readonly #log: Log | undefined;
  readonly #profiler: Profiler | undefined;
  #exitRequested = false;
  #spins = false;

  constructor(options: InterpreterOptions) {
    this.#cpu = VCPU_BASE + options.index * VCPU_STRIDE;
    this.#view = new DataView(options.memory.buffer);
    this.#bytes = new Uint8Array(options.memory.buffer);
    this.#interrupts = options.interrupts;
    this.#log = options.log;
    this.#profiler = options.profiler;
    this.#handlers = options.modules.handlers;
    const counts = this.#counts;
    const { bus, interrupts } = options;
    const host: HostFunctions = {
      readPort: (port, size) => {
        counts.port++;
        return bus.readPort(port, size);
      },
      writePort: (port, size, value) => {
        counts.port++;
        bus.writePort(port, size, value >>> 0);
      },
      readMmio: (address, size) => {
        counts.mmio++;
        return bus.readMmio(address, size);
      },
      writeMmio: (address, size, value) => {
        counts.mmio++;
        bus.writeMmio(address, size, value >>> 0);
      },
      codeWritten: (page, offset, length) => {
        this.#cache.written(page, offset, length);
        options.codeWritten?.(page, offset, length);
      },
      hostTsc: options.hostTsc,
      random32: options.random32,
      numericError: options.numericError,
      bootTime: options.bootTime,
      hypercall: options.hypercall,
      interruptPending: () => (interrupts.pending() ? 1 : 0),
      acknowledgeInterrupt: () => interrupts.acknowledge(),
      takeNmi: () => (interrupts.takeNmi() ? 1 : 0),
      readTaskPriority: () => interrupts.readTaskPriority(),
      writeTaskPriority: (value) => interrupts.writeTaskPriority(value),
      readApicMsr: (index) => interrupts.readMsr(index >>> 0),
      writeApicMsr: (index, value) => interrupts.writeMsr(index >>> 0, value),
    };
    this.#runtime = instantiateRuntime(options.modules.runtime, options.memory, this.#cpu, host);
    const instance = new WebAssembly.Instance(options.modules.interpreter, { env: { memory: options.memory }, runtime: this.#runtime.functions });
    this.#enter = instance.exports['enter'] as (cpu: number, record: number) => number;
    this.#interpret = instance.exports['interpret'] as (cpu: number, record: number) => number;
    this.#resume = instance.exports['resume'] as (cpu: number) => number;
    this.#tier = options.tier?.({
      memory: options.memory, cpu: this.#cpu, runtime: this.#runtime, handlers: options.modules.handlers, table: instance.exports['table'] as WebAssembly.Table,
      functions: Object.fromEntries(Object.entries(instance.exports).filter(([, value]) => typeof value === 'function')) as Record<string, WebAssembly.ExportedFunction>, cache: () => this.#cache,
    });
    this.#owners = new CodeOwners(options.memory, options.index, options.vcpus ?? 1, this.#runtime, options.interruptVcpu ?? (() => {}));
    this.#cache = new CodeCache(options.memory, this.#cpu, this.#runtime, options.modules.handlers, options.codeArea ?? FIRST_CODE_AREA, this.#owners, this.#tier);
    this.#view.setUint32(this.#cpu + APIC_ID, options.apicId ?? options.index, true);
    if (options.adopts === true) return;
    warmUp(options.modules, this.#view, this.#cpu, this.#cache.scratch, this.#enter);
    this.reset();
  }

  reset(): void {
    const apicId = this.#u32(APIC_ID);
    const retired = this.instructions;
    // What the machine's configuration put there stays.
    const identity = this.#bytes.slice(this.#cpu + CPUID_HIDDEN, this.#cpu + CORE_THREADS + 4);
    this.#bytes.fill(0, this.#cpu, this.#cpu + STATE_BYTES);
    this.#bytes.set(identity, this.#cpu + CPUID_HIDDEN);
    this.#setU32(APIC_ID, apicId);
    this.#view.setBigUint64(this.#cpu + INSTRUCTIONS, BigInt(retired), true);
    this.#runtime.call('resetVcpu');
    this.#cache.clear();
    if (apicId !== 0) this.#setU32(WAIT_SIPI, 1);
  }

  /** INIT: as `reset`, less what it leaves alone. A processor other than the first then waits for `startUp`. Legal between two runs. */
  init(): void {
    const kept = KEPT_OVER_INIT.map(([first, end]) => ({ first, bytes: this.#bytes.slice(this.#cpu + first, this.#cpu + end) }));
    const caching = this.#u64(CR0) & CR0_CACHING;
    this.reset();
    for (const { first, bytes } of kept) this.#bytes.set(bytes, this.#cpu + first);
    this.#setU64(CR0, (this.#u64(CR0) & ~CR0_CACHING) | caching);
    this.refresh();
  }
  /** A start-up message (SDM 3A, 9.4.3): the processor that waits for one begins at page `vector` of the first MiB. */
  startUp(vector: number): void {
    if (this.#u32(WAIT_SIPI) === 0) return;
    this.#setU32(WAIT_SIPI, 0);
    this.start({ rip: 0n, segments: { cs: { selector: vector << 8, base: BigInt(vector << 12), limit: 0xffff, attributes: 0x9b } } });
  }

  start(state: VcpuStart): void {
    const names = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const;
    names.forEach((name, i) => {
      const value = state.gpr?.[name];
      if (value !== undefined) this.#setU64(GPR + i * 8, value);
    });
    for (const [value, offset] of [[state.cr0, CR0], [state.cr3, CR3], [state.cr4, CR4], [state.efer, EFER]] as const) {
      if (value !== undefined) this.#setU64(offset, value);
    }
    if (state.gdtr !== undefined) {
      this.#setU64(GDTR_BASE, state.gdtr.base);
      this.#setU32(GDTR_LIMIT, state.gdtr.limit);
    }
    if (state.idtr !== undefined) {
      this.#setU64(IDTR_BASE, state.idtr.base);
      this.#setU32(IDTR_LIMIT, state.idtr.limit);
    }
    SEGMENT_NAMES.forEach((name, i) => {
      const segment = state.segments?.[name];
      if (segment !== undefined) this.#setSegment(i, segment);
    });
    this.#setU32(PDPTES_LOADED, 0);
    if (state.rflags !== undefined) this.#runtime.call('writeFlags', Number(state.rflags & 0x3fffffn), 0x3fffff);
    this.#setU64(RIP, state.rip);
    this.#setU32(CPL, (this.#u32(SEGMENTS + SEG_SS * SEGMENT_BYTES + SEG_ATTRIBUTES) >> 5) & 3);
    this.refresh();
  }

  /** Recomputes everything that is derived from architectural state, which has changed in the block. Legal between two runs. */
  refresh(): void {
    this.#refreshDerived();
    this.#runtime.call('flushTlb');
    this.#cache.clear();
  }
  #refreshDerived(): void {
    this.#runtime.call('updateSegmentCaches');
    this.#runtime.call('updateMode');
    this.#runtime.call('updateTlbBase');
  }

  run(budget: number): VcpuExit {
    const exit = this.runToUser(budget);
    if (exit === 'user') throw new Error('nobody has asked to leave for user mode');
    return exit;
  }

  /** As `run`; with USER_STOPS set also returns `user` before user mode goes on, where `enterUser` says so. */
  runToUser(budget: number): VcpuExit | 'user' {
    this.#setU32(BUDGET, budget);
    this.#setU32(BUDGET_START, budget);
    this.#setU32(PAUSES, 0);
    const began = this.#profiler?.clock.now();
    const exit = this.#loop();
    this.#interrupts.settleEoi?.();
    if (began !== undefined) this.#profiler!.sample(this.#u64(RIP), this.#u32(CPL) === 3, this.#profiler!.clock.now() - began);
    this.#spins = SPIN_INSTRUCTIONS * this.#u32(PAUSES) > this.#executed;
    this.#tier?.translate();
    this.#view.setBigUint64(this.#cpu + INSTRUCTIONS, BigInt(this.instructions), true);
    this.#setU32(BUDGET_START, 0);
    this.#setU32(BUDGET, 0);
    return exit;
  }

  /**
   * Executes one instruction, a part of a repeated one, or what leads to the handler of an exception that it raises. Events
   * wait: `takeEvent`. Legal between two calls of `run`, as all below.
   */
  step(): VcpuExit {
    this.#setU32(BUDGET, 0);
    this.#setU32(BUDGET_START, 0);
    const exit = this.#loop(true) as VcpuExit;
    this.#view.setBigUint64(this.#cpu + INSTRUCTIONS, BigInt(this.instructions), true);
    this.#setU32(BUDGET_START, 0);
    this.#setU32(BUDGET, 0);
    return exit;
  }
  /** Delivers the interrupt or NMI that waits, when the guest can take one. */
  takeEvent(): 'none' | 'delivered' | 'shutdown' {
    this.#setU32(LINK_FROM, 0);
    return this.#takeEvents();
  }
  get translates(): boolean {
    return this.#tier !== undefined;
  }
  /** Exceptions delivered since reset. */
  get exceptions(): number {
    return this.#count64(COUNT_EXCEPTIONS);
  }
  /** The architectural state as it lies in memory (isa/x86/state/layout.ts): a copy. */
  get state(): Uint8Array {
    return this.#bytes.slice(this.#cpu, this.#cpu + STATE_BYTES);
  }
  /**
   * Takes over a state of this vCPU or its twin; what is decoded stays, RAM is as it was then. `sameTables`: the TLB holds what
   * was found from this state on, and stays.
   */
  restore(state: Uint8Array, sameTables = false): void {
    this.#bytes.set(state, this.#cpu);
    for (const derived of [RECORD, LINK_FROM]) this.#setU32(derived, 0);
    this.#refreshDerived();
    this.#runtime.call(sameTables ? 'flushJumpCaches' : 'flushTlb');
  }
  /** The bytes from RIP on, up to an instruction's length, as far as they lie in its page; undefined where it cannot be fetched. */
  codeAhead(): Uint8Array | undefined {
    const host = this.#runtime.call('fetchBlock') >>> 0;
    this.#setU32(FAULT_PENDING, 0);
    return host === 0 ? undefined : this.#bytes.slice(host, Math.min(host + 15, (host | 0xfff) + 1));
  }

  /** `once`: see `step`. */
  #loop(once = false): VcpuExit | 'user' {
    const cpu = this.#cpu;
    const view = this.#view;
    /** The block at RIP has to be found or decoded: the jump cache has none, or one that is no longer true. */
    let lost = false;
    /** Whatever a region may do with the block at RIP: it has left here because it could not. */
    let missed = false;
    // What resumes delivers faults without a word.
    const tracing = this.#log?.tracing('exception') === true;
    for (let first = true; ; first = false) {
      if (this.#u32(STI_DONE) !== 0) this.#shadeBehindSti();
      if (this.#u32(RF_TAKEN) !== 0) this.#runtime.call('giveResumeFlagBack');
      if (once && !first) return 'budget';
      if (this.#exitRequested && !once) {
        this.#exitRequested = false;
        return 'requested';
      }
      let single = false;
      // Debug exceptions wait behind MOV SS and POP SS, as interrupts do (SDM 3A, 6.8.3).
      const behindStackLoad = this.#u32(SHADOW) === 2;
      let link = this.#u32(LINK_FROM);
      this.#setU32(LINK_FROM, 0);
      if (this.#u32(SHADOW) !== 0) {
        this.#setU32(SHADOW, 0);
        single = true;
      } else {
        const taken = once || this.#u32(WAIT_SIPI) !== 0 ? 'none' : this.#takeEvents();
        if (taken === 'shutdown') return 'shutdown';
        if (taken === 'delivered') link = 0;
        if (this.#u32(HALTED) !== 0 || this.#u32(WAIT_SIPI) !== 0) {
          this.#counts.halt++;
          return 'halt';
        }
        if (this.#u32(USER_ENTERED) !== 0) {
          this.#setU32(USER_ENTERED, 0);
          if (this.#u32(CPL) === 3 && !once) return 'user';
        }
      }
      this.#setU32(EVENTS, 0);
      const flags = this.#u32(EFLAGS);
      const trap = (flags & FLAG_TF) !== 0;
      const debugging = (this.#u32(DR7) & 0xff) !== 0;
      const remaining = view.getInt32(cpu + BUDGET, true);
      if (remaining <= 0 && !single && !once) {
        this.#counts.budget++;
        return 'budget';
      }
      if (trap || debugging || once) single = true;
      if (debugging && (flags & FLAG_RF) === 0 && !behindStackLoad) {
        const hit = this.#executionBreakpoints();
        if (hit !== 0) {
          this.#setU64(FAULT_ADDRESS, BigInt(hit));
          this.#runtime.call('raiseFault', VECTOR_DB, 0, 0);
          if (this.deliverFault()) return 'shutdown';
          continue;
        }
      }
      if ((flags & FLAG_RF) !== 0) this.#runtime.call('takeResumeFlag');

      const byBranches = trap && (this.#u64(MSR_DEBUGCTL) & DEBUGCTL_BTF) !== 0n;
      const start = byBranches && !this.#stringAhead() ? this.#u64(RIP) : undefined;
      const known = !single && !lost && link === 0 && !tracing;
      const record = known ? 0 : single ? this.#cache.findSingle() : this.#cache.find(link);
      const fetchFault = !known && record === 0;
      let code: number;
      if (known) code = this.#resume(cpu);
      else if (fetchFault) code = LEAVE_FAULT;
      else if (!single) code = missed ? this.#interpret(cpu, record) : this.#enter(cpu, record);
      else {
        // With no budget every way out of the instruction leaves the block.
        view.setInt32(cpu + BUDGET, 0, true);
        code = this.#enter(cpu, record);
        view.setInt32(cpu + BUDGET, remaining + view.getInt32(cpu + BUDGET, true), true);
      }
      // An instruction that faults has hit no breakpoint.
      if (code === LEAVE_FAULT) this.#setU32(PENDING_DEBUG, 0);
      // A tier that looks at a hot block may find that it can no longer be fetched: that is for `find` to raise.
      missed = code === LEAVE_MISSED;
      lost = missed || code === LEAVE_JUMP || code === LEAVE_STALE || code === LEAVE_HOT;
      if (this.#leave(code, fetchFault)) return 'shutdown';
      const stepped = this.#stepped(trap) && code !== LEAVE_FAULT && (!byBranches || (start !== undefined && this.#branched(start, record)));
      if ((stepped || this.#u32(PENDING_DEBUG) !== 0) && this.#u32(SHADOW) !== 2 && this.#trap(stepped)) return 'shutdown';
    }
  }

  /**
   * STI has been executed since the last turn. Interrupts wait for one more instruction if it was the last one; NMIs may, and do,
   * as behind MOV SS (SDM 2B, STI).
   */
  #shadeBehindSti(): void {
    if (this.#u64(RIP) === this.#u64(STI_NEXT)) this.#setU32(SHADOW, 1);
    this.#setU32(STI_DONE, 0);
    this.#setU64(STI_NEXT, 0n);
  }

  /** Is the instruction that ran trapped because of TF, as it was before or as it is now? */
  #stepped(before: boolean): boolean {
    const step = this.#u32(STEP);
    this.#setU32(STEP, STEP_TRAPS);
    return step === STEP_AS_TF_IS ? (this.#u32(EFLAGS) & FLAG_TF) !== 0 : before && step === STEP_TRAPS;
  }

  /** Did the instruction, at `start`, transfer control (SDM 3B, 18.4.3)? Those that always do end their block, as HLT does. */
  #branched(start: bigint, record: number): boolean {
    if ((this.#handlers.traits[this.#view.getUint16(record + REC_HANDLER, true)]! & ENDS_BLOCK) !== 0) return this.#u32(HALTED) === 0;
    return this.#u64(RIP) !== start + BigInt(this.#view.getUint8(record + REC_LENGTH));
  }
  /** Whether a string instruction is next: repeated it ends its block as well, but is no branch. */
  #stringAhead(): boolean {
    const opcode = this.codeAhead()?.find((byte) => !PREFIXES.has(byte));
    return opcode !== undefined && STRINGS.has(opcode);
  }

  /** Delivers #DB for what the last instruction did; true: the processor has shut down. */
  #trap(stepped: boolean): boolean {
    const bits = this.#u32(PENDING_DEBUG) | (stepped ? DR6_SINGLE_STEP : 0);
    this.#setU32(PENDING_DEBUG, 0);
    return this.#runtime.call('deliverTrap', bits) === LEAVE_SHUTDOWN;
  }

  /** Bits of DR6 for the instruction breakpoints that the next instruction's address hits (SDM 3B, 18.2.4). */
  #executionBreakpoints(): number {
    const dr7 = this.#u32(DR7);
    const long = (this.#u32(MODE) & MODE_CODE_MASK) === MODE_CODE64;
    const linear = long ? this.#u64(RIP) : (this.#u64(RIP) + this.#u64(SEGMENTS + SEG_CS * SEGMENT_BYTES + SEG_BASE)) & 0xffffffffn;
    let hit = 0;
    for (let n = 0; n < 4; n++) {
      const enabled = ((dr7 >> (n * 2)) & 3) !== 0;
      if (enabled && ((dr7 >>> (16 + n * 4)) & 3) === 0 && this.#u64(DR + n * 8) === linear) hit |= 1 << n;
    }
    return hit;
  }

  /** Settles the instruction pointer and the count after leaving a block; true: the processor has shut down. */
  #leave(code: number, fetchFault: boolean): boolean {
    switch (code) {
      case LEAVE_JUMP:
      case LEAVE_MISSED:
      case LEAVE_STALE:
      case LEAVE_BUDGET:
        return false;
      case LEAVE_HOT:
        this.#tier!.hot();
        return false;
      case LEAVE_FAULT:
        if (!fetchFault) this.#settle(false);
        return this.deliverFault();
      case LEAVE_RESUME:
        this.#countDown(0);
        return false;
      case LEAVE_NEXT:
        this.#settle(true);
        return false;
      case LEAVE_HALT:
        this.#settle(true);
        this.#setU32(HALTED, 1);
        return false;
      case LEAVE_SHUTDOWN:
        return true;
      default:
        throw new Error(`interpreter left a block with code ${code}`);
    }
  }

  /** RIP of the instruction at RECORD, or of the one behind it when it completed. */
  #settle(completed: boolean): void {
    const record = this.#u32(RECORD);
    const offset = this.#view.getUint16(record + REC_PAGE_OFFSET, true) + (completed ? this.#view.getUint8(record + REC_LENGTH) : 0);
    let rip = this.#u64(IP_BASE) + BigInt(offset);
    if ((this.#u32(MODE) & MODE_CODE_MASK) !== MODE_CODE64) rip &= 0xffffffffn;
    this.#setU64(RIP, rip);
    this.#countDown(completed ? 0 : 1);
  }

  #countDown(short: number): void {
    const done = this.#view.getUint8(this.#u32(RECORD) + REC_COUNT) - short;
    this.#view.setInt32(this.#cpu + BUDGET, this.#view.getInt32(this.#cpu + BUDGET, true) - done, true);
  }

  /** Delivers the fault that is pending; true: the processor has shut down. Legal between two runs, and in a run between blocks. */
  deliverFault(): boolean {
    this.#add64(COUNT_EXCEPTIONS);
    if (this.#log?.tracing('exception') === true) this.#traceFault(this.#log);
    return this.#runtime.call('deliverFault') === LEAVE_SHUTDOWN;
  }

  #traceFault(log: Log): void {
    const error = this.#u32(FAULT_HAS_ERROR) === 0 ? '' : ` error 0x${this.#u32(FAULT_ERROR).toString(16)}`;
    const vector = this.#u32(FAULT_VECTOR);
    const address = vector === VECTOR_PF ? ` address 0x${this.#u64(FAULT_ADDRESS).toString(16)}` : '';
    log.trace('exception', `vector ${vector}${error}${address} at 0x${this.#u64(RIP).toString(16)}`);
  }

  /** Non-maskable and maskable interrupts, when the guest can take them. */
  #takeEvents(): 'none' | 'delivered' | 'shutdown' {
    if (this.#u32(NMI_BLOCKED) === 0 && this.#interrupts.takeNmi()) {
      this.#setU32(HALTED, 0);
      return this.#runtime.call('deliverNmi') === LEAVE_SHUTDOWN ? 'shutdown' : 'delivered';
    }
    if ((this.#u32(EFLAGS) & FLAG_IF) === 0 || !this.#interrupts.pending()) return 'none';
    this.#setU32(HALTED, 0);
    const vector = this.#interrupts.acknowledge();
    if (vector < 0) return 'none';
    this.#add64(COUNT_INTERRUPTS);
    this.#offerEoi();
    return this.#runtime.call('deliverInterrupt', vector) === LEAVE_SHUTDOWN ? 'shutdown' : 'delivered';
  }

  /**
   * Offers the guest to leave out the EOI of the interrupt that has been acknowledged, where that can be. The end of the run settles it, so
   * that a machine which stands still has no offer.
   */
  #offerEoi(): void {
    if ((this.#u32(PARAVIRT_EOI_MSR) & 1) !== 0 && this.#interrupts.offerEoi?.(this.#settleEoi) === true) this.#runtime.call('offerEoi');
  }
  readonly #settleEoi = (): boolean => this.#runtime.call('settleEoi') !== 0;
  /** How many were left out. */
  get skippedEois(): number {
    return this.#u32(PARAVIRT_EOI_COUNT);
  }

  requestExit(): void {
    this.#exitRequested = true;
    // Blocks look at the budget only: what is left is given back by the count of retired instructions.
    const left = this.#view.getInt32(this.#cpu + BUDGET, true);
    if (left > 0) {
      this.#setU32(BUDGET_START, this.#u32(BUDGET_START) - left);
      this.#setU32(BUDGET, 0);
    }
  }

  setA20(open: boolean): void {
    const mask = this.#u64(PHYSICAL_MASK);
    this.#setU64(PHYSICAL_MASK, open ? mask | 0x100000n : mask & ~0x100000n);
    this.#runtime.call('flushTlb');
    this.requestExit();
  }

  memoryMapChanged(): void {
    this.#runtime.call('flushTlb');
    this.requestExit();
  }

  /** Stores say so by themselves, once they look at page flags. */
  logWrites(): void {
    this.#runtime.call('clearAllWriteTags');
  }

  codeWritten(page: number, offset: number, length: number): void {
    this.#cache.written(page, offset, length);
  }
  /** A copy of a page is about to be made for user code (engines/hybrid): stores there are seen from now on. */
  pageCopied(page: number): void {
    this.#owners.copy(page);
  }
  /** Compares what was decoded while other vCPUs executed with memory again, see CodeOwners. Legal inside bus callbacks. */
  recheckCode(): void {
    this.#cache.recheck();
  }
  /** Any of the decoded code may have been overwritten. Legal inside bus callbacks. */
  dropCode(): void {
    this.#cache.dropAll();
  }

  /** What of KVM's paravirtual interface it offers: bits of cpu/paravirt.ts. */
  get paravirt(): number {
    return this.#u32(PARAVIRT);
  }
  /** It goes on behind its HLT, if it stands there, without an interrupt. Legal between two runs, as the following. */
  wake(): void {
    this.#setU32(HALTED, 0);
  }
  /** The processor sleeps, goes on, or has waited for the host for so many ns since the last call (runtime/paravirt.ts). */
  leaveProcessor(): void {
    this.#runtime.call('leaveProcessor');
  }
  enterProcessor(): void {
    this.#runtime.call('enterProcessor');
  }
  addStolenTime(ns: number): void {
    this.#runtime.call('addStolenTime', ns);
  }
  /** The guest has told where it wants its clock (MSR_KVM_SYSTEM_TIME_NEW, or the old one). */
  get hasParavirtClock(): boolean {
    return (this.#u32(PARAVIRT_SYSTEM_TIME_MSR) & 1) !== 0;
  }
  heldBack(): boolean {
    return this.#runtime.call('heldBack') !== 0;
  }
  /** This vCPU's routines: legal to call between two runs. */
  get runtime(): Runtime {
    return this.#runtime;
  }
  readonly countsInstructions = true;
  /** Whether it is in its NMI handler. */
  get blocksNmi(): boolean {
    return this.#u32(NMI_BLOCKED) !== 0;
  }
  /** Whether a sleeping processor takes interrupts; without, only NMI, INIT and start-up wake it. */
  get mayWake(): boolean {
    return (this.#u32(EFLAGS) & FLAG_IF) !== 0;
  }
  get halted(): boolean {
    return this.#u32(HALTED) !== 0 || this.#u32(WAIT_SIPI) !== 0;
  }

  get instructions(): number {
    return Number(this.#view.getBigUint64(this.#cpu + INSTRUCTIONS, true)) + this.#executed;
  }
  /** In this run. Where other threads have taken the budget away while a block counted it down (kick.ts) it may be less than it was, but not below zero. */
  get #executed(): number {
    return Math.max(0, this.#view.getInt32(this.#cpu + BUDGET_START, true) - this.#view.getInt32(this.#cpu + BUDGET, true));
  }
  /** The last run was spent in a loop that waits for another processor or an interrupt, and says so by PAUSE. */
  get spins(): boolean {
    return this.#spins;
  }

  exitCounts(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      exception: this.#count64(COUNT_EXCEPTIONS),
      interrupt: this.#count64(COUNT_INTERRUPTS),
      tlbMiss: this.#count64(COUNT_TLB_MISSES),
      codeInvalidation: this.#count64(COUNT_CODE_INVALIDATIONS),
      paravirtEoi: this.skippedEois,
      ...this.#cache.counts(),
    };
  }
  translation(): TranslationFigures | undefined {
    return this.#tier?.figures();
  }

  registers(): VcpuRegisters {
    return registersOf(new DataView(this.#view.buffer, this.#cpu, STATE_BYTES), BigInt(this.#runtime.call('readFlags') >>> 0));
  }

  save(): Plain {
    // Legal between two `run` calls only: everything is in the block then, nothing in flight.
    const state = this.#bytes.slice(this.#cpu, this.#cpu + STATE_BYTES);
    // Addresses of decoded records mean nothing elsewhere.
    for (const derived of [RECORD, LINK_FROM]) state.fill(0, derived, derived + 4);
    return { state, mode: this.#u32(MODE) };
  }

  load(state: Plain, version: number): void {
    if (version !== 1) throw new StateError(`vcpu-x86: version ${version} is unknown, this version reads 1`);
    const bytes = typeof state === 'object' && state !== null && 'state' in state ? state.state : undefined;
    if (!(bytes instanceof Uint8Array) || bytes.length !== STATE_BYTES) throw new StateError(`vcpu-x86: state must be ${STATE_BYTES} bytes`);
    const apicId = this.#u32(APIC_ID);
    this.#bytes.set(bytes, this.#cpu);
    this.#setU32(APIC_ID, apicId);
    this.#setU32(FAULT_PENDING, 0);
    this.#setU32(FLAGS_KIND, 0);
    this.#setU32(LINK_FROM, 0);
    this.#setU32(RECORD, 0);
    this.#setU32(CPL, this.#u32(CPL) & 3);
    this.#runtime.call('sanitizeState');
    this.refresh();
  }

  #setSegment(i: number, segment: SegmentState): void {
    const at = SEGMENTS + i * SEGMENT_BYTES;
    this.#setU64(at + SEG_BASE, segment.base);
    this.#setU32(at + SEG_LIMIT, segment.limit);
    this.#setU32(at + SEG_ATTRIBUTES, segment.attributes);
    this.#setU32(at + SEG_SELECTOR, segment.selector);
    if (i === SEG_CS) this.#setU32(CPL, (segment.attributes >> 5) & 3);
  }
  #u32(offset: number): number {
    return this.#view.getUint32(this.#cpu + offset, true);
  }
  #setU32(offset: number, value: number): void {
    this.#view.setUint32(this.#cpu + offset, value, true);
  }
  #u64(offset: number): bigint {
    return this.#view.getBigUint64(this.#cpu + offset, true);
  }
  #setU64(offset: number, value: bigint): void {
    this.#view.setBigUint64(this.#cpu + offset, BigInt.asUintN(64, value), true);
  }
  #add64(offset: number): void {
    this.#view.setBigUint64(this.#cpu + offset, this.#view.getBigUint64(this.#cpu + offset, true) + 1n, true);
  }
  #count64(offset: number): number {
    return Number(this.#view.getBigUint64(this.#cpu + offset, true));
  }
}
