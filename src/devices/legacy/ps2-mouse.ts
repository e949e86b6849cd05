import type { Plain, Stateful } from '../../base/plain.ts';
import { ByteQueue } from '../byte-queue.ts';
import { StateFields } from '../state-fields.ts';

const ACKNOWLEDGE = 0xfa;
const RESEND = 0xfe;
const QUEUE_BYTES = 256;
const MOVEMENT_MAX = 0x7fffffff;

/** PS/2 mouse with the wheel (ID 3) and five-button (ID 4) extensions of Microsoft's IntelliMouse, by sample-rate knock. */
export class Ps2Mouse implements Stateful {
  readonly stateName = 'ps2-mouse';
  readonly stateVersion = 1;
  readonly #queue = new ByteQueue();
  #command = 0;
  #id = 0;
  #reporting = false;
  #remote = false;
  #wrap = false;
  #scaling = false;
  #resolution = 2;
  #rate = 100;
  /** The last three sample rates set, newest last. */
  #knock: readonly [number, number, number] = [0, 0, 0];
  // Movement that was not reported yet, and the buttons now and as last reported.
  #x = 0;
  #y = 0;
  #wheel = 0;
  #buttons = 0;
  #reported = 0;

  reset(): void {
    this.#queue.clear();
    this.#command = 0;
    this.#wrap = this.#remote = false;
    this.#defaults();
  }

  /** Movement in counts: right and up are positive. Buttons: bit 0 left, 1 right, 2 middle, 3 and 4 the side ones. */
  move(dx: number, dy: number, buttons: number, wheel = 0): void {
    this.#x = clamp(this.#x + Math.trunc(dx), MOVEMENT_MAX);
    this.#y = clamp(this.#y + Math.trunc(dy), MOVEMENT_MAX);
    this.#wheel = clamp(this.#wheel + Math.trunc(wheel), MOVEMENT_MAX);
    this.#buttons = buttons & 0x1f;
    if (this.#reporting && !this.#remote && !this.#wrap) this.#report();
    // While nobody listens a mouse forgets: a jump at the first report would surprise.
    else if (!this.#remote) this.#x = this.#y = this.#wheel = 0;
  }

  hasByte(): boolean {
    return this.#queue.length > 0;
  }

  /** Legal when `hasByte()`. */
  takeByte(): number {
    const byte = this.#queue.shift() ?? 0;
    if (this.#queue.length === 0 && this.#reporting && !this.#remote && this.#unreported()) this.#report();
    return byte;
  }

  command(byte: number): void {
    if (this.#wrap && byte !== 0xec && byte !== 0xff) {
      this.#answer(byte);
      return;
    }
    const pending = this.#command;
    this.#command = 0;
    if (pending === 0xe8) {
      this.#resolution = byte & 3;
      this.#answer(ACKNOWLEDGE);
    } else if (pending === 0xf3) {
      this.#setRate(byte);
    } else {
      this.#execute(byte);
    }
  }

  #execute(command: number): void {
    switch (command) {
      case 0xe6:
      case 0xe7:
        this.#scaling = command === 0xe7;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xe8:
      case 0xf3:
        this.#command = command;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xe9:
        this.#answer(ACKNOWLEDGE, this.#status(), this.#resolution, this.#rate);
        return;
      case 0xea:
      case 0xf0:
        this.#remote = command === 0xf0;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xeb:
        this.#answer(ACKNOWLEDGE);
        this.#packet();
        return;
      case 0xec:
      case 0xee:
        this.#wrap = command === 0xee;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xf2:
        this.#answer(ACKNOWLEDGE, this.#id);
        return;
      case 0xf4:
        this.#reporting = true;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xf5:
        this.#reporting = false;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xf6:
        this.#defaultsKeepingId();
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xff:
        this.reset();
        this.#answer(ACKNOWLEDGE, 0xaa, 0x00);
        return;
      default:
        this.#answer(RESEND);
    }
  }

  #setRate(rate: number): void {
    this.#rate = rate;
    this.#knock = [this.#knock[1], this.#knock[2], rate];
    const [first, second, third] = this.#knock;
    if (third === 80 && first === 200) {
      if (second === 100) this.#id = Math.max(this.#id, 3);
      else if (second === 200 && this.#id >= 3) this.#id = 4;
    }
    this.#answer(ACKNOWLEDGE);
  }

  #status(): number {
    const buttons = (this.#buttons & 1) << 2 | (this.#buttons & 4) >> 1 | (this.#buttons & 2) >> 1;
    return buttons | (this.#scaling ? 0x10 : 0) | (this.#reporting ? 0x20 : 0) | (this.#remote ? 0x40 : 0);
  }

  #unreported(): boolean {
    return this.#x !== 0 || this.#y !== 0 || this.#wheel !== 0 || this.#buttons !== this.#reported;
  }

  #report(): void {
    // One packet at a time: movement adds up until the guest has taken the last one.
    if (this.#queue.length === 0 && this.#unreported()) this.#packet();
  }

  #packet(): void {
    const x = Math.max(-256, Math.min(255, this.#x));
    const y = Math.max(-256, Math.min(255, this.#y));
    const wheel = this.#id === 0 ? 0 : clamp(this.#wheel, 7);
    const first = 0x08 | (this.#buttons & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0);
    const bytes = [first, x & 0xff, y & 0xff];
    if (this.#id === 3) bytes.push(-wheel & 0xff);
    if (this.#id === 4) bytes.push((-wheel & 0x0f) | ((this.#buttons & 0x18) << 1));
    this.#x -= x;
    this.#y -= y;
    this.#wheel = this.#id === 0 ? 0 : this.#wheel - wheel;
    this.#reported = this.#buttons;
    this.#answer(...bytes);
  }

  #defaultsKeepingId(): void {
    this.#reporting = false;
    this.#scaling = false;
    this.#resolution = 2;
    this.#rate = 100;
    this.#x = this.#y = this.#wheel = 0;
  }

  #defaults(): void {
    this.#defaultsKeepingId();
    this.#id = 0;
    this.#knock = [0, 0, 0];
  }

  #answer(...bytes: number[]): void {
    if (this.#queue.length + bytes.length > QUEUE_BYTES) return; // a guest that never reads
    for (const byte of bytes) this.#queue.push(byte);
  }

  save(): Plain {
    return {
      queue: this.#queue.toBytes(),
      command: this.#command,
      id: this.#id,
      reporting: this.#reporting,
      remote: this.#remote,
      wrap: this.#wrap,
      scaling: this.#scaling,
      resolution: this.#resolution,
      rate: this.#rate,
      knock: Uint8Array.from(this.#knock),
      movement: [this.#x, this.#y, this.#wheel],
      buttons: this.#buttons,
      reported: this.#reported,
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const loaded = {
      queue: fields.bytes('queue', QUEUE_BYTES),
      command: fields.byte('command'),
      id: fields.integer('id', 4),
      reporting: fields.boolean('reporting'),
      remote: fields.boolean('remote'),
      wrap: fields.boolean('wrap'),
      scaling: fields.boolean('scaling'),
      resolution: fields.integer('resolution', 3),
      rate: fields.byte('rate'),
      knock: fields.exactBytes('knock', 3),
      movement: fields.signedIntegers('movement', 3, MOVEMENT_MAX),
      buttons: fields.integer('buttons', 0x1f),
      reported: fields.integer('reported', 0x1f),
    };
    this.#queue.replace(loaded.queue);
    this.#command = loaded.command;
    this.#id = loaded.id;
    this.#reporting = loaded.reporting;
    this.#remote = loaded.remote;
    this.#wrap = loaded.wrap;
    this.#scaling = loaded.scaling;
    this.#resolution = loaded.resolution;
    this.#rate = loaded.rate;
    this.#knock = [loaded.knock[0]!, loaded.knock[1]!, loaded.knock[2]!];
    this.#x = loaded.movement[0]!;
    this.#y = loaded.movement[1]!;
    this.#wheel = loaded.movement[2]!;
    this.#buttons = loaded.buttons;
    this.#reported = loaded.reported;
  }
}

function clamp(value: number, limit: number): number {
  // `|| 0` also maps NaN and -0 to 0.
  return Math.max(-limit, Math.min(limit, value)) || 0;
}
