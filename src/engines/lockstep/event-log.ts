/** A point of a guest's run between two instructions. A repeated string instruction may be under way there: RCX tells how far. */
export interface Place {
  readonly instructions: number;
  readonly exceptions: number;
  readonly rip: bigint;
  readonly rcx: bigint;
}

export function isSame(a: Place, b: Place): boolean {
  return a.instructions === b.instructions && a.exceptions === b.exceptions && a.rip === b.rip && a.rcx === b.rcx;
}

/** Value that a function of the host takes or returns. */
export type HostValue = number | bigint | boolean | undefined;

/** What a vCPU learned or did beyond its registers and RAM, in order. */
export type LogEntry =
  /** It called a function of the host. */
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly HostValue[]; result: HostValue }
  /** It took an interrupt or, with vector 2 and no acknowledge, an NMI. */
  | { readonly kind: 'interrupt'; readonly at: Place; readonly vector: number; readonly maskable: boolean }
  /** The slice ended. */
  | { readonly kind: 'slice'; readonly at: Place }
  /** A device wrote to memory; it lies at `host` of the linear memory. */
  | { readonly kind: 'store'; readonly host: number; readonly bytes: Uint8Array }
  | { readonly kind: 'a20'; readonly open: boolean }
  /** Physical addresses mean something else; the region table as it is now, and memory beside RAM. */
  | { readonly kind: 'map'; readonly regions: Uint8Array; readonly storage: Uint8Array };

export type Effect = Extract<LogEntry, { kind: 'store' | 'a20' | 'map' }>;
export type Stop = Extract<LogEntry, { kind: 'interrupt' | 'slice' }>;

function isStop(entry: LogEntry): entry is Stop {
  return entry.kind === 'interrupt' || entry.kind === 'slice';
}

/** The log of one vCPU since a checkpoint. */
export class EventLog {
  readonly entries: LogEntry[] = [];
  /** Indices of entries at which a follower has to be at a certain place. */
  readonly stops: number[] = [];

  add(entry: LogEntry): void {
    if (isStop(entry)) this.stops.push(this.entries.length);
    this.entries.push(entry);
  }
  clear(): void {
    this.entries.length = 0;
    this.stops.length = 0;
  }
}

/** The follower has done what the leader has not. */
export class Divergence extends Error {}

/** Reads a log in order. */
export class LogReader {
  readonly #log: EventLog;
  #next = 0;
  #nextStop = 0;

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** Where it is in the log; set it to go back. The start: [0, 0]. */
  get position(): readonly [next: number, nextStop: number] {
    return [this.#next, this.#nextStop];
  }
  set position([next, nextStop]) {
    this.#next = next;
    this.#nextStop = nextStop;
  }

  /** Where the next interrupt was taken or slice ended; undefined at the end. */
  get stop(): Stop | undefined {
    const index = this.#log.stops[this.#nextStop];
    return index === undefined ? undefined : (this.#log.entries[index] as Stop);
  }
  /** What is next is this stop: everything before it has happened. */
  get atStop(): boolean {
    return this.#log.stops[this.#nextStop] === this.#next;
  }
  takeStop(): void {
    if (!this.atStop) throw new Divergence(`the other engine has called ${describe(this.#log.entries[this.#next])} before`);
    this.#next++;
    this.#nextStop++;
  }
  /** The result that a call had; Divergence when it was not made. */
  call(name: string, args: readonly HostValue[]): HostValue {
    const entry = this.#log.entries[this.#next];
    if (entry?.kind !== 'call' || entry.name !== name || entry.args.length !== args.length || entry.args.some((value, i) => value !== args[i])) {
      throw new Divergence(`${describe({ kind: 'call', name, args, result: undefined })} is called, where the other engine has come to ${describe(entry)}`);
    }
    this.#next++;
    return entry.result;
  }
  /** Effects of what came last, until something else is next. */
  *effects(): Iterable<Effect> {
    for (;;) {
      const entry = this.#log.entries[this.#next];
      if (entry?.kind !== 'store' && entry?.kind !== 'a20' && entry?.kind !== 'map') return;
      this.#next++;
      yield entry;
    }
  }
}

function describe(entry: LogEntry | undefined): string {
  if (entry === undefined) return 'the end';
  if (entry.kind === 'call') return `${entry.name}(${entry.args.map((value) => (typeof value === 'boolean' || value === undefined ? String(value) : `0x${value.toString(16)}`)).join(', ')})`;
  return entry.kind === 'slice' ? 'the end of a slice' : entry.kind === 'interrupt' ? `interrupt 0x${entry.vector.toString(16)}` : 'the end of that';
}
