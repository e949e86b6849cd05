import type { Frame, PacketPort } from '../host/packets.ts';

/** What one port keeps for its card; more is lost, as on a network. */
const MOST_WAITING_BYTES = 8 << 20;
/** What a frame costs besides its bytes: short ones would be many. */
const FRAME_COST = 256;

const cost = (frame: Frame): number => FRAME_COST + frame.bytes.length;

/** Gets every frame that others send. The frame stays as it is. */
export interface HubMember {
  deliver(frame: Frame): void;
}

/** Every frame goes to everybody else. */
export class Hub {
  readonly #members = new Set<HubMember>();

  get members(): number {
    return this.#members.size;
  }
  add(member: HubMember): void {
    this.#members.add(member);
  }
  remove(member: HubMember): void {
    this.#members.delete(member);
  }
  /** `frame` must stay as it is. */
  send(from: HubMember, frame: Frame): void {
    for (const member of this.#members) if (member !== from) member.deliver(frame);
  }
}

/** A card's end of a hub. */
export class HubPort implements PacketPort, HubMember {
  readonly #hub: Hub;
  readonly #later: (work: () => void) => void;
  readonly #leave: () => void;
  readonly #waiting: Frame[] = [];
  #waitingBytes = 0;
  #arrived = (): void => {};
  /** `receive` had nothing, so the listener wants to know. */
  #asked = false;
  #open = true;

  /** `later` does some work behind what is being done now; `leave` is called once, at the end. */
  constructor(hub: Hub, later: (work: () => void) => void, leave: () => void = () => {}) {
    this.#hub = hub;
    this.#later = later;
    this.#leave = leave;
    hub.add(this);
  }

  accept(): void {} // whoever takes a frame finishes it

  send({ bytes, offload }: Frame): void {
    if (this.#open && this.#hub.members > 1) this.#hub.send(this, { bytes: bytes.slice(), ...(offload === undefined ? {} : { offload }) });
  }

  deliver(frame: Frame): void {
    if (this.#waitingBytes + cost(frame) > MOST_WAITING_BYTES) return;
    this.#waiting.push(frame);
    this.#waitingBytes += cost(frame);
    if (!this.#asked) return;
    this.#asked = false;
    this.#later(() => {
      if (this.#open) this.#arrived();
    });
  }

  receive(): Frame | undefined {
    const frame = this.#waiting.shift();
    if (frame === undefined) this.#asked = true;
    else this.#waitingBytes -= cost(frame);
    return frame;
  }

  listen(arrived: () => void): void {
    this.#arrived = arrived;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#hub.remove(this);
    this.#waiting.length = this.#waitingBytes = 0;
    this.#leave();
  }
}
