import { StateError, UserError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import type { EngineSwitch, EngineUsage, Vcpu, VcpuExit, VcpuRegisters, VcpuStart } from '../../cpu/vcpu.ts';
import { CODE_AREA_BYTES, codeAreaAt } from '../../engines/interpreter/code-area.ts';
import { createInterpreter } from '../../engines/interpreter/interpreter.ts';
import type { Interpreter } from '../../engines/interpreter/interpreter.ts';
import { identify } from '../../engines/identity.ts';
import { hybridObstacle } from '../../engines/hybrid/hybrid-vcpu.ts';
import type { HybridOptions } from '../../engines/hybrid/hybrid-vcpu.ts';
import type { EngineModules } from '../../engines/modules.ts';
import { guestCpuid } from '../../engines/kvm/cpuid-table.ts';
import { KvmMachine } from '../../engines/kvm/kvm-machine.ts';
import { kvmObstacle } from '../../engines/kvm/kvm-vcpu.ts';
import type { KvmOptions } from '../../engines/kvm/kvm-vcpu.ts';
import { ticksAt, timeOfOrigin } from '../../host/clock.ts';
import type { MonotonicClock, WallClock } from '../../host/clock.ts';
import type { Log } from '../../host/log.ts';
import type { Thread, ThreadHost } from '../../host/threads.ts';
import { LocalApic } from '../../interrupts/local-apic.ts';
import { SHADOW_BYTES, SHADOW_MEMORY } from '../../memory/layout.ts';
import type { LinearMemory } from '../../memory/linear-memory.ts';
import { paravirtFeatures } from '../paravirt.ts';
import { apicIdsOf, processorCount } from '../topology.ts';
import type { ProcessorTopology } from '../topology.ts';
import { ApicTimer } from './apic-timer.ts';
import { CodeDrops, tellOwners } from './code-drops.ts';
import { DeviceRequests } from './device-requests.ts';
import type { DeviceRequestsOptions } from './device-requests.ts';
import { PostedApic, alertVcpu } from './posted-apic.ts';
import {
  COMMAND_CHANGE, COMMAND_END, COMMAND_RUN, COMMAND_STOP, EVENT_BEGIN, EVENT_HELD_BACK, EVENT_MAP, EVENT_REFRESH, FAILED, GAVE_UP, HALTED, MachineWords, REQUESTING, RUNNING, SHUT_DOWN, STOPPED, VcpuWords,
} from './shared-words.ts';
import type { ThreadEngine } from './thread-engine.ts';
import { UsageByEngine } from './usage-by-engine.ts';
import type { VcpuOrder } from './vcpu-thread.ts';

/** How a machine with several processors executes them. */
export interface ProcessorThreads {
  readonly topology: ProcessorTopology;
  /** The engine that it begins on, and those that it can be on. */
  readonly engine: ThreadEngine;
  readonly engines: readonly ThreadEngine[];
  /** Features that the processors should not have, as words of CPUID_HIDDEN. */
  readonly hidden: readonly number[];
  readonly modules: EngineModules;
  /** This host's, for the machine's thread, if the machine may be on it; then all engines are made at once. */
  readonly kvm: (Pick<KvmOptions, 'host' | 'capabilities' | 'hostCounter' | 'losesSyscalls'> & { readonly user: Pick<HybridOptions, 'direct32' | 'hidden'> }) | undefined;
  /** Bound on the memory that translated code takes, of all of them. */
  readonly cacheBytes: number;
  readonly host: ThreadHost<VcpuOrder>;
}

export interface ThreadedVcpusOptions extends DeviceRequestsOptions {
  readonly processors: ProcessorThreads;
  readonly memory: LinearMemory;
  /** The guest's clock. */
  readonly clock: MonotonicClock;
  readonly wallClock: WallClock;
  /** KVM's paravirtual interface is offered to the guest. */
  readonly paravirt: boolean;
  readonly tscKhz: () => number;
  readonly log: Log;
  /** A vCPU's thread wants the machine, whose thread sleeps, to run. */
  readonly wake: () => void;
}

/** Accesses to devices come in rows: the next one is waited for awake for some microseconds. */
const LOOKS = 2_000;
/** A thread that does not stop by then is not going to. */
const PATIENCE_NS = 20e9;

/** Takes over when another engine gives up. */
const FALLBACK = 'translator';

/** Traces that processors make themselves. */
const THREAD_TRACES = ['interrupt', 'exception'] as const;

function stands({ status }: VcpuWords): boolean {
  return status === STOPPED || status === SHUT_DOWN || status === GAVE_UP || status === FAILED;
}
/** Gives the block to the vCPU's thread, which follows the command. */
function handOver(words: VcpuWords, command: number): void {
  words.command = command;
  if (words.status === STOPPED) words.status = RUNNING;
}
/** KVM does not. */
function countsInstructions(engine: string): boolean {
  return engine !== 'kvm' && engine !== 'hybrid';
}

/** Bytes of storage that machines with several processors need besides RAM. */
export function processorStorage(processors: ProcessorThreads | undefined): number {
  return processors === undefined ? 0 : (processorCount(processors.topology) - 1) * (CODE_AREA_BYTES + shadowBytes(processors));
}
/** For shadow tables of each processor but the first. */
function shadowBytes({ engines }: ProcessorThreads): number {
  return engines.includes('hybrid') ? SHADOW_BYTES : 0;
}

/**
 * The processors of a machine that has several, each executed by a thread of its own (docs/adr/0005). `run` serves their
 * accesses to devices for a while; they go on between two runs too. Whoever wants to see or change their state stops them
 * first, as all methods here do; the next run lets them go on.
 */
export class ThreadedVcpus implements Vcpu, EngineSwitch {
  readonly stateName = 'processors';
  readonly stateVersion = 1;
  readonly #options: ThreadedVcpusOptions;
  readonly #machine: MachineWords;
  readonly #words: readonly VcpuWords[];
  readonly #drops: readonly CodeDrops[];
  /** For their state while they stand: these never run. */
  readonly #standing: readonly Interpreter[];
  readonly #apics: readonly LocalApic[];
  readonly #threads: readonly Thread[];
  readonly #vm: KvmMachine | undefined;
  readonly #requests: DeviceRequests;
  readonly #usage = new UsageByEngine();
  #switches = 0;
  #longestNs = 0;
  #lost: string | undefined;
  #going = false;
  /** The machine was not stored, and has not begun. */
  #fresh = true;
  /** Something has been executed: the threads are there. */
  #begun = false;
  #exitRequested = false;
  /** The one whose registers tell most. */
  #looked = 0;

  constructor(options: ThreadedVcpusOptions) {
    const { processors, memory, clock, tscKhz, pic, log } = options;
    const { topology, engine, engines, hidden, modules, host, kvm } = processors;
    const apicIds = apicIdsOf(topology);
    const count = apicIds.length;
    this.#options = options;
    const machine = this.#machine = new MachineWords(memory.wasm, (thread) => kvm?.host.interrupt(thread));
    this.#requests = new DeviceRequests(options, machine);
    machine.threads = count;
    machine.engine = engine;
    machine.ticks = undefined;
    this.#words = Array.from({ length: count }, (_, i) => new VcpuWords(memory.wasm, i));
    this.#drops = this.#words.map((_, i) => new CodeDrops(memory.wasm, i));
    const areas = this.#words.map((_, i) => (i === 0 ? undefined : memory.allocate(CODE_AREA_BYTES).host));
    const shadows = this.#words.map((_, i) => (i === 0 ? SHADOW_MEMORY : memory.allocate(shadowBytes(processors)).host));
    // KVM without its own interrupt controllers serves no calls between processors; our engines' kernels do.
    const calls = !engines.includes('kvm');
    this.#apics = this.#words.map((words, index) => new LocalApic({
      id: apicIds[index]!, boot: index === 0, bus: options.apicBus, clock, timers: new ApicTimer(words.apic), store: words.apic, kick: { kick: () => {} },
      tsc: () => ticksAt(clock.now(), tscKhz()), tscKhz, pic: index === 0 ? pic : undefined, processor: { init: () => {}, startup: () => {} }, windowMoved: () => {},
    }));
    for (const words of this.#words) options.apicBus.add(new PostedApic(machine, words, apicIds[words.index]!));
    const nobody = { bus: options.bus, hostTsc: () => 0, random32: () => 0 };
    this.#standing = this.#words.map((_, index) => {
      const area = areas[index];
      const vcpu = createInterpreter({ ...nobody, memory: memory.wasm, modules, index, apicId: apicIds[index]!, vcpus: count, interrupts: this.#apics[index]!, ...(area === undefined ? {} : { codeArea: codeAreaAt(area) }) });
      identify(memory.wasm, { index, tscKhz: tscKhz(), hidden, topology, paravirt: paravirtFeatures(options.paravirt, calls ? 'threads' : 'kvm') });
      return vcpu;
    });
    for (const apic of this.#apics) apic.reset();
    machine.a20 = true;
    this.#vm = kvm === undefined || calls ? undefined : new KvmMachine(kvm.host, memory.wasm, kvm.capabilities.keptMsrs);
    this.#changed();
    const traces = THREAD_TRACES.filter((kind) => log.tracing(kind));
    this.#threads = this.#words.map((words, index) => host.start({ memory: memory.wasm, modules, index, apicIds, engines, prepare: kvm !== undefined, cacheBytes: Math.floor(processors.cacheBytes / count), codeArea: areas[index], looksBeforeSleep: count <= host.processors, kvm: this.#kvmOrder(index, shadows[index]!), traces }, {
      wake: options.wake,
      traced: (kind, message) => log.trace(kind, `processor ${words.index}: ${message}`),
      failed: (reason) => {
        this.#lost ??= `the thread of processor ${words.index} has ended: ${reason}`;
        options.wake();
      },
    }));
  }

  #kvmOrder(index: number, shadowArea: number): VcpuOrder['kvm'] {
    const { kvm } = this.#options.processors;
    if (kvm === undefined) return undefined;
    const { hostCounter = false, losesSyscalls = false, user } = kvm;
    return { ...(this.#vm === undefined ? {} : { vcpu: this.#vm.createVcpu(index) }), hostCounter, losesSyscalls, user, shadowArea };
  }

  /** As a BIOS leaves the first processor's APIC. Legal while all stand. */
  virtualWire(): void {
    this.#apics[0]!.virtualWire();
  }
  /** The interrupt line of the 8259 pair has changed. */
  picChanged(): void {
    const { pending } = this.#options.pic;
    this.#machine.picPending = pending;
    if (pending) alertVcpu(this.#machine, this.#words[0]!);
  }

  run(_budget: number, until: () => number = () => Number.POSITIVE_INFINITY): VcpuExit {
    const { clock, log } = this.#options;
    this.#goOn();
    for (let served = false; ; ) {
      const seen = this.#machine.doorbell;
      let asked = false;
      let awake = false;
      for (const words of this.#words) {
        const { status } = words;
        if (status === REQUESTING) {
          this.#requests.serve(words);
          asked = served = true;
        } else if (status === SHUT_DOWN) {
          this.#looked = words.index;
          this.pause();
          return 'shutdown';
        } else if (status === GAVE_UP) {
          log.warn(`${words.failure}; the machine goes on with the ${FALLBACK}`);
          this.switchTo(FALLBACK);
          return 'requested';
        }
        if (status !== HALTED) awake = true;
      }
      this.#checkThreads();
      if (this.#exitRequested) {
        this.#exitRequested = false;
        return 'requested';
      }
      const left = until() - clock.now();
      // Who has had nothing to do for the whole time gives way to the event loop, until it is asked for something.
      if ((left <= 0 && !served) || (!awake && !asked)) {
        this.#machine.asleep = true;
        if (this.#machine.doorbell === seen) return 'halt';
        this.#machine.asleep = false;
      }
      if (left <= 0) return 'budget';
      if (!asked) this.#machine.await(seen, Math.min(left / 1e6, 1000), served ? LOOKS : 0);
    }
  }

  #checkThreads(): void {
    if (this.#lost !== undefined) throw new Error(this.#lost);
    const failed = this.#words.find(({ status }) => status === FAILED);
    if (failed !== undefined) throw new Error(`processor ${failed.index}: ${failed.failure}`);
  }

  #goOn(): void {
    this.#machine.asleep = false;
    if (this.#going) return;
    const { wallClock, clock, tscKhz, pic } = this.#options;
    this.#setClock(tscKhz());
    if (this.#vm !== undefined && this.#fresh) this.#tell(EVENT_BEGIN);
    this.#fresh = false;
    this.#machine.bootTime = timeOfOrigin(wallClock, clock);
    this.#machine.picPending = pic.pending;
    this.#vm?.slots.update(this.#machine.a20);
    this.#going = this.#begun = true;
    for (const words of this.#words) handOver(words, COMMAND_RUN);
  }

  /** The difference to the host's clock stays while it may be right. */
  #setClock(tscKhz: number): void {
    const { clock, processors: { host } } = this.#options;
    const machine = this.#machine;
    const before = host.clock.now();
    const now = clock.now();
    const after = host.clock.now();
    const { clockOffset } = machine;
    if (clockOffset >= now - after && clockOffset <= now - before && machine.tscKhz === tscKhz) return;
    machine.clockOffset = now - (before + after) / 2;
    machine.tscKhz = tscKhz;
    machine.ticks = undefined;
  }

  /** All processors stand, each between two instructions, until the next run. */
  pause(): void {
    if (!this.#going) return;
    this.#going = false;
    this.#order();
    this.#wait(() => {
      for (const words of this.#words) if (words.status === REQUESTING) this.#requests.serve(words);
      return this.#words.every(stands);
    });
    for (const words of this.#words) if (words.status === SHUT_DOWN || words.status === GAVE_UP) words.status = STOPPED;
  }
  #order(): void {
    for (const words of this.#words) {
      words.command = COMMAND_STOP;
      alertVcpu(this.#machine, words);
    }
  }
  #wait(done: () => boolean): void {
    const { clock } = this.#options.processors.host;
    for (const began = clock.now(); ; ) {
      const seen = this.#machine.doorbell;
      if (done()) return;
      if (this.#lost !== undefined || clock.now() - began > PATIENCE_NS) throw new Error(this.#lost ?? 'a processor\'s thread does not answer');
      this.#machine.await(seen, 10, 0);
    }
  }

  /** Changes what addresses mean while no processor looks any up: those that wait for a device go on behind it. */
  readonly exclusively = (change: () => void): void => {
    if (this.#going) {
      this.#order();
      this.#wait(() => this.#words.every((words) => stands(words) || words.status === REQUESTING));
    }
    change();
    this.#vm?.slots.update(this.#machine.a20);
    if (this.#going) for (const words of this.#words) handOver(words, COMMAND_RUN);
  };
  memoryMapChanged(): void {
    for (const words of this.#words) {
      words.postEvents(EVENT_MAP);
      alertVcpu(this.#machine, words);
    }
  }
  setA20(open: boolean): void {
    const change = (): void => {
      this.#machine.a20 = open;
    };
    // KVM's guests would find no memory meanwhile.
    if (this.#vm === undefined) change();
    else this.exclusively(change);
    this.memoryMapChanged();
  }
  logWrites(on: boolean): void {
    this.pause();
    this.#vm?.slots.logWrites(on);
    for (const vcpu of this.#standing) vcpu.logWrites();
  }
  codeWritten(page: number, offset: number, length: number): void {
    this.#standing[0]!.runtime.call('wroteCopied', page);
    tellOwners(this.#machine, this.#words, this.#drops, page, offset, length);
  }
  requestExit(): void {
    this.#exitRequested = true;
  }
  /** Each thread tells its processor before that executes anything. */
  heldBack(): boolean {
    if (this.current === 'kvm' && this.#options.processors.kvm?.hostCounter === true) return false;
    this.pause();
    this.#tell(EVENT_HELD_BACK);
    return this.#standing[0]!.hasParavirtClock;
  }

  /** Their blocks have another state than their threads know. */
  #changed(): void {
    this.#vm?.slots.clear();
    this.#tell(EVENT_REFRESH);
  }
  /** While they stand. */
  #tell(event: number): void {
    for (const words of this.#words) {
      words.postEvents(event);
      words.alert();
    }
  }

  reset(): void {
    this.pause();
    for (const vcpu of this.#standing) vcpu.reset();
    for (const apic of this.#apics) apic.reset();
    this.#machine.a20 = true;
    this.#forgetPosted();
    this.#changed();
  }
  start(state: VcpuStart): void {
    this.pause();
    this.#standing[0]!.start(state);
    this.#changed();
  }
  /** What has been posted but not taken comes into the APICs' state. */
  #takePosted(): void {
    for (const words of this.#words) {
      const apic = this.#apics[words.index]!;
      words.takeInterrupts((vector, level) => apic.accept('fixed', vector, level));
      for (let nmis = words.takeNmis(); nmis > 0; nmis--) apic.accept('nmi', 0, false);
    }
  }
  #forgetPosted(): void {
    for (const words of this.#words) {
      words.takeInterrupts(() => {});
      words.takeNmis();
      words.takeEvents();
    }
  }
  save(): Plain {
    this.pause();
    this.#takePosted();
    return { vcpus: this.#standing.map((vcpu) => vcpu.save()), apics: this.#apics.map((apic) => apic.save()) };
  }
  load(state: Plain, version: number): void {
    if (version !== 1) throw new StateError(`processors: state version ${version} is unknown, expected 1`);
    this.pause();
    this.#fresh = false;
    const { vcpus, apics } = (state ?? {}) as { readonly vcpus?: Plain; readonly apics?: Plain };
    const count = this.#words.length;
    if (!Array.isArray(vcpus) || !Array.isArray(apics) || vcpus.length !== count || apics.length !== count) throw new StateError(`processors: the stored machine has not ${count} processors, as this one has`);
    this.#standing.forEach((vcpu, i) => vcpu.load(vcpus[i] as Plain, vcpu.stateVersion));
    this.#apics.forEach((apic, i) => apic.load(apics[i] as Plain, apic.stateVersion));
    this.#forgetPosted();
    this.#changed();
    const obstacle = this.#obstacle(this.current);
    if (obstacle === undefined) return;
    this.#options.log.warn(`the stored machine cannot go on with ${this.current}: ${obstacle}; it goes on with ${FALLBACK}`);
    this.switchTo(FALLBACK);
  }

  registers(): VcpuRegisters {
    return this.#standing[this.#looked]!.registers();
  }
  get halted(): boolean {
    return this.#standing.every((vcpu) => vcpu.halted);
  }
  get instructions(): number {
    return this.#standing.reduce((sum, vcpu) => sum + vcpu.instructions, 0);
  }
  exitCounts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = { ...this.#requests.counts };
    const add = (more: Readonly<Record<string, number>>): void => {
      for (const [name, count] of Object.entries(more)) counts[name] = (counts[name] ?? 0) + count;
    };
    for (const vcpu of this.#standing) {
      const { exception, interrupt, tlbMiss, codeInvalidation, paravirtEoi } = vcpu.exitCounts() as Record<string, number>;
      add({ exception: exception!, interrupt: interrupt!, tlbMiss: tlbMiss!, codeInvalidation: codeInvalidation!, paravirtEoi: paravirtEoi! });
    }
    for (const { paravirtCounts, regionCounts, directEntries } of this.#words) add({ ...paravirtCounts, ...regionCounts, entries: directEntries });
    return counts;
  }
  close(): void {
    for (const words of this.#words) {
      words.command = COMMAND_END;
      if (stands(words)) words.status = RUNNING;
      alertVcpu(this.#machine, words);
    }
    for (const thread of this.#threads) thread.end();
    this.#vm?.close();
  }

  get engines(): EngineSwitch {
    return this;
  }
  get current(): ThreadEngine {
    return this.#machine.engine;
  }
  get available(): readonly ThreadEngine[] {
    return this.#options.processors.engines;
  }
  get countsInstructions(): boolean {
    return countsInstructions(this.current);
  }
  get switches(): { readonly count: number; readonly longestMs: number } {
    return { count: this.#switches, longestMs: this.#longestNs / 1e6 };
  }
  /** All stop, and each thread takes its processor's state out of the block with the other engine. */
  switchTo(name: string): void {
    const engine = this.available.find((available) => available === name);
    if (engine === undefined) throw new UserError(`this machine, which has several processors, has no engine "${name}"; give one of ${this.available.join(', ')}`);
    if (engine === this.current) return;
    const { clock } = this.#options.processors.host;
    const began = clock.now();
    this.pause();
    const obstacle = this.#obstacle(engine);
    if (obstacle !== undefined) throw new UserError(`the engine cannot change to ${engine}: ${obstacle}`);
    this.#countUsage();
    this.#machine.engine = engine;
    this.#changed();
    if (this.#begun) {
      for (const words of this.#words) handOver(words, COMMAND_CHANGE);
      this.#wait(() => this.#words.every(stands));
    }
    this.#switches++;
    this.#longestNs = Math.max(this.#longestNs, clock.now() - began);
  }
  /** Why the guest whose state is in the blocks cannot run there; undefined: it can. */
  #obstacle(engine: ThreadEngine): string | undefined {
    const { processors: { kvm }, memory, tscKhz } = this.#options;
    if (kvm === undefined || (engine !== 'hybrid' && engine !== 'kvm')) return undefined;
    const cpuid = guestCpuid(this.#standing[0]!.runtime, memory.wasm, 0);
    if (engine === 'hybrid') return hybridObstacle(cpuid, kvm.user.hidden);
    if (this.#standing.some(({ paravirt }) => (paravirt & ~paravirtFeatures(true, 'kvm')) !== 0)) {
      return 'the guest has been offered paravirtual calls between its processors, which KVM does not serve here (machines that are started with --switchable or --paravirt off leave them out)';
    }
    return kvmObstacle(cpuid, kvm.capabilities, tscKhz());
  }
  #countUsage(): void {
    this.#usage.count(this.current, { ns: this.#words.reduce((sum, { busyNs }) => sum + busyNs, 0), instructions: this.instructions, exits: this.exitCounts() });
  }
  usage(): Readonly<Record<string, EngineUsage>> {
    this.#countUsage();
    return this.#usage.report(countsInstructions);
  }
}
