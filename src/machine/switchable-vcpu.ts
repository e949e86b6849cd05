import { UserError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import { seconds } from '../base/seconds.ts';
import type { EngineSwitch, EngineUsage, TranslationFigures, Vcpu, VcpuExit, VcpuRegisters, VcpuStart } from '../cpu/vcpu.ts';
import type { MonotonicClock } from '../host/clock.ts';
import type { Log } from '../host/log.ts';

/** An engine that a vCPU can be on. */
export interface EngineSlot {
  readonly create: () => Vcpu;
  /** Why it cannot take the guest as it is; undefined: it can. Asked when another engine has put the state down. */
  readonly obstacle?: (vcpu: Vcpu) => string | undefined;
  /** Whether an error of `run` says that this engine cannot go on, though another one may. */
  readonly givesUp?: (error: unknown) => boolean;
}

export interface SwitchableOptions {
  readonly engines: ReadonlyMap<string, EngineSlot>;
  readonly first: string;
  /** Takes over when another engine gives up. */
  readonly fallback: string;
  /** Makes all engines at once, so that the first change to one is as quick as others. */
  readonly prepare: boolean;
  /** Called before a machine that was not stored executes anything. */
  readonly begin?: () => void;
  readonly clock: MonotonicClock;
  readonly log: Log;
}

interface Usage {
  ns: number;
  instructions: number;
}

/**
 * A vCPU that can change its engine between two runs. The engines share the vCPU's block and guest RAM; the state goes
 * from one to the next by `save` and `load`, as into a stored machine.
 */
export class SwitchableVcpu implements Vcpu, EngineSwitch {
  readonly stateName = 'vcpu-x86';
  readonly stateVersion = 1;
  readonly #options: SwitchableOptions;
  readonly #made = new Map<string, Vcpu>();
  readonly #usage = new Map<string, Usage>();
  #name: string;
  #vcpu: Vcpu;
  #switches = 0;
  #longestNs = 0;
  #begun = false;
  /** A log of writes is kept. */
  #logging = false;

  constructor(options: SwitchableOptions) {
    this.#options = options;
    this.#name = options.first;
    // Making one takes longer than a change may; each is reset when it is made.
    if (options.prepare) for (const name of options.engines.keys()) this.#make(name);
    this.#vcpu = this.#make(options.first);
    if (options.prepare) this.#vcpu.reset();
  }

  #make(name: string): Vcpu {
    let vcpu = this.#made.get(name);
    if (vcpu === undefined) {
      vcpu = this.#options.engines.get(name)!.create();
      this.#made.set(name, vcpu);
      if (this.#logging) vcpu.logWrites(true);
    }
    return vcpu;
  }

  get engines(): EngineSwitch {
    return this;
  }
  get current(): string {
    return this.#name;
  }
  get available(): readonly string[] {
    return [...this.#options.engines.keys()];
  }
  get switches(): { readonly count: number; readonly longestMs: number } {
    return { count: this.#switches, longestMs: this.#longestNs / 1e6 };
  }

  switchTo(name: string): void {
    const slot = this.#options.engines.get(name);
    if (slot === undefined) throw new UserError(`this machine has no engine "${name}"; give one of ${this.available.join(', ')}`);
    if (name === this.#name) return;
    const { clock } = this.#options;
    const began = clock.now();
    const before = this.#vcpu;
    const state = before.save();
    // Decoded code lies in tables that all share: the old engine's must be gone. Loading drops it.
    before.load(state, this.stateVersion);
    // A vCPU that is made now begins with a reset of the block that all share.
    const next = this.#make(name);
    next.load(state, this.stateVersion);
    const obstacle = slot.obstacle?.(next);
    if (obstacle !== undefined) {
      before.load(state, this.stateVersion);
      throw new UserError(`the engine cannot change to ${name}: ${obstacle}`);
    }
    this.#name = name;
    this.#vcpu = next;
    this.#switches++;
    this.#longestNs = Math.max(this.#longestNs, clock.now() - began);
  }

  run(budget: number, until?: () => number): VcpuExit {
    const { clock, engines, fallback, log } = this.#options;
    if (!this.#begun) this.#begin();
    const began = clock.now();
    const before = this.#vcpu.instructions;
    try {
      return this.#vcpu.run(budget, until);
    } catch (error) {
      if (engines.get(this.#name)!.givesUp?.(error) !== true) throw error;
      log.warn(`${(error as Error).message}; the machine goes on with the ${fallback}`);
      this.switchTo(fallback);
      return 'requested';
    } finally {
      this.#count(clock.now() - began, this.#vcpu.instructions - before);
    }
  }

  #begin(): void {
    this.#begun = true;
    this.#options.begin?.();
  }

  #count(ns: number, instructions: number): void {
    let usage = this.#usage.get(this.#name);
    if (usage === undefined) this.#usage.set(this.#name, (usage = { ns: 0, instructions: 0 }));
    usage.ns += ns;
    usage.instructions += instructions;
  }

  usage(): Readonly<Record<string, EngineUsage>> {
    return Object.fromEntries([...this.#made].map(([name, vcpu]) => {
      const { ns, instructions } = this.#usage.get(name) ?? { ns: 0, instructions: 0 };
      const exitSeconds = vcpu.exitSeconds?.();
      return [name, {
        seconds: seconds(ns), instructions: vcpu.countsInstructions ? instructions : null, exits: vcpu.exitCounts(), ...(exitSeconds === undefined ? {} : { exitSeconds }),
      }];
    }));
  }

  reset(): void {
    this.#vcpu.reset();
  }
  start(state: VcpuStart): void {
    this.#vcpu.start(state);
  }
  save(): Plain {
    return this.#vcpu.save();
  }
  /** A guest that has been told of something that this engine lacks goes on with the fallback. */
  load(state: Plain, version: number): void {
    const { engines, fallback, log } = this.#options;
    this.#begun = true;
    this.#vcpu.load(state, version);
    const obstacle = engines.get(this.#name)!.obstacle?.(this.#vcpu);
    if (obstacle === undefined) return;
    log.warn(`the stored machine cannot go on with ${this.#name}: ${obstacle}; it goes on with ${fallback}`);
    this.switchTo(fallback);
  }
  requestExit(): void {
    this.#vcpu.requestExit();
  }
  setA20(open: boolean): void {
    this.#vcpu.setA20(open);
  }
  memoryMapChanged(): void {
    this.#vcpu.memoryMapChanged();
  }
  /** An engine that the guest has left may have something to say, too. */
  logWrites(on: boolean): void {
    this.#logging = on;
    for (const vcpu of this.#made.values()) vcpu.logWrites(on);
  }
  codeWritten(page: number, offset: number, length: number): void {
    this.#vcpu.codeWritten(page, offset, length);
  }
  addStolenTime(ns: number): void {
    this.#vcpu.addStolenTime?.(ns);
  }
  heldBack(): boolean {
    return this.#vcpu.heldBack?.() ?? false;
  }
  pause(): void {
    this.#vcpu.pause?.();
  }
  registers(): VcpuRegisters {
    return this.#vcpu.registers();
  }
  exitCounts(): Readonly<Record<string, number>> {
    return this.#vcpu.exitCounts();
  }
  translation(): TranslationFigures | undefined {
    for (const vcpu of this.#made.values()) {
      const figures = vcpu.translation?.();
      if (figures !== undefined) return figures;
    }
    return undefined;
  }
  close(): void {
    for (const vcpu of this.#made.values()) vcpu.close?.();
  }
  get halted(): boolean {
    return this.#vcpu.halted;
  }
  get instructions(): number {
    return this.#vcpu.instructions;
  }
  get countsInstructions(): boolean {
    return this.#vcpu.countsInstructions;
  }
}
