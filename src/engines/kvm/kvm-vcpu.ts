import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import { secondsByName } from '../../base/seconds.ts';
import type { Vcpu, VcpuExit, VcpuRegisters, VcpuStart } from '../../cpu/vcpu.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import { CPL, EFLAGS, FAULT_PENDING, HALTED, PHYSICAL_MASK, RAX, RCX, RDX, STATE_BYTES, TSC_OFFSET, WAIT_SIPI } from '../../isa/x86/state/layout.ts';
import { VCPU_BASE, VCPU_STRIDE } from '../../memory/layout.ts';
import type { InterruptInput } from '../../wiring/interrupt-input.ts';
import type { SystemBus } from '../../wiring/system-bus.ts';
import type { Interpreter } from '../interpreter/interpreter.ts';
import { CONSTANTS as K, IOCTLS, STRUCTS } from './abi.ts';
import { Alarm } from './alarm.ts';
import type { KvmCapabilities } from './capabilities.ts';
import { guestCpuid, knowsHidden } from './cpuid-table.ts';
import type { CpuidEntry } from './cpuid-table.ts';
import { KvmError } from './kvm-host.ts';
import type { KvmHost } from './kvm-host.ts';
import { LostSyscalls } from './lost-syscalls.ts';
import { KvmProcessor } from './kvm-processor.ts';
import { A20, KvmVm } from './kvm-vm.ts';
import { registersOf } from '../vcpu-registers.ts';
import { unpackRegisters, unpackSystemRegisters } from './registers.ts';
import { Transfer } from './transfer.ts';
import type { CounterLead } from './transfer.ts';

export interface KvmOptions {
  readonly host: KvmHost;
  readonly capabilities: KvmCapabilities;
  /** The same vCPU on the interpreter: its block is where the state is while KVM does not have it. */
  readonly home: Interpreter;
  readonly memory: WebAssembly.Memory;
  readonly bus: SystemBus;
  readonly interrupts: InterruptInput;
  /** The guest's clock, for the times that `run` is given. */
  readonly clock: MonotonicClock;
  readonly hostTsc: () => number;
  /** Its rate. */
  readonly tscKhz: () => number;
  readonly index: number;
  /** Descriptor of a vCPU whose VM somebody else has made, for machines with several; missing: it makes a VM of its own. */
  readonly vcpu?: number;
  /** Guests see the host's time stamp counter, whatever KVM is told; missing: they do not. */
  readonly hostCounter?: boolean;
  /** What the processors of a machine that has several know together of their counters. */
  readonly counterLead?: CounterLead;
  /** SYSCALL does not reach the guest's kernel; missing: it does. */
  readonly losesSyscalls?: boolean;
}

/** KVM cannot go on with this guest, another engine may. The state is whole. */
export class KvmFailure extends Error {
  override readonly name = 'KvmFailure';
}

/** For what hands a guest to KVM: its KvmError is a KvmFailure. */
export function takenByKvm<T>(hand: () => T): T {
  try {
    return hand();
  } catch (error) {
    if (error instanceof KvmError) throw new KvmFailure(`KVM does not take the guest: ${error.message}`);
    throw error;
  }
}

const F = STRUCTS.kvm_run.fields;
/** As far as KVM takes two rates of the time stamp counter for the same (its tsc_tolerance_ppm). */
const TSC_TOLERANCE = 250e-6;
const FLAG_IF = 0x200;
/** How long an interrupt waits for the window at most: a KVM that emulates ring 0 may miss it. */
const WINDOW_NS = 200_000;
/** Behind a run that has ended because its time was over, the next one has so much at least: timers in a row would else let nothing be executed. */
const LEAST_NS = 50_000;

/** A vCPU on KVM. Guest RAM is the linear memory itself; ports, device memory, most MSRs and HLT come out to the models. */
export class KvmVcpu implements Vcpu {
  readonly stateName = 'vcpu-x86';
  readonly stateVersion = 1;
  readonly #options: KvmOptions;
  readonly #host: KvmHost;
  readonly #home: Interpreter;
  readonly #block: DataView;
  readonly #transfer: Transfer;
  readonly #alarm: Alarm;
  readonly #lostSyscalls: LostSyscalls | undefined;
  readonly #counts = { port: 0, mmio: 0, msr: 0, halt: 0, interruptWindow: 0, alarm: 0, assist: 0, interrupt: 0, lostSyscall: 0, entries: 0 };
  /** Nanoseconds in guest code, and serving exits. */
  readonly #ns = { guest: 0, port: 0, mmio: 0, msr: 0, assist: 0, other: 0 };
  #vm: KvmProcessor | undefined;
  /** KVM has the state; the block is out of date. */
  #resident = false;
  /** The last exit's instruction is not completed: KVM does that when it is entered again. */
  #unfinished = false;
  /** KVM would take an interrupt now. */
  #ready = false;
  #slotsStale = false;
  /** The last run has ended because its time was over. */
  #hurried = false;
  /** The guest has been elsewhere, where KVM did not see its page tables change. */
  #foreign = false;
  #exitRequested = false;
  /** A log of writes is kept. */
  #logging = false;

  constructor(options: KvmOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#home = options.home;
    this.#alarm = new Alarm(options.host, options.clock);
    this.#block = new DataView(options.memory.buffer, VCPU_BASE + options.index * VCPU_STRIDE, STATE_BYTES);
    this.#transfer = new Transfer({ ...options, block: this.#block });
    this.#lostSyscalls = options.losesSyscalls === true ? new LostSyscalls(options.home.runtime, this.#block, new DataView(options.memory.buffer)) : undefined;
  }

  /** The state is the home's, to be changed there. */
  #handOver(): void {
    this.#leave();
    this.#foreign = true;
  }

  reset(): void {
    this.#handOver();
    this.#home.reset();
  }
  start(state: VcpuStart): void {
    this.#handOver();
    this.#home.start(state);
  }
  /** The state is in the block from now on, until the next run: KVM's time stamp counter would go on. */
  pause(): void {
    this.#leave();
  }
  save(): Plain {
    this.#leave();
    return this.#home.save();
  }
  load(state: Plain, version: number): void {
    this.#handOver();
    this.#home.load(state, version);
  }
  /**
   * Makes its VM, so that the first change to it is as quick as others. Where guests see the host's time stamp counter, this one
   * begins as that stands. Legal before anything executes.
   */
  begin(): void {
    takenByKvm(() => this.#prepare());
    if (this.#options.hostCounter === true) this.#transfer.pushTimeStamp(this.#vm!);
  }
  /** The state stays where it is. */
  registers(): VcpuRegisters {
    if (!this.#resident) return this.#home.registers();
    this.#finish();
    const vm = this.#vm!;
    const copy = new DataView(new ArrayBuffer(STATE_BYTES));
    unpackSystemRegisters(vm.get(IOCTLS.KVM_GET_SREGS2, STRUCTS.kvm_sregs2.size), copy);
    const rflags = unpackRegisters(vm.get(IOCTLS.KVM_GET_REGS, STRUCTS.kvm_regs.size), copy);
    return registersOf(copy, BigInt(rflags));
  }

  /** Why the guest whose state is in the block cannot run here; undefined: it can. */
  obstacle(): string | undefined {
    const { capabilities, tscKhz } = this.#options;
    return kvmObstacle(this.#cpuid(), capabilities, tscKhz());
  }

  /** Runs until something must be looked at or guest time is `until()`; instructions are not counted. Throws KvmFailure. */
  run(_budget: number, until?: () => number): VcpuExit {
    const { clock } = this.#options;
    const deadline = this.#alarm.deadline(until);
    const least = this.#hurried ? clock.now() + LEAST_NS : 0;
    this.#hurried = false;
    if (!this.#resident && this.#block.getUint32(WAIT_SIPI, true) !== 0) return this.#home.run(1);
    this.#enter();
    const vm = this.#vm!;
    for (;;) {
      if (this.#exitRequested) {
        this.#exitRequested = false;
        vm.run.setUint8(F.immediate_exit, 0);
        return 'requested';
      }
      if (this.#slotsStale) {
        this.#finish();
        this.#updateSlots();
      }
      this.#offerInterrupts(vm);
      if (this.#block.getUint32(HALTED, true) !== 0) {
        this.#counts.halt++;
        return 'halt';
      }
      const windowed = vm.run.getUint8(F.request_interrupt_window) !== 0;
      if (!this.#alarm.set(Math.max(least, windowed ? Math.min(deadline(), clock.now() + WINDOW_NS) : deadline()))) return this.#overdue();
      const exit = this.#execute(vm);
      if (exit !== undefined) return exit;
    }
  }

  /** One KVM_RUN and what it came out for; undefined: go on. */
  #execute(vm: KvmProcessor): VcpuExit | undefined {
    const { run } = vm;
    this.#counts.entries++;
    const priority = this.#options.interrupts.readTaskPriority();
    run.setUint8(F.cr8, priority);
    this.#unfinished = false;
    const { clock } = this.#options;
    const entered = clock.now();
    const error = this.#host.runVcpu(vm.vcpu);
    const left = clock.now();
    this.#ns.guest += left - entered;
    this.#ready = run.getUint8(F.ready_for_interrupt_injection) !== 0;
    if (run.getUint8(F.cr8) !== priority) this.#options.interrupts.writeTaskPriority(run.getUint8(F.cr8));
    if (error === this.#host.interrupted) return this.#interrupted();
    if (error !== 0) throw new KvmFailure(`KVM_RUN failed with error ${error}`);
    const exit = this.#handle(run);
    this.#ns[causeOf(run)] += clock.now() - left;
    return exit;
  }

  #overdue(): VcpuExit {
    this.#hurried = true;
    return 'time';
  }

  #interrupted(): VcpuExit | undefined {
    if (this.#exitRequested) return undefined;
    this.#counts.alarm++;
    this.#alarm.clear();
    return this.#overdue();
  }

  #handle(run: DataView): VcpuExit | undefined {
    const reason = run.getUint32(F.exit_reason, true);
    switch (reason) {
      case K.KVM_EXIT_IO:
        this.#unfinished = true;
        this.#port(run);
        return undefined;
      case K.KVM_EXIT_MMIO:
        this.#unfinished = true;
        this.#mmio(run);
        return undefined;
      case K.KVM_EXIT_X86_RDMSR: case K.KVM_EXIT_X86_WRMSR:
        this.#unfinished = true;
        this.#msr(run, reason === K.KVM_EXIT_X86_WRMSR);
        return undefined;
      case K.KVM_EXIT_HLT:
        this.#block.setUint32(HALTED, 1, true);
        return undefined;
      case K.KVM_EXIT_IRQ_WINDOW_OPEN:
        this.#counts.interruptWindow++;
        return undefined;
      case K.KVM_EXIT_SET_TPR: case K.KVM_EXIT_INTR:
        return undefined;
      case K.KVM_EXIT_SHUTDOWN:
        return 'shutdown';
      case K.KVM_EXIT_INTERNAL_ERROR:
        return this.#assist(run);
      case K.KVM_EXIT_DEBUG:
        return this.#watched();
      case K.KVM_EXIT_FAIL_ENTRY:
        throw new KvmFailure(`the processor refused to enter the guest (reason 0x${run.getBigUint64(F['fail_entry.hardware_entry_failure_reason'], true).toString(16)})`);
      default:
        throw new KvmFailure(`KVM left the guest for reason ${reason} (0x${run.getBigUint64(F['hw.hardware_exit_reason'], true).toString(16)})`);
    }
  }

  #port(run: DataView): void {
    const { bus } = this.#options;
    const size = run.getUint8(F['io.size']) as AccessSize;
    const port = run.getUint16(F['io.port'], true);
    const count = run.getUint32(F['io.count'], true);
    let at = Number(run.getBigUint64(F['io.data_offset'], true));
    this.#counts.port += count;
    for (let i = 0; i < count; i++, at += size) {
      if (run.getUint8(F['io.direction']) === K.KVM_EXIT_IO_OUT) bus.writePort(port, size, readValue(run, at, size));
      else writeValue(run, at, size, bus.readPort(port, size));
    }
  }

  #mmio(run: DataView): void {
    const { bus } = this.#options;
    const address = Number(run.getBigUint64(F['mmio.phys_addr'], true));
    const length = run.getUint32(F['mmio.len'], true);
    const write = run.getUint8(F['mmio.is_write']) !== 0;
    this.#counts.mmio++;
    for (let done = 0; done < length; ) {
      const size = accessSize(length - done);
      const at = F['mmio.data'] + done;
      if (write) bus.writeMmio(address + done, size, readValue(run, at, size));
      else writeValue(run, at, size, bus.readMmio(address + done, size));
      done += size;
    }
  }

  /** The model's registers, by the routines that every engine calls; general registers of the block are scratch now. */
  #msr(run: DataView, write: boolean): void {
    const block = this.#block;
    this.#counts.msr++;
    block.setUint32(CPL, 0, true);
    block.setBigUint64(RCX, BigInt(run.getUint32(F['msr.index'], true)), true);
    if (write) {
      const value = run.getBigUint64(F['msr.data'], true);
      block.setBigUint64(RAX, value & 0xffffffffn, true);
      block.setBigUint64(RDX, value >> 32n, true);
    }
    const offset = block.getBigUint64(TSC_OFFSET, true);
    this.#home.runtime.call(write ? 'writeMsr' : 'readMsr');
    const fault = block.getUint32(FAULT_PENDING, true) !== 0;
    block.setUint32(FAULT_PENDING, 0, true);
    run.setUint8(F['msr.error'], fault ? 1 : 0);
    if (!write) run.setBigUint64(F['msr.data'], (block.getBigUint64(RDX, true) << 32n) | block.getBigUint64(RAX, true), true);
    if (block.getBigUint64(TSC_OFFSET, true) !== offset) this.#transfer.pushTimeStamp(this.#vm!);
  }

  /** An instruction that KVM cannot emulate is executed by the interpreter. */
  #assist(run: DataView): VcpuExit | undefined {
    const suberror = run.getUint32(F['internal.suberror'], true);
    this.#unfinished = false;
    this.#leave();
    if (suberror !== K.KVM_INTERNAL_ERROR_EMULATION) throw new KvmFailure(`KVM reports internal error ${suberror}`);
    this.#counts.assist++;
    return this.#interpretOne();
  }

  /** The state is in the block. */
  #interpretOne(): VcpuExit | undefined {
    const exit = this.#home.run(1);
    if (exit !== 'budget') return exit;
    this.#enter();
    return undefined;
  }

  /** At the guest's handler of page faults; KVM does not step over a breakpoint. */
  #watched(): VcpuExit | undefined {
    const { lostSyscall } = this.#counts;
    this.#leave();
    if (this.#counts.lostSyscall === lostSyscall) return this.#interpretOne();
    this.#enter();
    return undefined;
  }

  #offerInterrupts(vm: KvmProcessor): void {
    const { interrupts } = this.#options;
    if (interrupts.takeNmi()) {
      this.#host.ioctl(vm.vcpu, IOCTLS.KVM_NMI, 0);
      this.#block.setUint32(HALTED, 0, true);
    }
    if (!interrupts.pending()) {
      vm.run.setUint8(F.request_interrupt_window, 0);
      return;
    }
    if (this.#ready) {
      this.#beforeInterrupt(vm);
      const vector = interrupts.acknowledge();
      if (vector >= 0) {
        this.#host.ioctlData(vm.vcpu, IOCTLS.KVM_INTERRUPT, Uint8Array.of(vector, 0, 0, 0));
        this.#counts.interrupt++;
        this.#ready = false;
        this.#block.setUint32(HALTED, 0, true);
      }
    }
    vm.run.setUint8(F.request_interrupt_window, interrupts.pending() ? 1 : 0);
  }

  /** Where KVM loses system calls, one that is under way must not be interrupted: other engines know no such place. */
  #beforeInterrupt(vm: KvmProcessor): void {
    if (this.#lostSyscalls === undefined) return;
    if (!this.#lostSyscalls.underWay(vm.get(IOCTLS.KVM_GET_REGS, STRUCTS.kvm_regs.size).getBigUint64(STRUCTS.kvm_regs.fields.rip, true))) return;
    this.#leave();
    this.#enter();
  }

  /** Lets KVM complete the instruction of the last exit, which may come out again; it executes no further one. */
  #finish(): void {
    const vm = this.#vm!;
    vm.run.setUint8(F.immediate_exit, 1);
    while (this.#unfinished) {
      this.#unfinished = false;
      const error = this.#host.runVcpu(vm.vcpu);
      if (error === 0) this.#handle(vm.run);
      else if (error !== this.#host.interrupted) throw new KvmFailure(`KVM_RUN failed with error ${error}`);
    }
    vm.run.setUint8(F.immediate_exit, this.#exitRequested ? 1 : 0);
  }

  /** The state moves into KVM. */
  #enter(): void {
    if (this.#resident) return;
    takenByKvm(() => {
      this.#prepare();
      if (this.#foreign) this.#vm!.forgetPageTables();
      this.#foreign = false;
      this.#updateSlots();
      this.#transfer.push(this.#vm!);
      this.#lostSyscalls?.watch(this.#vm!);
    });
    // Another vCPU of this thread may have set it.
    this.#alarm.forget();
    this.#ready = (this.#block.getUint32(EFLAGS, true) & FLAG_IF) !== 0;
    this.#resident = true;
  }

  /** What the state's guest has been told. */
  #cpuid(): readonly CpuidEntry[] {
    const { memory, index } = this.#options;
    return guestCpuid(this.#home.runtime, memory, index);
  }

  /** A VM whose CPUID is that. */
  #prepare(): void {
    const entries = this.#cpuid();
    if (this.#vm?.fits(entries) === true) return;
    const { vcpu, memory } = this.#options;
    if (vcpu !== undefined && this.#vm !== undefined) throw new KvmFailure('a processor among several cannot become one with other features');
    this.close();
    this.#vm = vcpu === undefined ? new KvmVm(this.#host, memory, this.#options.capabilities.keptMsrs, entries) : new KvmProcessor(this.#host, vcpu, entries);
    if (this.#logging) this.#vm.logWrites(true);
    if (this.#options.capabilities.tscScaling) this.#host.ioctl(this.#vm.vcpu, IOCTLS.KVM_SET_TSC_KHZ, Math.round(this.#options.tscKhz()));
  }

  /** The state moves into the block. */
  #leave(): void {
    if (!this.#resident) return;
    this.#finish();
    this.#transfer.pull(this.#vm!);
    this.#resident = false;
    if (this.#lostSyscalls?.mend() === true) this.#counts.lostSyscall++;
  }

  #updateSlots(): void {
    this.#slotsStale = false;
    this.#vm!.updateSlots(this.#block);
  }

  requestExit(): void {
    this.#exitRequested = true;
    this.#vm?.run.setUint8(F.immediate_exit, 1);
  }
  setA20(open: boolean): void {
    const mask = this.#block.getBigUint64(PHYSICAL_MASK, true);
    this.#block.setBigUint64(PHYSICAL_MASK, open ? mask | A20 : mask & ~A20, true);
    this.memoryMapChanged();
  }
  memoryMapChanged(): void {
    this.#slotsStale = true;
    this.requestExit();
  }
  /** Gives back what the host holds for this vCPU; it may run again, on a new VM. */
  close(): void {
    this.#leave();
    this.#vm?.close();
    this.#vm = undefined;
  }
  logWrites(on: boolean): void {
    this.#logging = on;
    this.#vm?.logWrites(on);
    this.#home.logWrites();
  }
  /** Nothing is decoded here. */
  codeWritten(): void {}
  dropCode(): void {}
  recheckCode(): void {
    this.#home.recheckCode();
  }

  // As the interpreter has them: legal between two runs.
  init(): void {
    this.#leave();
    this.#home.init();
  }
  startUp(vector: number): void {
    this.#leave();
    this.#home.startUp(vector);
  }
  refresh(): void {
    this.#leave();
    this.#home.refresh();
  }
  /** It lies in memory, wherever the registers are. */
  addStolenTime(ns: number): void {
    this.#home.addStolenTime(ns);
  }
  /** The time stamp counter comes out before the clock goes forward, and goes back in behind it: not where KVM cannot set it. */
  heldBack(): boolean {
    if (this.#options.hostCounter === true) return false;
    this.#leave();
    return this.#home.heldBack();
  }
  get mayWake(): boolean {
    return this.#resident ? this.#vm!.run.getUint8(F.if_flag) !== 0 : this.#home.mayWake;
  }
  /** KVM latches a second NMI itself. */
  get blocksNmi(): boolean {
    return true;
  }

  readonly countsInstructions = false;
  get halted(): boolean {
    return this.#block.getUint32(HALTED, true) !== 0 || this.#block.getUint32(WAIT_SIPI, true) !== 0;
  }
  /** Those that the interpreter has executed; KVM's are not counted. */
  get instructions(): number {
    return this.#home.instructions;
  }
  exitCounts(): Readonly<Record<string, number>> {
    return this.#counts;
  }
  exitSeconds(): Readonly<Record<string, number>> {
    return secondsByName(this.#ns);
  }
}

/** As `begin`. Who changes to KVM afterwards is told of what fails; a machine that is on it already gets the error again. */
export function beginKvm(vcpu: KvmVcpu): void {
  try {
    vcpu.begin();
  } catch (error) {
    if (!(error instanceof KvmFailure)) throw error;
  }
}

/** Why a guest that has been told so by CPUID cannot run on KVM; undefined: it can. `rate` in kHz, of its time stamp counter. */
export function kvmObstacle(cpuid: readonly CpuidEntry[], capabilities: KvmCapabilities, rate: number): string | undefined {
  if (knowsHidden(cpuid, capabilities.hidden)) {
    return 'the guest has been told of processor features that KVM lacks on this host (machines that are started with --switchable leave them out)';
  }
  if (!capabilities.tscScaling && Math.abs(rate - capabilities.tscKhz) > rate * TSC_TOLERANCE) {
    return `the guest's time stamp counter runs at ${Math.round(rate / 1000)} MHz, the host's at ${Math.round(capabilities.tscKhz / 1000)} MHz, and this host cannot scale it (machines that are started with --switchable have the host's rate)`;
  }
  return undefined;
}

/** Under what the time of an exit counts. */
function causeOf(run: DataView): 'port' | 'mmio' | 'msr' | 'assist' | 'other' {
  switch (run.getUint32(F.exit_reason, true)) {
    case K.KVM_EXIT_IO: return 'port';
    case K.KVM_EXIT_MMIO: return 'mmio';
    case K.KVM_EXIT_X86_RDMSR: case K.KVM_EXIT_X86_WRMSR: return 'msr';
    case K.KVM_EXIT_INTERNAL_ERROR: return 'assist';
    default: return 'other';
  }
}

function accessSize(left: number): AccessSize {
  return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}
function readValue(view: DataView, at: number, size: AccessSize): number {
  return size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at);
}
function writeValue(view: DataView, at: number, size: AccessSize, value: number): void {
  if (size === 4) view.setUint32(at, value, true);
  else if (size === 2) view.setUint16(at, value, true);
  else view.setUint8(at, value);
}
