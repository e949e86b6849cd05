import type { CpuState } from './state.ts';

/** Initial bytes of the data pages where they differ from the image that every case starts with. */
export interface Patch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface FuzzInstruction {
  readonly bytes: Uint8Array;
  readonly rowIndex: number;
}

/** A sequence of instructions and the state it starts from. */
export interface Case {
  readonly width: 32 | 64;
  /** Where the sequence's first byte lies. */
  readonly address: number;
  readonly instructions: readonly FuzzInstruction[];
  readonly before: CpuState;
  readonly patches: readonly Patch[];
}

/** Steps that a case may take at most: jumps may go back. */
export const STEP_LIMIT = 24;

/** What one step left behind. The last one of a case may be an exception instead of a completed instruction. */
export interface Step {
  readonly state: CpuState;
  readonly raised: boolean;
  /** Bytes of the data pages that changed with this step: offset and contents. */
  readonly change: Patch | undefined;
}

/** A case's instructions by the addresses where they begin. */
export function instructionsByAddress(entry: Case): Map<number, FuzzInstruction> {
  const list = new Map<number, FuzzInstruction>();
  let at = entry.address;
  for (const instruction of entry.instructions) {
    list.set(at, instruction);
    at += instruction.bytes.length;
  }
  return list;
}

/**
 * Something that executes cases as the reference: every step up to the first exception, to the first instruction that is
 * not one of the sequence, or to the limit.
 */
export interface Reference {
  readonly name: string;
  run(cases: readonly Case[]): Step[][];
  close(): void;
}

/**
 * Something to be tested: it runs one case, shown what the reference did. `step` executes the instruction that the state
 * stands at, with the one behind if it holds traps back; true when an exception was raised. `block` runs freely until an
 * exception: the HLT behind each sequence is one.
 */
export interface Engine {
  readonly name: string;
  load(entry: Case, state: CpuState, memory: Uint8Array): void;
  step(): boolean;
  block(): void;
  /** The state now; `raised` vector, error and CR2 count after an exception. */
  readonly state: CpuState;
  /** The data pages, live. */
  readonly memory: Buffer;
  setFlags(flags: number): void;
}
