import type { AccessSize } from '../../../base/addresses.ts';
import { StateError } from '../../../base/errors.ts';
import type { Plain } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import type { Log } from '../../../host/log.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciEndpoint } from '../../pci/endpoint.ts';
import type { PciWiring } from '../../pci/endpoint.ts';
import { StateFields } from '../../state-fields.ts';
import { AdminCommands } from './admin-commands.ts';
import { VENDOR, VERSION } from './identify.ts';
import { NvmeNamespace } from './namespace.ts';
import { COMMAND_BYTES, COMPLETION_BYTES } from './nvme-command.ts';
import type { Answer, NvmeCommand } from './nvme-command.ts';
import { MOST_ENTRIES, QUEUE_PAIRS } from './nvme-limits.ts';
import { CompletionQueue, SubmissionQueue } from './queues.ts';

// An NVM Express controller (base specification 1.4) with one namespace.

const DEVICE = 0x0010;
const BAR_BYTES = 0x4000;
const DOORBELLS = 0x1000;
const MSIX = 0x2000;

const INTERRUPT_MASK_SET = 0x0c;
const INTERRUPT_MASK_CLEAR = 0x10;
const CONFIGURATION = 0x14;
const STATUS = 0x1c;
const ADMIN_ATTRIBUTES = 0x24;
const ADMIN_SUBMISSION = 0x28;
const ADMIN_COMPLETION = 0x30;

/** CAP: entries less one, contiguous queues, 7.5 s to get ready, NVM command set; pages of 4 KiB only. */
const CAPABILITIES_LOW = (MOST_ENTRIES - 1) | (1 << 16) | (15 << 24);
const CAPABILITIES_HIGH = 1 << 5;
const ENABLE = 1;
const CONFIGURATION_BITS = 0xfffff1;
/** CSS, MPS and AMS: the NVM command set, 4 KiB, round robin. */
const UNSUPPORTED_BITS = 0x3ff0;
const SHUTDOWN = 0xc000;
const READY = 1;
const FATAL = 2;
const SHUTDOWN_DONE = 8;

const U32 = 2 ** 32;

export class NvmeController extends PciEndpoint {
  readonly #memory: GuestMemory;
  readonly #log: Log;
  readonly #namespace: NvmeNamespace;
  readonly #admin: AdminCommands;
  readonly submission = new Map<number, SubmissionQueue>();
  readonly completion = new Map<number, CompletionQueue>();
  #masked = 0;
  #configuration = 0;
  #status = 0;
  #attributes = 0;
  #adminSubmission = 0;
  #adminCompletion = 0;
  /** Counts resets: answers to commands of before are dropped. */
  #epoch = 0;

  constructor(options: { readonly serial: string; readonly block: BlockPort }, wiring: PciWiring & { readonly memory: GuestMemory; readonly log: Log }) {
    const bar: RegisterBlock = { name: 'nvme', length: BAR_BYTES, read: (offset, size) => this.#read(offset, size), write: (offset, size, value) => this.#write(offset, size, value) };
    super({
      name: 'nvme',
      identity: { vendor: VENDOR, device: DEVICE, revision: 1, classCode: 0x010802, subsystemVendor: VENDOR, subsystem: DEVICE },
      bars: [{ index: 0, space: 'memory', wide: true, block: bar }],
      msix: { vectors: QUEUE_PAIRS + 1, bar: 0, tableOffset: MSIX },
    }, wiring);
    this.#memory = wiring.memory;
    this.#log = wiring.log;
    this.#namespace = new NvmeNamespace(options.block, wiring.memory);
    this.#admin = new AdminCommands({ memory: wiring.memory, namespace: this.#namespace, serial: options.serial, submission: this.submission, completion: this.completion, vectors: QUEUE_PAIRS + 1 });
  }

  // Registers (section 3.1).

  #read(offset: number, size: AccessSize): number {
    if (offset >= MSIX) return this.msix!.read(offset - MSIX, size);
    const low = this.#register(offset & ~3);
    return (low >>> (8 * (offset & 3))) & (size === 4 ? -1 : (1 << (8 * size)) - 1);
  }

  #register(offset: number): number {
    switch (offset) {
      case 0x00: return CAPABILITIES_LOW;
      case 0x04: return CAPABILITIES_HIGH;
      case 0x08: return VERSION;
      case INTERRUPT_MASK_SET: case INTERRUPT_MASK_CLEAR: return this.#masked;
      case CONFIGURATION: return this.#configuration;
      case STATUS: return this.#status;
      case ADMIN_ATTRIBUTES: return this.#attributes;
      case ADMIN_SUBMISSION: return this.#adminSubmission % U32;
      case ADMIN_SUBMISSION + 4: return Math.floor(this.#adminSubmission / U32);
      case ADMIN_COMPLETION: return this.#adminCompletion % U32;
      case ADMIN_COMPLETION + 4: return Math.floor(this.#adminCompletion / U32);
      default: return 0;
    }
  }

  #write(offset: number, size: AccessSize, value: number): void {
    if (offset >= MSIX) this.msix!.write(offset - MSIX, size, value);
    else if (size !== 4) return; // 3.1: registers are written whole
    else if (offset >= DOORBELLS) this.#doorbell((offset - DOORBELLS) / 4, value);
    else this.#writeRegister(offset, value);
  }

  #writeRegister(offset: number, value: number): void {
    switch (offset) {
      case INTERRUPT_MASK_SET:
        this.#masked = (this.#masked | value) >>> 0;
        this.#updatePin();
        return;
      case INTERRUPT_MASK_CLEAR:
        this.#masked = (this.#masked & ~value) >>> 0;
        this.#updatePin();
        return;
      case CONFIGURATION:
        this.#configure(value & CONFIGURATION_BITS);
        return;
      case ADMIN_ATTRIBUTES:
        this.#attributes = value & 0x0fff0fff;
        return;
      case ADMIN_SUBMISSION: case ADMIN_COMPLETION: {
        const page = (value & ~0xfff) >>> 0;
        if (offset === ADMIN_SUBMISSION) this.#adminSubmission = this.#adminSubmission - (this.#adminSubmission % U32) + page;
        else this.#adminCompletion = this.#adminCompletion - (this.#adminCompletion % U32) + page;
        return;
      }
      // Only what a physical address can have, so that the number stays exact.
      case ADMIN_SUBMISSION + 4:
        this.#adminSubmission = (this.#adminSubmission % U32) + (value & 0xfffff) * U32;
        return;
      case ADMIN_COMPLETION + 4:
        this.#adminCompletion = (this.#adminCompletion % U32) + (value & 0xfffff) * U32;
    }
  }

  #configure(value: number): void {
    const before = this.#configuration;
    this.#configuration = value;
    if ((value & ~before & ENABLE) !== 0) this.#enable();
    else if ((before & ~value & ENABLE) !== 0) this.#disable();
    if ((value & SHUTDOWN) !== 0 && (before & SHUTDOWN) === 0) this.#shutDown();
  }

  #enable(): void {
    const [submissionEntries, completionEntries] = [(this.#attributes & 0xfff) + 1, (this.#attributes >>> 16) + 1];
    const inRam = this.#memory.contains(this.#adminSubmission, submissionEntries * COMMAND_BYTES) && this.#memory.contains(this.#adminCompletion, completionEntries * COMPLETION_BYTES);
    if ((this.#configuration & UNSUPPORTED_BITS) !== 0 || submissionEntries < 2 || completionEntries < 2 || !inRam) {
      this.#log.trace('device', 'nvme: enabled with a configuration or admin queues that cannot be');
      this.#status = FATAL;
      return;
    }
    const completion = new CompletionQueue(0, this.#adminCompletion, completionEntries, 0, true);
    this.completion.set(0, completion);
    this.submission.set(0, new SubmissionQueue(0, this.#adminSubmission, submissionEntries, completion));
    this.#status = READY;
  }

  /** Controller reset (7.3.1): the admin queue's registers keep their values. */
  #disable(): void {
    this.#epoch++;
    this.#namespace.abandon();
    this.#namespace.writeCache = true;
    this.#admin.reset();
    this.submission.clear();
    this.completion.clear();
    this.#status = 0;
    this.#masked = 0;
    this.#updatePin();
  }

  /** 7.6.2: all that was written is safe when the controller says that it is done. */
  #shutDown(): void {
    const epoch = this.#epoch;
    void this.#namespace.flush().then(() => {
      if (epoch === this.#epoch) this.#status |= SHUTDOWN_DONE;
    });
  }

  // Queues.

  #doorbell(index: number, value: number): void {
    const completion = (index & 1) === 1 ? this.completion.get(index >> 1) : undefined;
    const submission = (index & 1) === 0 ? this.submission.get(index >> 1) : undefined;
    const queue = completion ?? submission;
    if (queue === undefined || value >= queue.entries) {
      // 5.2: asynchronous event, error status: no such doorbell, or no such value.
      this.#answerAll(this.#admin.reportEvent(queue === undefined ? 0 : 1));
      return;
    }
    if (submission !== undefined) {
      submission.tail = value;
      this.#fetch(submission);
    } else {
      completion!.head = value;
      this.#post(completion!);
      this.#updatePin();
      for (const other of this.submission.values()) if (other.completion === completion) this.#fetch(other);
    }
  }

  protected override mastering(): void {
    for (const queue of this.submission.values()) this.#fetch(queue);
  }

  #fetch(queue: SubmissionQueue): void {
    if (!this.master || this.#status !== READY) return;
    for (let command = queue.fetch(this.#memory); command !== undefined; command = queue.fetch(this.#memory)) this.#execute(queue, command);
  }

  #execute(queue: SubmissionQueue, command: NvmeCommand): void {
    const epoch = this.#epoch;
    const status = queue.id === 0 ? this.#admin.execute(command) : this.#namespace.execute(command).then((code) => (code === undefined ? undefined : { status: code }));
    void Promise.resolve(status).then((answer) => {
      if (answer === undefined || epoch !== this.#epoch) return;
      this.#namespace.writeCache = this.#admin.writeCache;
      this.#answer(queue, command, answer);
    });
  }

  #answer(queue: SubmissionQueue, command: NvmeCommand, answer: Answer): void {
    if (!queue.inFlight.delete(command)) return;
    queue.completion.push({ queue: queue.id, head: queue.head, command: command.id, answer });
    this.#post(queue.completion);
    if (queue.inFlight.size === 0) queue.drained?.();
    this.#fetch(queue);
  }

  /** Answers to event requests, which are admin commands in flight. */
  #answerAll(answers: readonly { readonly command: NvmeCommand; readonly answer: Answer }[]): void {
    const queue = this.submission.get(0);
    for (const { command, answer } of answers) if (queue !== undefined) this.#answer(queue, command, answer);
  }

  #post(queue: CompletionQueue): void {
    if (!queue.post(this.#memory) || !queue.interrupts) return;
    if (this.messagesEnabled) this.sendVector(queue.vector);
    else this.#updatePin();
  }

  /** 7.5.1: the pin is high while an unmasked vector has answers that were not taken. */
  #updatePin(): void {
    let high = false;
    for (const queue of this.completion.values()) high ||= queue.interrupts && !queue.empty && (this.#masked & (1 << queue.vector)) === 0;
    this.setIntx(high);
  }

  // Life.

  halt(): void {
    this.#epoch++;
    this.#namespace.abandon();
  }

  protected override resetDevice(): void {
    this.#disable();
    this.#configuration = this.#attributes = this.#adminSubmission = this.#adminCompletion = 0;
  }

  protected override saveDevice(): Plain {
    return {
      masked: this.#masked, configuration: this.#configuration, status: this.#status, attributes: this.#attributes,
      adminSubmission: this.#adminSubmission, adminCompletion: this.#adminCompletion, admin: this.#admin.save(),
      completion: [...this.completion.values()].map((queue) => queue.save()), submission: [...this.submission.values()].map((queue) => queue.save()),
    };
  }

  /** Commands in flight are done anew. */
  protected override loadDevice(state: Plain): void {
    const refuse = (why: string): never => {
      throw new StateError(`nvme: ${why}`);
    };
    const fields = new StateFields('nvme', state, 1, 1);
    const register = (key: string): number => fields.integer(key, U32 - 1);
    const registers = [register('masked'), register('configuration'), register('status'), register('attributes')] as const;
    const addresses = [fields.integer('adminSubmission', 2 ** 52), fields.integer('adminCompletion', 2 ** 52)] as const;
    const completion = new Map(fields.list('completion', QUEUE_PAIRS + 1).map((entry) => CompletionQueue.load(entry, this.#memory, refuse)).map((queue) => [queue.id, queue]));
    const submission = new Map(fields.list('submission', QUEUE_PAIRS + 1).map((entry) => SubmissionQueue.load(entry, completion, this.#memory, refuse)).map((queue) => [queue.id, queue]));
    this.#disable();
    [this.#masked, this.#configuration, this.#status, this.#attributes] = registers;
    [this.#adminSubmission, this.#adminCompletion] = addresses;
    this.#admin.load(fields.nested('admin'));
    this.#namespace.writeCache = this.#admin.writeCache;
    for (const [id, queue] of completion) this.completion.set(id, queue);
    for (const [id, queue] of submission) this.submission.set(id, queue);
    for (const queue of submission.values()) for (const command of queue.inFlight) this.#execute(queue, command);
    if ((this.#configuration & SHUTDOWN) !== 0 && (this.#status & SHUTDOWN_DONE) === 0) this.#shutDown();
  }
}
