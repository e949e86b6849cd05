import type { Plain } from '../../../base/plain.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { ScatterList } from '../../../memory/scatter-list.ts';
import { StateFields } from '../../state-fields.ts';
import { NvmeFeatures } from './features.ts';
import { MOST_EVENT_REQUESTS, identifyController, identifyNamespace, namespaceDescriptors, namespaceList, uuidOf } from './identify.ts';
import type { NvmeNamespace } from './namespace.ts';
import { COMMAND_BYTES, COMPLETION_BYTES, STATUS, SUCCESS } from './nvme-command.ts';
import type { Answer, NvmeCommand } from './nvme-command.ts';
import { MOST_ENTRIES, QUEUE_PAIRS } from './nvme-limits.ts';
import { PAGE, readPrps } from './prp.ts';
import { CompletionQueue, SubmissionQueue } from './queues.ts';

// Admin commands (NVM Express 1.4, section 5).

const DELETE_SUBMISSION = 0x00;
const CREATE_SUBMISSION = 0x01;
const GET_LOG_PAGE = 0x02;
const DELETE_COMPLETION = 0x04;
const CREATE_COMPLETION = 0x05;
const IDENTIFY = 0x06;
const ABORT = 0x08;
const SET_FEATURES = 0x09;
const GET_FEATURES = 0x0a;
const EVENT_REQUEST = 0x0c;

const NOT_ABORTED = 1;
const LOG_ERRORS = 1;
const LOG_BYTES: ReadonlyMap<number, number> = new Map([[LOG_ERRORS, 64], [2, 512], [3, 512]]);
/** Of one Get Log Page: more than any of our pages has. */
const MOST_LOG_BYTES = 4096;

export interface AdminOptions {
  readonly memory: GuestMemory;
  readonly namespace: NvmeNamespace;
  readonly serial: string;
  readonly submission: Map<number, SubmissionQueue>;
  readonly completion: Map<number, CompletionQueue>;
  readonly vectors: number;
}

/** An answer; none yet for an event request, which waits for an event. */
type Response = Answer | undefined | Promise<Answer>;

export class AdminCommands {
  readonly #options: AdminOptions;
  readonly #features = new NvmeFeatures(QUEUE_PAIRS);
  readonly #eventRequests: NvmeCommand[] = [];
  /** Kinds of error events that were reported and not yet acknowledged by reading their log page (5.2). */
  #unread = 0;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  get writeCache(): boolean {
    return this.#features.writeCache;
  }
  reset(): void {
    this.#features.reset();
    this.#eventRequests.length = 0;
    this.#unread = 0;
  }

  execute(command: NvmeCommand): Response {
    if (command.flags !== 0) return { status: STATUS.invalidField };
    switch (command.opcode) {
      case IDENTIFY: return this.#identify(command);
      case CREATE_COMPLETION: return this.#createCompletion(command);
      case CREATE_SUBMISSION: return this.#createSubmission(command);
      case DELETE_SUBMISSION: return this.#deleteSubmission(command);
      case DELETE_COMPLETION: return this.#deleteCompletion(command);
      case GET_LOG_PAGE: return this.#logPage(command);
      case SET_FEATURES: return this.#features.set(command.word(10), command.word(11));
      case GET_FEATURES: return this.#features.get(command.word(10));
      case ABORT: return { status: STATUS.success, result: NOT_ABORTED };
      case EVENT_REQUEST: return this.#requestEvent(command);
      default: return { status: STATUS.invalidOpcode };
    }
  }

  #send(command: NvmeCommand, data: Uint8Array): Answer {
    const list = readPrps(this.#options.memory, command.prp1, command.prp2, data.length);
    if (!(list instanceof ScatterList)) return { status: list };
    list.write(0, data);
    return SUCCESS;
  }

  #identify(command: NvmeCommand): Answer {
    const { namespace, serial } = this.#options;
    const structure = command.word(10) & 0xff;
    const known = command.namespace === 1;
    switch (structure) {
      case 0x00:
        // 5.15.2.1: all zeros for an inactive namespace; FFFFFFFFh asks for what all have in common, without management: nothing.
        if (command.namespace === 0 || command.namespace > 1) return { status: STATUS.invalidNamespace };
        return this.#send(command, identifyNamespace(namespace.sectors, namespace.readOnly));
      case 0x01: return this.#send(command, identifyController(serial, uuidOf(serial)));
      case 0x02: return command.namespace >= 0xfffffffe ? { status: STATUS.invalidNamespace } : this.#send(command, namespaceList(command.namespace));
      case 0x03: return known ? this.#send(command, namespaceDescriptors(uuidOf(serial))) : { status: STATUS.invalidNamespace };
      default: return { status: STATUS.invalidField };
    }
  }

  /** Doubleword 10: identifier, entries less one; 11: contiguous, and what differs. */
  #createCompletion(command: NvmeCommand): Answer {
    const { completion, vectors } = this.#options;
    const [id, entries] = [command.word(10) & 0xffff, (command.word(10) >>> 16) + 1];
    const [flags, vector] = [command.word(11) & 0xffff, command.word(11) >>> 16];
    if (id === 0 || id > QUEUE_PAIRS || completion.has(id)) return { status: STATUS.invalidQueueIdentifier };
    if (entries < 2 || entries > MOST_ENTRIES) return { status: STATUS.invalidQueueSize };
    if (vector >= vectors) return { status: STATUS.invalidVector };
    if ((flags & 1) === 0) return { status: STATUS.invalidField };
    const status = this.#checkRing(command.prp1, entries * COMPLETION_BYTES);
    if (status !== STATUS.success) return { status };
    completion.set(id, new CompletionQueue(id, command.prp1, entries, vector, (flags & 2) !== 0));
    return SUCCESS;
  }

  #createSubmission(command: NvmeCommand): Answer {
    const { submission } = this.#options;
    const [id, entries] = [command.word(10) & 0xffff, (command.word(10) >>> 16) + 1];
    const completion = this.#options.completion.get(command.word(11) >>> 16);
    if (id === 0 || id > QUEUE_PAIRS || submission.has(id)) return { status: STATUS.invalidQueueIdentifier };
    if (completion === undefined || completion.id === 0) return { status: STATUS.invalidCompletionQueue };
    if (entries < 2 || entries > MOST_ENTRIES) return { status: STATUS.invalidQueueSize };
    if ((command.word(11) & 1) === 0) return { status: STATUS.invalidField };
    const status = this.#checkRing(command.prp1, entries * COMMAND_BYTES);
    if (status !== STATUS.success) return { status };
    submission.set(id, new SubmissionQueue(id, command.prp1, entries, completion));
    return SUCCESS;
  }

  #checkRing(base: number, bytes: number): number {
    if (base % PAGE !== 0) return STATUS.invalidPrpOffset;
    return this.#options.memory.contains(base, bytes) ? STATUS.success : STATUS.invalidField;
  }

  /** What was fetched is answered first. */
  #deleteSubmission(command: NvmeCommand): Response {
    const { submission } = this.#options;
    const id = command.word(10) & 0xffff;
    const queue = submission.get(id);
    if (queue === undefined || id === 0 || queue.drained !== undefined) return { status: STATUS.invalidQueueIdentifier };
    if (queue.inFlight.size === 0) {
      submission.delete(id);
      return SUCCESS;
    }
    return new Promise((resolve) => {
      queue.drained = () => {
        submission.delete(id);
        resolve(SUCCESS);
      };
    });
  }

  #deleteCompletion(command: NvmeCommand): Answer {
    const { completion, submission } = this.#options;
    const id = command.word(10) & 0xffff;
    const queue = completion.get(id);
    if (queue === undefined || id === 0) return { status: STATUS.invalidQueueIdentifier };
    if ([...submission.values()].some((other) => other.completion === queue)) return { status: STATUS.invalidQueueDeletion };
    completion.delete(id);
    return SUCCESS;
  }

  #logPage(command: NvmeCommand): Answer {
    const page = command.word(10) & 0xff;
    const size = LOG_BYTES.get(page);
    if (size === undefined) return { status: STATUS.invalidLogPage };
    const offset = command.wide(12);
    const wanted = ((command.word(10) >>> 16) + (command.word(11) & 0xffff) * 0x10000 + 1) * 4;
    if (offset % 4 !== 0 || offset > size || wanted > MOST_LOG_BYTES) return { status: STATUS.invalidField };
    if (page === LOG_ERRORS && (command.word(10) & 0x8000) === 0) this.#unread = 0;
    const data = new Uint8Array(wanted);
    data.set(logPage(page).subarray(offset, offset + wanted));
    return this.#send(command, data);
  }

  #requestEvent(command: NvmeCommand): Answer | undefined {
    if (this.#eventRequests.length >= MOST_EVENT_REQUESTS) return { status: STATUS.tooManyEventRequests };
    this.#eventRequests.push(command);
    return undefined;
  }

  /** An error of the driver's; at most one of a kind is told until its log page was read. */
  reportEvent(kind: number): readonly { readonly command: NvmeCommand; readonly answer: Answer }[] {
    if ((this.#unread & (1 << kind)) !== 0) return [];
    const command = this.#eventRequests.shift();
    if (command === undefined) return [];
    this.#unread |= 1 << kind;
    return [{ command, answer: { status: STATUS.success, result: (LOG_ERRORS << 16) | (kind << 8) } }];
  }

  /** Event requests are commands in flight and come back as those do. */
  save(): Plain {
    return { features: this.#features.save(), unread: this.#unread };
  }
  load(state: Plain): void {
    const fields = new StateFields('nvme', state, 1, 1);
    const unread = fields.integer('unread', 3);
    this.#features.load(fields.nested('features'));
    this.#unread = unread;
  }
}

/** 5.14.1: no errors are kept; SMART says that all is well; one slot of firmware. */
function logPage(page: number): Uint8Array {
  const data = new Uint8Array(LOG_BYTES.get(page)!);
  if (page === 2) {
    new DataView(data.buffer).setUint16(1, 310, true); // kelvin
    data[3] = 100; // spare
    data[4] = 10;
  } else if (page === 3) {
    data[0] = 1;
    data[8] = 0x31; // revision "1"
    data.fill(0x20, 9, 16);
  }
  return data;
}

