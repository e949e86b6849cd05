import { once } from '../../base/once.ts';
import type { VcpuExit } from '../../cpu/vcpu.ts';
import { createInterpreter } from '../../engines/interpreter/interpreter.ts';
import type { Interpreter } from '../../engines/interpreter/interpreter.ts';
import { codeAreaAt } from '../../engines/interpreter/code-area.ts';
import { KvmFailure, KvmVcpu, beginKvm } from '../../engines/kvm/kvm-vcpu.ts';
import type { KvmOptions } from '../../engines/kvm/kvm-vcpu.ts';
import type { Interruptions } from '../../engines/hybrid/direct-vm.ts';
import { HybridVcpu } from '../../engines/hybrid/hybrid-vcpu.ts';
import type { HybridOptions } from '../../engines/hybrid/hybrid-vcpu.ts';
import { createTranslator } from '../../engines/translator/translator.ts';
import type { RegionCompiler } from '../../engines/translator/region-builder.ts';
import type { EngineModules } from '../../engines/modules.ts';
import { ticksAt } from '../../host/clock.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import { randomWords } from '../../host/entropy.ts';
import type { Entropy } from '../../host/entropy.ts';
import type { Log } from '../../host/log.ts';
import { ApicBus } from '../../interrupts/apic-bus.ts';
import { LocalApic } from '../../interrupts/local-apic.ts';
import { SliceLength } from '../slice-length.ts';
import { traceInterrupts } from '../trace.ts';
import { ApicTimer } from './apic-timer.ts';
import { CodeDrops, tellOwners } from './code-drops.ts';
import { HaltPoll } from './halt-poll.ts';
import { hypercalls } from './hypercalls.ts';
import { PostedApic, alertVcpu } from './posted-apic.ts';
import { SpinWait } from './spin-wait.ts';
import {
  ACKNOWLEDGE_PIC, COMMAND_END, COMMAND_RUN, END_OF_INTERRUPT, EVENT_BEGIN, EVENT_HELD_BACK, EVENT_INIT, EVENT_MAP, EVENT_REFRESH, EVENT_START_UP, EVENT_WAKE, FAILED, GAVE_UP, HALTED, MachineWords,
  NUMERIC_ERROR, RUNNING, SHUT_DOWN, STOPPED, VcpuWords,
} from './shared-words.ts';
import { ThreadBus } from './thread-bus.ts';
import type { ThreadEngine } from './thread-engine.ts';

/** What a vCPU's thread is to execute. */
export interface VcpuOrder {
  readonly memory: WebAssembly.Memory;
  readonly modules: EngineModules;
  readonly index: number;
  /** Identifiers of all processors' local APICs. */
  readonly apicIds: readonly number[];
  /** Those that the machine can be on. */
  readonly engines: readonly ThreadEngine[];
  /** They are made at once, so that the first change to one is as quick as others. */
  readonly prepare: boolean;
  readonly cacheBytes: number;
  /** Where its decoded code lies; undefined: where the first vCPU's does. */
  readonly codeArea: number | undefined;
  /** A halted processor looks for its wake-up for some time before the thread sleeps: no other wants the host's processor meanwhile. */
  readonly looksBeforeSleep: boolean;
  /** Where the machine may be on an engine of KVM's: what is known of KVM. */
  readonly kvm: (Pick<KvmOptions, 'hostCounter' | 'losesSyscalls'> & {
    /** Descriptor of its vCPU; missing: its kernel is never on KVM. */
    readonly vcpu?: number;
    /** What is known of ring 3, and where the hybrid engine has its shadow tables. */
    readonly user: Pick<HybridOptions, 'direct32' | 'hidden'>;
    readonly shadowArea: number;
  }) | undefined;
  /** Kinds of trace that were asked for. */
  readonly traces: readonly string[];
}

/** What a thread tells the machine's besides: nothing, so that it wakes up from a sleep in its event loop; or kind and text of a trace. */
export type VcpuMessage = null | readonly [kind: string, message: string];

/** What the host gives to a vCPU's thread. */
export interface VcpuThreadPorts {
  readonly clock: MonotonicClock;
  readonly entropy: Entropy;
  /** Lets what has come for this thread arrive. */
  yield(): Promise<void>;
  tellMachine(message: VcpuMessage): void;
  /** How long this thread has wanted to execute and could not, in ns, in all; missing: the host does not say. */
  waitedNs?(): number;
  readonly compiler: RegionCompiler;
  /** KVM for this thread; missing: there is none. */
  kvm?(): KvmOfThread;
}

/** What of KVM a thread needs. */
export type KvmOfThread = Pick<KvmOptions, 'host' | 'capabilities'>;

/** What a thread asks of the engine that it runs. */
type ThreadVcpu = Pick<Interpreter, 'requestExit' | 'init' | 'startUp' | 'refresh' | 'setA20' | 'codeWritten' | 'dropCode' | 'recheckCode' | 'mayWake' | 'blocksNmi'> & Partial<Pick<Interpreter, 'wake' | 'leaveProcessor' | 'enterProcessor' | 'addStolenTime' | 'heldBack' | 'spins'>> & {
  run(budget: number, until?: () => number): VcpuExit;
  /** All state into the block. */
  pause?(): void;
  close?(): void;
};

/** A slice should take about this long: what the other threads want is looked at behind it. */
const SLICE_NS = 50_000;
const LONGEST_SLICE = 100_000;
/** One that finds out whether a loop still waits. */
const GLANCE_NS = 5_000;
/** How long the processor executes before the thread's event loop gets a turn. */
const TURN_NS = 4e6;

/** Executes a vCPU until the machine ends it. Its state lies in the machine's memory: whoever stops it finds all of it there. */
export async function runVcpuThread(order: VcpuOrder, ports: VcpuThreadPorts): Promise<void> {
  const words = new VcpuWords(order.memory, order.index);
  let thread: VcpuThread | undefined;
  try {
    thread = new VcpuThread(order, ports, words);
    await thread.run();
  } catch (error) {
    words.failure = error instanceof Error ? error.message : String(error);
    words.status = FAILED;
    if (new MachineWords(order.memory).ring()) ports.tellMachine(null);
  } finally {
    thread?.close();
  }
}

class VcpuThread {
  readonly #ports: VcpuThreadPorts;
  readonly #machine: MachineWords;
  readonly #words: VcpuWords;
  readonly #all: readonly VcpuWords[];
  readonly #drops: readonly CodeDrops[];
  readonly #timer: ApicTimer;
  readonly #apic: LocalApic;
  readonly #bus: ThreadBus;
  readonly #make: Readonly<Record<ThreadEngine, () => ThreadVcpu>>;
  readonly #kvm: () => KvmVcpu;
  readonly #hybrid: () => HybridVcpu;
  /** What is to be made before the first run and asks the processor, so that its block has to be this thread's. */
  readonly #begin: () => void;
  /** Give back what engines hold of the host's, whichever is the current one. */
  readonly #ends: (() => void)[] = [];
  #engine: ThreadEngine;
  #vcpu: ThreadVcpu;
  /** Of the host; 0 without KVM. */
  readonly #thread: number;
  #turnEnds = 0;
  readonly #sliceLength = new SliceLength(LONGEST_SLICE);
  /** INIT and start-up wait until the processor stands between two instructions. */
  #deferred = 0;
  /** Another processor has woken this one: it goes on behind its HLT, or behind the next one. */
  #woken = false;
  #waitedNs = 0;
  #translator: Interpreter | undefined;
  readonly #poll: HaltPoll | undefined;
  readonly #spinWait: SpinWait;
  /** Whoever causes interrupts now looks for them next: no kick is needed. */
  #looking = false;

  constructor(order: VcpuOrder, ports: VcpuThreadPorts, words: VcpuWords) {
    const { memory, modules, index, apicIds, codeArea } = order;
    const vcpus = apicIds.length;
    this.#ports = ports;
    this.#words = words;
    this.#poll = order.looksBeforeSleep ? new HaltPoll() : undefined;
    this.#spinWait = new SpinWait(!order.looksBeforeSleep);
    const kvm = order.kvm === undefined ? undefined : ports.kvm?.();
    if (order.kvm !== undefined && kvm === undefined) throw new Error('this host has no KVM for threads');
    this.#thread = kvm?.host.thread ?? 0;
    const machine = this.#machine = new MachineWords(memory, (other) => kvm?.host.interrupt(other));
    this.#all = Array.from({ length: vcpus }, (_, i) => (i === index ? words : new VcpuWords(memory, i)));
    this.#drops = this.#all.map((_, i) => new CodeDrops(memory, i));
    this.#timer = new ApicTimer(words.apic);
    const bus = new ApicBus();
    const clock: MonotonicClock = { now: () => this.#now() };
    const tsc = (): number => ticksAt(this.#now(), machine.tscKhz);
    this.#apic = new LocalApic({
      id: apicIds[index]!, boot: index === 0, bus, clock, timers: this.#timer, store: words.apic, tsc, tscKhz: () => machine.tscKhz,
      kick: {
        kick: () => {
          if (!this.#looking) this.#vcpu.requestExit();
        },
      },
      pic: index === 0 ? { get pending() { return machine.picPending; }, acknowledge: () => this.#bus.request(ACKNOWLEDGE_PIC) | 0 } : undefined,
      processor: { init: () => this.#defer(EVENT_INIT), startup: () => {}, blocksNmi: () => this.#vcpu.blocksNmi },
      windowMoved: () => {},
    });
    // In the order of their numbers, which breaks ties between priorities.
    const apics = this.#all.map((other, i) => (i === index ? this.#apic : new PostedApic(machine, other, apicIds[i]!)));
    for (const apic of apics) bus.add(apic);
    bus.onEndOfInterrupt((vector) => this.#bus.request(END_OF_INTERRUPT, vector));
    this.#bus = new ThreadBus(machine, words, this.#apic, () => ports.tellMachine(null), () => this.#afterRequest());
    const log: Log = { warn: () => {}, tracing: (kind) => order.traces.includes(kind), trace: (kind, message) => ports.tellMachine([kind, message]) };
    const options = {
      log, memory, modules, index, apicId: apicIds[index]!, vcpus, bus: this.#bus, hostTsc: tsc, adopts: true,
      interrupts: traceInterrupts({
        pending: () => this.#look() && this.#apic.pending(),
        acknowledge: () => this.#apic.acknowledge(),
        takeNmi: () => this.#look() && this.#apic.takeNmi(),
        giveBackNmi: () => this.#apic.giveBackNmi(),
        offerEoi: (settle: () => boolean) => this.#apic.offerEoi(settle),
        settleEoi: () => this.#apic.settleEoi(),
        readTaskPriority: () => this.#apic.readTaskPriority(),
        writeTaskPriority: (value: number) => this.#apic.writeTaskPriority(value),
        readMsr: (number: number) => this.#apic.readMsr(number),
        writeMsr: (number: number, value: bigint) => this.#apic.writeMsr(number, value),
      }, log),
      bootTime: () => machine.bootTime,
      hypercall: hypercalls(new Map(apics.map((apic, i) => [apicIds[i]!, apic])), (id) => this.#wakeProcessor(apicIds.indexOf(id)), words),
      numericError: (pending: boolean) => this.#bus.request(NUMERIC_ERROR, pending ? 1 : 0) !== 0,
      random32: randomWords(ports.entropy),
      codeWritten: (page: number, offset: number, length: number) => tellOwners(machine, this.#all, this.#drops, page, offset, length, index),
      interruptVcpu: (other: number) => alertVcpu(machine, this.#all[other]!),
      ...(codeArea === undefined ? {} : { codeArea: codeAreaAt(codeArea) }),
    };
    const interpreter = once(() => createInterpreter(options));
    const translator = once(() => this.#translator = createTranslator({ ...options, clock: ports.clock, cacheBytes: order.cacheBytes, compiler: ports.compiler }));
    this.#make = {
      interpreter,
      translator,
      hybrid: this.#hybrid = once(() => {
        const vcpu = new HybridVcpu({ ...options, ...kvm!, ...order.kvm!.user, area: order.kvm!.shadowArea, interruptions: this.#interruptions(), clock, home: translator() });
        this.#ends.push(() => vcpu.close());
        return vcpu;
      }),
      kvm: this.#kvm = once(() => new KvmVcpu({ ...options, ...kvm!, ...order.kvm!, counterLead: machine, home: interpreter(), clock, tscKhz: () => machine.tscKhz })),
    };
    if (order.prepare) for (const engine of order.engines) this.#make[engine]();
    this.#engine = machine.engine;
    this.#vcpu = this.#make[this.#engine]();
    this.#begin = () => {
      if (order.prepare && order.engines.includes('hybrid')) this.#hybrid().begin();
    };
  }

  /** Whoever alerts this processor while user code runs directly ends that. */
  #interruptions(): Interruptions {
    const words = this.#words;
    const waiting = (): boolean => words.attention || words.shadowPosted || words.command !== COMMAND_RUN;
    return {
      get waiting() {
        return waiting();
      },
      admit: () => {
        words.turnDirect();
        words.turn();
        words.kvmThread = this.#thread;
        return !waiting();
      },
      refuse: () => {
        words.kvmThread = 0;
        words.turn();
        words.turnDirect();
      },
    };
  }

  /** The state is in the block, where the next engine finds it. */
  #changeEngine(): void {
    const { engine } = this.#machine;
    if (engine === this.#engine) return;
    // Decoded code lies in tables that all have in common: that of the engine before must be gone.
    this.#vcpu.refresh();
    this.#engine = engine;
    this.#vcpu = this.#make[engine]();
  }

  /** The guest's time. */
  #now(): number {
    return this.#ports.clock.now() + this.#machine.clockOffset;
  }

  async run(): Promise<void> {
    const words = this.#words;
    const until = (): number => Math.min(this.#timer.deadline ?? Number.POSITIVE_INFINITY, this.#turnEnds + this.#machine.clockOffset);
    words.awaitHandOver();
    if (words.command !== COMMAND_END) this.#begin();
    for (this.#turnEnds = this.#ports.clock.now() + TURN_NS; ; ) {
      if (words.status !== RUNNING) words.status = RUNNING;
      const { command } = words;
      if (command === COMMAND_END) return;
      if (words.attention) this.#look();
      this.#actOnDeferred();
      if (command !== COMMAND_RUN) {
        this.#stand(STOPPED);
        continue;
      }
      const began = this.#ports.clock.now();
      this.#looking = true;
      this.#timer.runDue(began + this.#machine.clockOffset);
      this.#looking = false;
      words.kvmThread = this.#engine === 'kvm' ? this.#thread : 0;
      // Who has ordered otherwise before this thread could be interrupted is seen here.
      if (words.command !== COMMAND_RUN) {
        words.kvmThread = 0;
        continue;
      }
      words.turn();
      const budget = this.#sliceLength.forTime(this.#spinWait.waits ? GLANCE_NS : SLICE_NS);
      const exit = this.#run(budget, until);
      words.turn();
      words.kvmThread = 0;
      const now = this.#ports.clock.now();
      words.busyNs += now - began;
      if (exit === 'budget') this.#sliceLength.measured(budget, now - began);
      else if (exit === 'halt') this.#halted();
      else if (exit === 'shutdown') this.#stand(SHUT_DOWN);
      else if (exit === 'gave up') this.#stand(GAVE_UP);
      this.#standAside(this.#spinWait.after(exit === 'budget' && this.#vcpu.spins === true));
      if (now < this.#turnEnds) continue;
      this.#tell();
      await this.#ports.yield();
      this.#turnEnds = this.#ports.clock.now() + TURN_NS;
    }
  }

  #run(budget: number, until: () => number): VcpuExit | 'gave up' {
    try {
      return this.#vcpu.run(budget, until);
    } catch (error) {
      if (!(error instanceof KvmFailure)) throw error;
      this.#words.failure = error.message;
      return 'gave up';
    }
  }

  close(): void {
    this.#vcpu.close?.();
    for (const end of this.#ends) end();
  }

  /** The block is the machine's until that says otherwise. */
  #stand(status: number): void {
    this.#vcpu.pause?.();
    this.#words.status = status;
    this.#ring();
    this.#words.awaitHandOver();
  }

  #ring(): void {
    if (this.#machine.ring()) this.#ports.tellMachine(null);
  }

  /** HLT, or no start-up message yet. */
  #halted(): void {
    if (this.#woken) {
      this.#woken = false;
      this.#vcpu.wake?.();
      return;
    }
    this.#vcpu.leaveProcessor?.();
    this.#sleep();
    this.#vcpu.enterProcessor?.();
  }
  #wakeProcessor(index: number): void {
    const words = this.#all[index];
    if (words === undefined) return;
    words.postEvents(EVENT_WAKE);
    alertVcpu(this.#machine, words);
  }
  #tell(): void {
    if (this.#translator !== undefined) this.#words.tellRegions(this.#translator.translation()!.regions);
    this.#reportWaiting();
  }
  #reportWaiting(): void {
    const { waitedNs } = this.#ports;
    if (waitedNs === undefined) return;
    const now = waitedNs();
    this.#vcpu.addStolenTime?.(now - this.#waitedNs);
    this.#waitedNs = now;
  }

  #sleep(): void {
    const words = this.#words;
    const seen = words.wakes;
    words.status = HALTED;
    if (!this.#vcpu.mayWake) this.#ring();
    if (words.attention || this.#deferred !== 0 || words.command !== COMMAND_RUN) return;
    const { deadline = Number.POSITIVE_INFINITY } = this.#timer;
    const began = this.#now();
    if (this.#othersWork()) this.#poll?.look(() => words.wakes !== seen, () => this.#now(), deadline);
    words.sleep(seen, Math.max(0, (deadline - this.#now()) / 1e6));
    this.#poll?.halted(this.#now() - began);
  }

  /** The guest waits in a loop: another has the host's processor for so many ns, or until something is posted. */
  #standAside(ns: number): void {
    if (ns === 0) return;
    const words = this.#words;
    const seen = words.wakes;
    if (words.attention || this.#deferred !== 0 || words.command !== COMMAND_RUN) return;
    const { deadline = Number.POSITIVE_INFINITY } = this.#timer;
    words.sleep(seen, Math.max(0, Math.min(ns, deadline - this.#now())) / 1e6);
  }

  /** Or are about to: they may soon wake this one. */
  #othersWork(): boolean {
    return this.#all.some((other) => other !== this.#words && (other.status !== HALTED || other.attention));
  }

  #defer(events: number): void {
    this.#deferred |= events;
    this.#vcpu.requestExit();
  }

  #actOnDeferred(): void {
    const events = this.#deferred;
    if (events === 0) return;
    this.#deferred = 0;
    if ((events & EVENT_INIT) !== 0) this.#vcpu.init();
    if ((events & EVENT_START_UP) !== 0) this.#vcpu.startUp(this.#words.startUpVector & 0xff);
  }

  /** Takes what others have posted. Returns true. Legal wherever the engine calls out. */
  #look(): true {
    const words = this.#words;
    if (!words.attention) return true;
    words.attend();
    this.#looking = true;
    const events = words.takeEvents();
    if ((events & EVENT_REFRESH) !== 0) {
      this.#changeEngine();
      this.#vcpu.refresh();
      this.#apic.resume();
    }
    if ((events & EVENT_BEGIN) !== 0) beginKvm(this.#kvm());
    if ((events & EVENT_MAP) !== 0) this.#vcpu.setA20(this.#machine.a20);
    if ((events & EVENT_INIT) !== 0) this.#apic.accept('init', 0, false);
    if ((events & EVENT_START_UP) !== 0) this.#defer(EVENT_START_UP);
    if ((events & EVENT_WAKE) !== 0) this.#woken = true;
    if ((events & EVENT_HELD_BACK) !== 0) this.#vcpu.heldBack?.();
    for (let nmis = words.takeNmis(); nmis > 0; nmis--) this.#apic.accept('nmi', 0, false);
    words.takeInterrupts((vector, level) => this.#apic.accept('fixed', vector, level));
    this.#looking = false;
    this.#dropCode();
    this.#vcpu.recheckCode();
    return true;
  }

  #dropCode(): void {
    const drops = this.#drops[this.#words.index]!.take();
    // Some are lost: all that is decoded goes, which is the same as if the map had changed.
    if (drops === undefined) this.#vcpu.dropCode();
    else for (const { page, offset, length } of drops) this.#vcpu.codeWritten(page, offset, length);
  }

  /** Serving a request may have changed what addresses mean, for the next instruction already. */
  #afterRequest(): void {
    if (!this.#words.attention) return;
    this.#look();
    this.#vcpu.requestExit();
  }
}
