import type { Stateful } from '../base/plain.ts';

/** Why `run` returned. A closed union: the machine handles each, with `assertNever` behind it. */
export type VcpuExit =
  /** The budget of instructions is used up. */
  | 'budget'
  /** Of an engine that executes instructions which it cannot count: guest time is `until()`, or they had a part of the time that the budget took. */
  | 'time'
  /** HLT with interrupts enabled or not: sleep until an interrupt or a non-maskable one comes. */
  | 'halt'
  /** Triple fault: the processor is in shutdown. */
  | 'shutdown'
  /** `requestExit` was called, from a device's port handler for instance. */
  | 'requested'
  /** A debug trap that the monitor asked for (not the guest's own #DB). */
  | 'debug';

/** Architectural registers for diagnosis and debuggers. */
export interface VcpuRegisters {
  readonly gpr: readonly bigint[]; // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly segments: Readonly<Record<'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs' | 'ldtr' | 'tr', SegmentState>>;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

/**
 * One segment register with its hidden part. `attributes`: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B,
 * 15 G, 16 unusable (the VMX access-rights format, Intel SDM 3C, 25.4.1). `limit` in bytes, scaled.
 */
export interface SegmentState {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}

/** Initial register values for entering a guest somewhere else than at the reset vector. Missing ones stay. */
export interface VcpuStart {
  readonly rip: bigint;
  readonly gpr?: Readonly<Partial<Record<'rax' | 'rbx' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'rbp' | 'rsp', bigint>>>;
  readonly rflags?: bigint;
  readonly segments?: Readonly<Partial<Record<'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs' | 'ldtr' | 'tr', SegmentState>>>;
  readonly gdtr?: { readonly base: bigint; readonly limit: number };
  readonly idtr?: { readonly base: bigint; readonly limit: number };
  readonly cr0?: bigint;
  readonly cr3?: bigint;
  readonly cr4?: bigint;
  readonly efer?: bigint;
}

/** One virtual processor on some engine. Not reentrant: bus and interrupt callbacks must not call `run`. */
export interface Vcpu extends Stateful {
  /** Power-on state (Intel SDM 3A, table 10-1): real mode, CS:RIP = F000:FFF0 with base FFFF0000. */
  reset(): void;
  start(state: VcpuStart): void;
  /**
   * Executes at most about `budget` guest instructions (it may stop a basic block late). An engine that cannot count them
   * returns when guest time (ns) is `until()`, which it asks again after each exit: devices set timers.
   */
  run(budget: number, until?: () => number): VcpuExit;
  /** Of vCPUs that go on between two runs: they stand still from here until the next one. */
  pause?(): void;
  /** Makes the current or next `run` return `requested` at the next block end. Legal inside bus callbacks. */
  requestExit(): void;
  /** Address line 20: closed, bit 20 of every physical address is 0. Legal inside bus callbacks. */
  setA20(open: boolean): void;
  /** Physical addresses mean something else now (ROM, RAM, device). Legal inside bus callbacks. */
  memoryMapChanged(): void;
  /** A device or loader wrote bytes of a RAM page (counted from the start of RAM) that holds decoded code. */
  codeWritten(page: number, offset: number, length: number): void;
  /**
   * What this vCPU has written since the last call loses PAGE_FLAG_TRACK (memory/layout.ts), and so does what it writes from now on,
   * which the memory sets anew behind this; `on` false: it need not any more. Legal between two runs.
   */
  logWrites(on: boolean): void;
  /** The host has let the processor wait for so many ns since the last call: its guest is told (runtime/paravirt.ts). Legal between two runs. */
  addStolenTime?(ns: number): void;
  /**
   * Guest time is about to go forward at once, as if the host had held the guest back: the guest is told (runtime/paravirt.ts). False, or no such
   * method: it has no clock that could tell it. Legal between two runs, before the clock is put forward.
   */
  heldBack?(): boolean;
  /** True while the processor sleeps after HLT; `run` wakes it when the interrupt input has something for it. */
  readonly halted: boolean;
  /** Instructions retired since reset, as far as engines count them. */
  readonly instructions: number;
  /** Does this one? */
  readonly countsInstructions: boolean;
  /** Counts since the vCPU was made, by cause, for the report: 'port', 'mmio', 'interrupt', 'exception', ... */
  exitCounts(): Readonly<Record<string, number>>;
  /** Seconds in guest code (`guest`) and serving exits by cause; of an engine that runs the guest directly. */
  exitSeconds?(): Readonly<Record<string, number>>;
  registers(): VcpuRegisters;
  /** Of an engine that translates. */
  translation?(): TranslationFigures | undefined;
  /** Of a vCPU that can change its engine. */
  readonly engines?: EngineSwitch;
  /** Gives back what the host holds for this vCPU, which is not used any more. */
  close?(): void;
}

/** The engines that a vCPU may run on, and what each has done. */
export interface EngineSwitch {
  readonly current: string;
  readonly available: readonly string[];
  /** Legal between two runs. Throws UserError when the engine cannot take this guest: it stays where it is. */
  switchTo(name: string): void;
  readonly switches: { readonly count: number; readonly longestMs: number };
  usage(): Readonly<Record<string, EngineUsage>>;
}

export interface EngineUsage {
  /** Time in which the engine executed the guest, device accesses included. */
  readonly seconds: number;
  /** Guest instructions; null: the engine does not count them. */
  readonly instructions: number | null;
  readonly exits: Readonly<Record<string, number>>;
  /** Of an engine that runs guest code directly: seconds there (`guest`), and serving exits by cause. */
  readonly exitSeconds?: Readonly<Record<string, number>>;
}

/** A translator's work since it was made; docs/report.md explains the fields. */
export interface TranslationFigures {
  /** Of those made, `shared`: what had been translated before, mostly for another processor; `kept`: what was kept of earlier machines. */
  readonly regions: { readonly made: number; readonly shared: number; readonly kept: number; readonly live: number; readonly invalidated: number; readonly evicted: number };
  readonly modules: { readonly made: number; readonly live: number; readonly evicted: number };
  /** In all regions made. */
  readonly instructions: number;
  readonly wasmBytes: number;
  readonly cache: { readonly limitBytes: number; readonly bytes: number; readonly peakBytes: number };
  readonly pauses: PauseFigures;
}

/** Times that the guest stood still because of translation, in ms; percentiles are rounded up, by at most 19 %. */
export interface PauseFigures {
  readonly count: number;
  readonly totalMs: number;
  readonly medianMs: number;
  readonly percentile99Ms: number;
  readonly longestMs: number;
}
