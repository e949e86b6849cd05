import type { Plain } from '../../base/plain.ts';
import type { TranslationFigures, Vcpu, VcpuExit, VcpuRegisters, VcpuStart } from '../../cpu/vcpu.ts';
import { RAM_BASE } from '../../memory/layout.ts';
import { createInterpreter } from '../interpreter/interpreter.ts';
import { createTranslator } from '../translator/translator.ts';
import { differencesIn, ramDifferences, recentDifferences, registerDifferences } from './comparison.ts';
import type { StateDifference } from './comparison.ts';
import { EventLog, LogReader } from './event-log.ts';
import { recordedCalls, replayedCalls } from './host-calls.ts';
import { Narrowing } from './narrowing.ts';
import type { LockstepOptions } from './options.ts';
import { Twin } from './twin.ts';
import type { Checkpoint } from './twin.ts';

/** Instructions between two comparisons of all of RAM. */
const CHECKPOINT_INSTRUCTIONS = 50e6;
const CHECKPOINT_ENTRIES = 1 << 20;
/** Instructions between two comparisons of pages that were written lately. */
const RECENT_INSTRUCTIONS = 1e6;

/** The two engines have done different things; the message says where. */
export class LockstepError extends Error {}

/**
 * A vCPU that is two: the translator runs the machine, the interpreter does the same behind it, on a memory of its own,
 * with what the translator got from devices. Behind each slice both have to have the same registers, now and then the same
 * in the pages that were written lately, more seldom in all of RAM. `run` throws a LockstepError with the first instruction that differs.
 */
export class LockstepVcpu implements Vcpu {
  readonly stateName = 'vcpu-x86';
  readonly stateVersion = 1;
  readonly #options: LockstepOptions;
  readonly #log = new EventLog();
  readonly #reader = new LogReader(this.#log);
  readonly #leader: Twin;
  readonly #follower: Twin;
  /** What both were when the log was empty; undefined: they are not equal, as something came by other ways than the log. */
  #checkpoint: Checkpoint | undefined;
  readonly #checkpointRam: Uint32Array;
  /** Instructions at the last comparison of what was written lately. */
  #recentAt = 0;

  constructor(options: LockstepOptions) {
    const { ram, memory, index } = options;
    this.#options = options;
    const leader = (this.#leader = new Twin(memory, index));
    const follower = (this.#follower = new Twin(new WebAssembly.Memory({ initial: memory.buffer.byteLength / 65536, maximum: 65536, shared: true }), index));
    this.#checkpointRam = new Uint32Array((leader.bytes.length - RAM_BASE) / 4);
    leader.vcpu = createTranslator({ ...options, ...recordedCalls(options, this.#log, () => leader.place()) });
    const { log: _, profiler: __, ...quiet } = options;
    follower.vcpu = createInterpreter({ ...quiet, memory: follower.memory, ...replayedCalls(this.#reader, follower, options.numericError !== undefined) });
    ram.onWritten((host, length) => {
      if (this.#checkpoint !== undefined) this.#log.add({ kind: 'store', host, bytes: leader.bytes.slice(host, host + length) });
    });
  }

  run(budget: number): VcpuExit {
    const leader = this.#leader;
    this.#keepCheckpoint();
    const exit = leader.vcpu.run(budget);
    this.#log.add({ kind: 'slice', at: leader.place() });
    this.#check(() => {
      while (this.#reader.stop !== undefined) this.#follower.follow(this.#reader);
      const differences = registerDifferences(leader, this.#follower);
      if (leader.vcpu.instructions - this.#recentAt < RECENT_INSTRUCTIONS) return differences;
      this.#recentAt = leader.vcpu.instructions;
      return [...differences, ...recentDifferences(leader, this.#follower)];
    });
    return exit;
  }

  #check(compare: () => StateDifference[]): void {
    const differences = differencesIn(compare);
    if (differences.length === 0) return;
    const narrowing = new Narrowing({ options: this.#options, log: this.#log, reader: this.#reader, leader: this.#leader, follower: this.#follower, checkpoint: this.#checkpoint! });
    throw new LockstepError(narrowing.report(differences));
  }

  #keepCheckpoint(): void {
    const { vcpu } = this.#leader;
    const before = this.#checkpoint;
    if (before === undefined) this.#follower.become(this.#leader.checkpoint(this.#checkpointRam));
    else {
      if (vcpu.instructions - before.instructions < (this.#options.checkpointInstructions ?? CHECKPOINT_INSTRUCTIONS) && this.#log.entries.length < CHECKPOINT_ENTRIES) return;
      for (const effect of this.#reader.effects()) this.#follower.apply(effect);
      this.#check(() => ramDifferences(this.#leader, this.#follower));
    }
    this.#checkpoint = this.#follower.checkpoint(this.#checkpointRam);
    this.#log.clear();
    this.#reader.position = [0, 0];
  }

  /** For both, by other ways than the log. */
  #both(action: (vcpu: Vcpu) => void): void {
    this.#checkpoint = undefined;
    for (const { vcpu } of [this.#leader, this.#follower]) action(vcpu);
  }
  reset(): void {
    this.#both((vcpu) => vcpu.reset());
  }
  start(state: VcpuStart): void {
    this.#both((vcpu) => vcpu.start(state));
  }
  load(state: Plain, version: number): void {
    this.#both((vcpu) => vcpu.load(state, version));
  }
  setA20(open: boolean): void {
    if (this.#checkpoint === undefined) this.#follower.vcpu.setA20(open);
    else this.#log.add({ kind: 'a20', open });
    this.#leader.vcpu.setA20(open);
  }
  memoryMapChanged(): void {
    const { ram } = this.#options;
    const leader = this.#leader;
    if (this.#checkpoint !== undefined) this.#log.add({ kind: 'map', regions: leader.regionTable, storage: leader.bytes.slice(ram.ramHost(0) + ram.bytes) });
    leader.vcpu.memoryMapChanged();
  }

  // The leader is what the machine knows.
  save(): Plain {
    return this.#leader.vcpu.save();
  }
  requestExit(): void {
    this.#leader.vcpu.requestExit();
  }
  logWrites(): void {
    this.#leader.vcpu.logWrites();
  }
  codeWritten(page: number, offset: number, length: number): void {
    this.#leader.vcpu.codeWritten(page, offset, length);
  }
  readonly countsInstructions = true;
  get halted(): boolean {
    return this.#leader.vcpu.halted;
  }
  get instructions(): number {
    return this.#leader.vcpu.instructions;
  }
  exitCounts(): Readonly<Record<string, number>> {
    return this.#leader.vcpu.exitCounts();
  }
  translation(): TranslationFigures | undefined {
    return this.#leader.vcpu.translation();
  }
  registers(): VcpuRegisters {
    return this.#leader.vcpu.registers();
  }
}
