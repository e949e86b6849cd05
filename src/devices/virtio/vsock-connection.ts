import type { HostSocket } from '../../host/sockets.ts';
import { NO_MORE_RECEIVED, NO_MORE_SENT, OPERATION } from './vsock-packet.ts';
import type { VsockHeader } from './vsock-packet.ts';
import { VsockWriter } from './vsock-writer.ts';

/** What a guest may have sent that the host has not taken yet. */
export const ROOM = 1 << 18;
/** What waits for the guest, at which the program on the host is made to wait, and at which no longer. */
const MUCH = 1 << 17;
const LITTLE = 1 << 16;

const u32 = (value: number): number => value >>> 0;

/** A packet for the guest, without addresses. */
export interface Outgoing {
  readonly operation: number;
  readonly flags?: number;
  readonly bytes?: Uint8Array;
}

/** One stream, with the credit of both sides (virtio 1.2, section 5.10.6.3). */
export class VsockConnection {
  readonly hostPort: number;
  readonly guestPort: number;
  /** Called when there may be something for the guest. */
  readonly #changed: () => void;
  #socket: HostSocket | undefined;
  #writer: VsockWriter | undefined;
  /** Both sides have said yes. */
  #open = false;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #paused = false;
  /** Sent to the guest; taken by it; what it has room for. All counts modulo 2^32. */
  #sent = 0;
  #guestForwarded = 0;
  #guestRoom = 0;
  /** Got from the guest; handed on; what the guest knows of that. */
  #received = 0;
  #forwarded = 0;
  #forwardedTold = 0;
  #creditAsked = false;
  /** The program on the host sends no more; it is gone; what the guest was told of that. */
  #ended = false;
  #closed = false;
  /** The guest has no more to do with it. */
  #finished = false;
  #flagsTold = 0;

  constructor(hostPort: number, guestPort: number, changed: () => void) {
    this.hostPort = hostPort;
    this.guestPort = guestPort;
    this.#changed = changed;
  }

  get open(): boolean {
    return this.#open;
  }
  /** With every packet of this side. */
  get credit(): { readonly room: number; readonly forwarded: number } {
    this.#forwardedTold = this.#forwarded;
    this.#creditAsked = false;
    return { room: ROOM, forwarded: this.#forwarded };
  }

  /** Takes the host's side. */
  attach(socket: HostSocket): void {
    this.#socket = socket;
    this.#writer = new VsockWriter(socket, (bytes) => {
      this.#forwarded = u32(this.#forwarded + bytes);
      this.#changed();
    });
    socket.listen({
      data: (bytes) => {
        if (bytes.length === 0 || this.#finished) return;
        this.#waiting.push(bytes);
        this.#waitingBytes += bytes.length;
        if (this.#waitingBytes > MUCH && !this.#paused) {
          this.#paused = true;
          socket.pause();
        }
        this.#changed();
      },
      ended: () => {
        this.#ended = true;
        this.#changed();
      },
      closed: () => {
        this.#ended = true;
        this.#closed = true;
        this.#changed();
      },
    });
  }
  established(): void {
    this.#open = true;
  }

  /** With every packet of the guest. */
  heard({ room, forwarded }: VsockHeader): void {
    this.#guestRoom = room;
    this.#guestForwarded = forwarded;
  }

  /** Bytes of the guest; false: it has sent more than there was room for. */
  receive(bytes: Uint8Array): boolean {
    if (u32(this.#received - this.#forwarded) + bytes.length > ROOM) return false;
    this.#received = u32(this.#received + bytes.length);
    this.#writer?.write(bytes);
    return true;
  }
  askedForCredit(): void {
    this.#creditAsked = true;
  }
  /** True when the guest has done with both ways. */
  shutdown(flags: number): boolean {
    if ((flags & NO_MORE_SENT) !== 0) this.#writer?.end();
    return (flags & (NO_MORE_SENT | NO_MORE_RECEIVED)) === (NO_MORE_SENT | NO_MORE_RECEIVED);
  }
  /** What the guest has sent still gets to the host, nothing comes back. */
  finish(): void {
    this.#finished = true;
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    this.#writer?.end();
    this.#socket?.resume();
  }
  destroy(): void {
    this.#socket?.destroy();
  }

  /** There is something to be said to the guest, and it has room for it. */
  get pending(): boolean {
    return this.#open && ((this.#waitingBytes > 0 && this.#guestCredit > 0) || this.#shutdownDue || this.#creditDue);
  }
  get #guestCredit(): number {
    return Math.max(0, this.#guestRoom - u32(this.#sent - this.#guestForwarded));
  }
  get #flags(): number {
    return (this.#ended ? NO_MORE_SENT : 0) | (this.#closed ? NO_MORE_RECEIVED : 0);
  }
  get #shutdownDue(): boolean {
    return this.#waitingBytes === 0 && this.#flags !== this.#flagsTold;
  }
  /** A quarter of the room is free again, and the guest does not know. */
  get #creditDue(): boolean {
    return this.#creditAsked || u32(this.#forwarded - this.#forwardedTold) >= ROOM / 4;
  }

  /** The next packet for the guest, while some is pending; its data take at most `most` bytes. */
  next(most: number): Outgoing {
    const bytes = this.#take(Math.min(most, this.#guestCredit));
    if (bytes !== undefined) {
      this.#sent = u32(this.#sent + bytes.length);
      return { operation: OPERATION.data, bytes };
    }
    if (!this.#shutdownDue) return { operation: OPERATION.creditUpdate };
    this.#flagsTold = this.#flags;
    return { operation: OPERATION.shutdown, flags: this.#flagsTold };
  }

  #take(most: number): Uint8Array | undefined {
    const first = this.#waiting[0];
    if (first === undefined || most <= 0) return undefined;
    if (first.length <= most) this.#waiting.shift();
    else this.#waiting[0] = first.subarray(most);
    const bytes = first.subarray(0, most);
    this.#waitingBytes -= bytes.length;
    if (this.#paused && this.#waitingBytes < LITTLE) {
      this.#paused = false;
      this.#socket?.resume();
    }
    return bytes;
  }
}
