import { disassemble } from '../../isa/x86/decode/disassembler.ts';
import { MODE, MODE_CODE16, MODE_CODE64, MODE_CODE_MASK } from '../../isa/x86/state/layout.ts';
import { createTranslator } from '../translator/translator.ts';
import { RegionBuilder } from '../translator/region-builder.ts';
import { differencesIn, ramDifferences, recentDifferences, registerDifferences } from './comparison.ts';
import type { StateDifference } from './comparison.ts';
import { LogReader } from './event-log.ts';
import type { EventLog } from './event-log.ts';
import { replayedCalls } from './host-calls.ts';
import type { LockstepOptions } from './options.ts';
import { Twin } from './twin.ts';
import type { Checkpoint } from './twin.ts';

/** Instructions of the path through a region that are shown, and differences. */
const SHOWN = 60;
const DIFFERENCES_SHOWN = 12;
/** A region's run is replayed step by step as long as no interrupt or end of a slice is nearer than this. */
const NEAR = 1100;

export interface NarrowingOptions {
  readonly options: LockstepOptions;
  readonly log: EventLog;
  readonly reader: LogReader;
  readonly leader: Twin;
  readonly follower: Twin;
  readonly checkpoint: Checkpoint;
}

interface Step {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** Looks for the instruction at which two engines first differ, by doing again what the log says since a checkpoint. */
export class Narrowing {
  readonly #options: LockstepOptions;
  readonly #log: EventLog;
  readonly #follower: Twin;
  readonly #followerReader: LogReader;
  /** The leader's memory with a translator that gets everything from the log. */
  readonly #leaderMemory: Twin;
  #checkpoint: Checkpoint;
  /** Of both readers, at the checkpoint. */
  #position: LogReader['position'] = [0, 0];

  constructor({ options, log, reader, leader, follower, checkpoint }: NarrowingOptions) {
    this.#options = options;
    this.#log = log;
    this.#follower = follower;
    this.#followerReader = reader;
    this.#leaderMemory = leader;
    this.#checkpoint = checkpoint;
  }

  /** One text of several lines. */
  report(found: readonly StateDifference[]): string {
    const slices = this.#log.stops.length;
    const lines = [`translator and interpreter differ after ${this.#follower.vcpu.instructions} instructions`];
    const slice = this.#wrongSlice(slices);
    const region = slice === undefined ? undefined : this.#wrongRegion(slice);
    if (region === undefined) {
      lines.push('translated anew it does not differ: what was wrong depends on which regions there were, or on when they came', ...list(found));
      return lines.join('\n');
    }
    lines[0] = `translator and interpreter differ within ${region.path.length} instructions after ${region.instructions}`;
    lines.push('the region runs through:', ...region.path.slice(0, SHOWN).map(({ address, bytes, text }) => `  ${address.toString(16)}:  ${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ').padEnd(30)}  ${text}`));
    if (region.path.length > SHOWN) lines.push(`  and ${region.path.length - SHOWN} more`);
    lines.push('behind it (translator, interpreter):', ...list(region.differences), this.#wrongInstruction(region.path));
    return lines.join('\n');
  }

  #translator(instructions: number | undefined, hot: number): { readonly leader: Twin; readonly reader: LogReader } {
    const reader = new LogReader(this.#log);
    reader.position = this.#position;
    const { memory, block } = this.#leaderMemory;
    const leader = new Twin(memory, this.#options.index);
    if (leader.block !== block) throw new Error('another vCPU');
    const { log: _, clock: __, compiler: ___, profiler: ____, ...quiet } = this.#options;
    const { builder = (size) => new RegionBuilder(this.#options.modules.handlers, size) } = this.#options;
    leader.vcpu = createTranslator({ ...quiet, compiler: builder(instructions), tuning: { hot, wait: 0, doublings: 0 }, ...replayedCalls(reader, leader, this.#options.numericError !== undefined) });
    leader.become(this.#checkpoint);
    return { leader, reader };
  }
  #rewindFollower(): void {
    this.#follower.become(this.#checkpoint);
    this.#followerReader.position = this.#position;
  }

  /** Number of the stop before which the engines differ first, everything translated anew; they are brought to the one before. */
  #wrongSlice(stops: number): number | undefined {
    this.#rewindFollower();
    const { leader, reader } = this.#translator(undefined, 50);
    for (let stop = 0; stop < stops; stop++) {
      const differences = differencesIn(() => {
        this.#follower.follow(this.#followerReader);
        leader.follow(reader);
        return [...registerDifferences(leader, this.#follower), ...recentDifferences(leader, this.#follower)];
      });
      if (differences.length > 0) return stop;
    }
    return ramDifferences(leader, this.#follower).length > 0 ? stops - 1 : undefined;
  }

  /** The region's run at which they differ; the checkpoint is before it then. */
  #wrongRegion(slice: number): { readonly instructions: number; readonly path: readonly Step[]; readonly differences: readonly StateDifference[] } | undefined {
    const follower = this.#follower;
    this.#rewindFollower();
    for (let stop = 0; stop < slice; stop++) follower.follow(this.#followerReader);
    for (const effect of this.#followerReader.effects()) follower.apply(effect);
    this.#checkpoint = follower.checkpoint(this.#checkpoint.ram);
    this.#position = this.#followerReader.position;
    const { leader, reader } = this.#translator(undefined, 1);
    // The first time code is met it is interpreted; so twice.
    for (const _ of [1, 2]) {
      leader.become(this.#checkpoint);
      reader.position = this.#position;
      this.#rewindFollower();
      while (reader.stop !== undefined && reader.stop.at.instructions - leader.vcpu.instructions > NEAR) {
        const before = leader.place();
        const position = reader.position;
        const differences = differencesIn(() => {
          leader.vcpu.run(1);
          const after = leader.place();
          follower.runTo(after);
          return [...registerDifferences(leader, follower), ...recentDifferences(leader, follower)];
        });
        if (differences.length === 0) continue;
        const count = leader.vcpu.instructions - before.instructions;
        this.#rewindFollower();
        follower.runTo(before);
        this.#checkpoint = follower.checkpoint(this.#checkpoint.ram);
        this.#position = position;
        return { instructions: before.instructions, path: this.#path(count), differences };
      }
    }
    return undefined;
  }

  /** The instructions that the follower executes from the checkpoint on. */
  #path(count: number): Step[] {
    const { vcpu, view, block } = this.#follower;
    const steps: Step[] = [];
    this.#rewindFollower();
    // A fault is part of the path: a few more steps than instructions.
    for (let i = 0; i < count + 2 && vcpu.instructions - this.#instructionsThen() < Math.max(count, 1); i++) {
      const address = this.#follower.place().rip;
      const code = vcpu.codeAhead() ?? new Uint8Array();
      const mode = view.getUint32(block + MODE, true) & MODE_CODE_MASK;
      const { text, length } = disassemble(code, address, mode === MODE_CODE64 ? 64 : mode === MODE_CODE16 ? 16 : 32);
      steps.push({ address, bytes: code.subarray(0, length), text });
      if (differencesIn(() => (vcpu.step(), [])).length > 0) break;
    }
    return steps;
  }
  #instructionsThen(): number {
    return this.#checkpoint.instructions;
  }

  /** Which instruction makes the difference: the region is made of ever fewer of them. */
  #wrongInstruction(path: readonly Step[]): string {
    let right = 0;
    let rightRun = 0;
    for (let size = 1; size <= 400; size++) {
      const { leader, reader } = this.#translator(size, 1);
      // Accesses that are not in the TLB end a region, so what the first run has found there stays.
      leader.vcpu.run(1);
      leader.become(this.#checkpoint, true);
      reader.position = this.#position;
      this.#rewindFollower();
      const differences = differencesIn(() => {
        leader.vcpu.run(1);
        this.#follower.runTo(leader.place());
        return [...registerDifferences(leader, this.#follower), ...recentDifferences(leader, this.#follower)];
      });
      const run = Math.max(0, leader.vcpu.instructions - this.#instructionsThen());
      if (differences.length === 0) {
        right = size;
        rightRun = run;
        continue;
      }
      const suspects = path.slice(rightRun, Math.max(run, rightRun + 1));
      return `first wrong in a region of ${size} instruction${size === 1 ? '' : 's'}: ${suspects.map(({ address, text }) => `${address.toString(16)} ${text}`).join('; ')}`;
    }
    return `regions of up to ${right} instructions are right: the difference comes from further on`;
  }
}

function list(differences: readonly StateDifference[]): string[] {
  const shown = differences.slice(0, DIFFERENCES_SHOWN).map(({ name, values }) => `  ${name}: ${values.join(', ')}`);
  return differences.length > DIFFERENCES_SHOWN ? [...shown, `  and ${differences.length - DIFFERENCES_SHOWN} more`] : shown;
}
