import type { AccessSize } from '../../base/addresses.ts';
import { StateError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import type { BlockPort } from '../../host/blocks.ts';
import { MOST_SECTORS } from '../storage/scsi/inquiry.ts';
import { MOST_COMMAND_BYTES, ScsiDisk, executeNowhere } from '../storage/scsi/scsi-disk.ts';
import type { ScsiResult } from '../storage/scsi/scsi-disk.ts';
import { CHECK_CONDITION, GOOD, SENSE, senseData } from '../storage/scsi/sense.ts';
import { StateFields } from '../state-fields.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

// SCSI host device (virtio 1.2, section 5.6): a target for each disk, logical unit 0.

/** How many disks one controller takes. */
export const SCSI_TARGETS = 64;

const CONTROL = 0;
const EVENTS = 1;
const REQUEST_QUEUES = 2;
const QUEUE_SIZE = 256;
/** Header and response take two descriptors. */
const MOST_SEGMENTS = QUEUE_SIZE - 2;

const CONFIG_BYTES = 36;
const CONFIG_SENSE_SIZE = 20;
const CONFIG_COMMAND_SIZE = 24;
const USUAL_SENSE_SIZE = 96;
const USUAL_COMMAND_SIZE = 32;
/** What the driver may ask for; the specification sets no bound. */
const LARGEST_SIZE = 4096;

const LUN_BYTES = 8;
/** Before the command: logical unit, identifier, three bytes of how to queue it. */
const COMMAND_AT = 19;
const RESPONSE_BYTES = 12;
const TASK_BYTES = 24;

const RESPONSE_OK = 0;
const RESPONSE_BAD_TARGET = 3;
const RESPONSE_FAILURE = 9;
const FUNCTION_COMPLETE = 0;
const FUNCTION_REJECTED = 11;
const INCORRECT_LUN = 12;

const CONTROL_TASK_MANAGEMENT = 0;
const CONTROL_QUERY = 1;
const CONTROL_SUBSCRIBE = 2;
const ABORT_TASK = 0;
const ABORT_TASK_SET = 1;
const CLEAR_TASK_SET = 3;
const NEXUS_RESET = 4;
const UNIT_RESET = 5;
const QUERY_TASK = 6;
const QUERY_TASK_SET = 7;

const NOTHING: ScsiResult = { sense: SENSE.none, moved: 0 };

export interface ScsiTarget {
  /** At most 20 characters of ASCII. */
  readonly serial: string;
  readonly block: BlockPort;
}

/** Which disk a request is for (5.6.6.1): bytes 1, target, logical unit in the single level format. */
type Address = ScsiDisk | 'no target' | 'no unit';

export class VirtioScsi implements VirtioDevice {
  readonly name = 'virtio-scsi';
  readonly type = 8;
  readonly classCode = 0x010000;
  readonly features = 0n;
  readonly queueSizes: readonly number[] = Array.from({ length: 2 + REQUEST_QUEUES }, () => QUEUE_SIZE);
  readonly #disks: readonly ScsiDisk[];
  readonly #config = new DataView(new ArrayBuffer(CONFIG_BYTES));
  #queues: readonly (Virtqueue | undefined)[] = [];
  /** Commands under way, for task management to wait for. */
  readonly #running = new Set<Promise<unknown>>();

  /** At most SCSI_TARGETS. */
  constructor(targets: readonly ScsiTarget[]) {
    this.#disks = targets.map((target) => new ScsiDisk(target));
    const fields = [REQUEST_QUEUES, MOST_SEGMENTS, MOST_SECTORS, QUEUE_SIZE, 0, USUAL_SENSE_SIZE, USUAL_COMMAND_SIZE];
    fields.forEach((value, i) => this.#config.setUint32(4 * i, value, true));
    this.#config.setUint16(30, targets.length - 1, true); // the last target; one channel, one unit each
  }

  get config(): Uint8Array {
    return new Uint8Array(this.#config.buffer);
  }
  get #senseSize(): number {
    return this.#config.getUint32(CONFIG_SENSE_SIZE, true);
  }
  get #commandSize(): number {
    return this.#config.getUint32(CONFIG_COMMAND_SIZE, true);
  }

  /** 5.6.4: the driver says how large its fields are. */
  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (size === 4 && (offset === CONFIG_SENSE_SIZE || offset === CONFIG_COMMAND_SIZE)) this.#config.setUint32(offset, Math.min(value >>> 0, LARGEST_SIZE), true);
  }

  start(driver: DriverSide): void {
    this.#queues = driver.queues;
    driver.queues.forEach((queue, index) => {
      for (const chain of queue?.inFlight ?? []) this.#serve(index, queue!, chain);
    });
  }

  stop(): void {
    this.#queues = [];
    for (const disk of this.#disks) disk.reset();
    this.#config.setUint32(CONFIG_SENSE_SIZE, USUAL_SENSE_SIZE, true);
    this.#config.setUint32(CONFIG_COMMAND_SIZE, USUAL_COMMAND_SIZE, true);
  }

  notified(index: number): void {
    if (index === EVENTS) return; // without features there are no events to tell
    const queue = this.#queues[index];
    for (let chain = queue?.pop(); chain !== undefined; chain = queue!.pop()) this.#serve(index, queue!, chain);
  }

  #serve(index: number, queue: Virtqueue, chain: DescriptorChain): void {
    if (index === CONTROL) this.#control(queue, chain);
    else if (index !== EVENTS) this.#request(queue, chain);
  }

  #address(lun: Uint8Array): Address {
    const disk = lun[0] === 1 ? this.#disks[lun[1]!] : undefined;
    if (disk === undefined) return 'no target';
    // Peripheral (00b) and flat (01b) addressing of unit 0.
    return ((lun[2]! & 0xbf) | lun[3]!) === 0 ? disk : 'no unit';
  }

  #request(queue: Virtqueue, chain: DescriptorChain): void {
    const [commandSize, senseSize] = [this.#commandSize, this.#senseSize];
    const header = new Uint8Array(COMMAND_AT + Math.max(commandSize, MOST_COMMAND_BYTES));
    const headed = chain.readable.read(0, header.subarray(0, COMMAND_AT + commandSize)) === COMMAND_AT + commandSize;
    if (!headed || chain.writable.bytes < RESPONSE_BYTES + senseSize) {
      queue.fail('a request has no header or no room for its response');
      return;
    }
    const data = { fromGuest: chain.readable.slice(COMMAND_AT + commandSize), toGuest: chain.writable.slice(RESPONSE_BYTES + senseSize) };
    const room = data.fromGuest.bytes + data.toGuest.bytes;
    const respond = (result: ScsiResult | undefined, response = RESPONSE_OK): void => {
      if (result === undefined) return;
      const bytes = new Uint8Array(RESPONSE_BYTES + senseSize);
      const view = new DataView(bytes.buffer);
      const good = result.sense === SENSE.none;
      const sense = good ? new Uint8Array(0) : senseData(result.sense).subarray(0, senseSize);
      view.setUint32(0, sense.length, true);
      view.setUint32(4, room - result.moved, true);
      view.setUint8(10, good ? GOOD : CHECK_CONDITION);
      view.setUint8(11, response);
      bytes.set(sense, RESPONSE_BYTES);
      chain.writable.write(0, bytes);
      queue.push(chain, bytes.length + (data.toGuest.bytes > 0 ? result.moved : 0));
    };
    const command = header.subarray(COMMAND_AT);
    const address = this.#address(header);
    if (address === 'no target') return respond(NOTHING, RESPONSE_BAD_TARGET);
    const result = address === 'no unit' ? executeNowhere(command, data) : address.execute(command, data);
    if (!(result instanceof Promise)) return respond(result);
    const running = result.then((later) => respond(later), () => respond(NOTHING, RESPONSE_FAILURE)).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #control(queue: Virtqueue, chain: DescriptorChain): void {
    const header = new Uint8Array(TASK_BYTES);
    const got = chain.readable.read(0, header);
    const view = new DataView(header.buffer);
    const type = view.getUint32(0, true);
    const answer = (bytes: Uint8Array): void => {
      if (chain.writable.write(0, bytes) < bytes.length) queue.fail('a control request has no room for its answer');
      else queue.push(chain, bytes.length);
    };
    if (type === CONTROL_QUERY || type === CONTROL_SUBSCRIBE) return answer(new Uint8Array(5)); // no events, and that is a success
    if (type !== CONTROL_TASK_MANAGEMENT || got < TASK_BYTES) {
      queue.fail(`a control request of type ${type} is not known`);
      return;
    }
    void this.#manage(view.getUint32(4, true), this.#address(header.subarray(8, 8 + LUN_BYTES))).then((code) => answer(Uint8Array.of(code)));
  }

  /** 5.6.6.2: what has gone to the host cannot be called back, so tasks are ended by waiting for them. */
  async #manage(what: number, address: Address): Promise<number> {
    if (address === 'no target') return RESPONSE_BAD_TARGET;
    if (address === 'no unit') return INCORRECT_LUN;
    switch (what) {
      case ABORT_TASK: case ABORT_TASK_SET: case CLEAR_TASK_SET:
        await Promise.all([...this.#running]);
        return FUNCTION_COMPLETE;
      case NEXUS_RESET: case UNIT_RESET:
        await Promise.all([...this.#running]);
        address.unitReset();
        return FUNCTION_COMPLETE;
      case QUERY_TASK: case QUERY_TASK_SET: // "not there" may be said of what is about to end
        return FUNCTION_COMPLETE;
      default:
        return FUNCTION_REJECTED;
    }
  }

  save(): Plain {
    return { senseSize: this.#senseSize, commandSize: this.#commandSize, disks: this.#disks.map((disk) => disk.save()) };
  }
  load(state: Plain): void {
    const fields = new StateFields(this.name, state, 1, 1);
    const [senseSize, commandSize] = [fields.integer('senseSize', LARGEST_SIZE), fields.integer('commandSize', LARGEST_SIZE)];
    const disks = fields.list('disks', this.#disks.length);
    if (disks.length !== this.#disks.length) throw new StateError(`${this.name}: the stored controller has ${disks.length} disks`);
    disks.forEach((stored, i) => this.#disks[i]!.load(stored));
    this.#config.setUint32(CONFIG_SENSE_SIZE, senseSize, true);
    this.#config.setUint32(CONFIG_COMMAND_SIZE, commandSize, true);
  }
}
