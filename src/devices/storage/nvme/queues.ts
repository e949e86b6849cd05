import type { Plain } from '../../../base/plain.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { StateFields } from '../../state-fields.ts';
import { COMMAND_BYTES, COMPLETION_BYTES, NvmeCommand } from './nvme-command.ts';
import type { Answer } from './nvme-command.ts';

// Submission and completion queues (NVM Express 1.4, section 4.1). Their rings were found to lie in RAM.

/** An answer on its way into the ring; its submission queue may be gone by then. */
interface Waiting {
  readonly queue: number;
  /** Of that queue, when the command was done. */
  readonly head: number;
  readonly command: number;
  readonly answer: Answer;
}

export class SubmissionQueue {
  readonly id: number;
  readonly base: number;
  readonly entries: number;
  readonly completion: CompletionQueue;
  head = 0;
  tail = 0;
  /** Fetched and not answered. */
  readonly inFlight = new Set<NvmeCommand>();
  /** Called when nothing is in flight any more; nothing is fetched meanwhile. */
  drained: (() => void) | undefined;

  constructor(id: number, base: number, entries: number, completion: CompletionQueue) {
    this.id = id;
    this.base = base;
    this.entries = entries;
    this.completion = completion;
  }

  /** The next command; undefined while there is none, or while as many as the queue holds are under way. */
  fetch(memory: GuestMemory): NvmeCommand | undefined {
    if (this.head === this.tail || this.inFlight.size >= this.entries || this.drained !== undefined || this.completion.crowded) return undefined;
    const bytes = new Uint8Array(COMMAND_BYTES);
    memory.read(this.base + this.head * COMMAND_BYTES, bytes);
    this.head = (this.head + 1) % this.entries;
    const command = new NvmeCommand(bytes);
    this.inFlight.add(command);
    return command;
  }

  save(): Plain {
    return { id: this.id, base: this.base, entries: this.entries, completion: this.completion.id, head: this.head, tail: this.tail, inFlight: [...this.inFlight].map((command) => command.bytes.slice()) };
  }
  static load(state: Plain, completions: ReadonlyMap<number, CompletionQueue>, memory: GuestMemory, refuse: (why: string) => never): SubmissionQueue {
    const fields = new StateFields('nvme', state, 1, 1);
    const completion = completions.get(fields.integer('completion', 0xffff));
    const [base, entries] = [fields.integer('base', 2 ** 52), fields.integer('entries', 0x10000)];
    if (completion === undefined || entries < 2 || !memory.contains(base, entries * COMMAND_BYTES)) refuse('a submission queue is damaged');
    const queue = new SubmissionQueue(fields.integer('id', 0xffff), base, entries, completion);
    queue.head = fields.integer('head', entries - 1);
    queue.tail = fields.integer('tail', entries - 1);
    for (const bytes of fields.list('inFlight', entries)) {
      if (!(bytes instanceof Uint8Array) || bytes.length !== COMMAND_BYTES) refuse('a command in flight is damaged');
      queue.inFlight.add(new NvmeCommand(bytes.slice()));
    }
    return queue;
  }
}

export class CompletionQueue {
  readonly id: number;
  readonly base: number;
  readonly entries: number;
  readonly vector: number;
  readonly interrupts: boolean;
  head = 0;
  tail = 0;
  #phase = 1;
  readonly #waiting: Waiting[] = [];

  constructor(id: number, base: number, entries: number, vector: number, interrupts: boolean) {
    this.id = id;
    this.base = base;
    this.entries = entries;
    this.vector = vector;
    this.interrupts = interrupts;
  }

  get empty(): boolean {
    return this.head === this.tail;
  }

  /** As many answers as the ring holds wait for room: a driver that takes none gets no more. */
  get crowded(): boolean {
    return this.#waiting.length >= this.entries;
  }

  push(waiting: Waiting): void {
    this.#waiting.push(waiting);
  }

  /** Puts answers into the ring as long as there is room; true when there was one. */
  post(memory: GuestMemory): boolean {
    let posted = false;
    while (this.#waiting.length > 0 && (this.tail + 1) % this.entries !== this.head) {
      this.#write(memory, this.#waiting.shift()!);
      posted = true;
    }
    return posted;
  }

  #write(memory: GuestMemory, { queue, head, command, answer }: Waiting): void {
    const at = this.base + this.tail * COMPLETION_BYTES;
    memory.writeU32(at, answer.result ?? 0);
    memory.writeU32(at + 4, 0);
    memory.writeU16(at + 8, head);
    memory.writeU16(at + 10, queue);
    memory.writeU16(at + 12, command);
    // The phase comes last: it makes the entry valid.
    memory.writeU16(at + 14, (answer.status << 1) | this.#phase);
    this.tail += 1;
    if (this.tail === this.entries) {
      this.tail = 0;
      this.#phase ^= 1;
    }
  }

  save(): Plain {
    const waiting = this.#waiting.map(({ queue, head, command, answer }) => ({ queue, head, command, status: answer.status, result: answer.result ?? 0 }));
    return { id: this.id, base: this.base, entries: this.entries, vector: this.vector, interrupts: this.interrupts, head: this.head, tail: this.tail, phase: this.#phase, waiting };
  }
  static load(state: Plain, memory: GuestMemory, refuse: (why: string) => never): CompletionQueue {
    const fields = new StateFields('nvme', state, 1, 1);
    const [base, entries] = [fields.integer('base', 2 ** 52), fields.integer('entries', 0x10000)];
    if (entries < 2 || !memory.contains(base, entries * COMPLETION_BYTES)) refuse('a completion queue is damaged');
    const queue = new CompletionQueue(fields.integer('id', 0xffff), base, entries, fields.integer('vector', 0xffff), fields.boolean('interrupts'));
    queue.head = fields.integer('head', entries - 1);
    queue.tail = fields.integer('tail', entries - 1);
    queue.#phase = fields.integer('phase', 1);
    for (const entry of fields.list('waiting', 8 * 0x10000)) {
      const waiting = new StateFields('nvme', entry, 1, 1);
      const answer = { status: waiting.integer('status', 0x7fff), result: waiting.integer('result', 0xffffffff) };
      queue.#waiting.push({ queue: waiting.integer('queue', 0xffff), head: waiting.integer('head', 0xffff), command: waiting.integer('command', 0xffff), answer });
    }
    return queue;
  }
}
