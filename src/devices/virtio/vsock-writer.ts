import type { HostSocket } from '../../host/sockets.ts';

const PIECE = 16384;

/**
 * Hands the guest's bytes to the host in order. While the host takes some the next ones are gathered in large pieces: a guest that
 * sends them one by one shall not cost the host an object for each.
 */
export class VsockWriter {
  readonly #socket: HostSocket;
  /** Called with a number of bytes that the host has taken. */
  readonly #taken: (bytes: number) => void;
  /** Full, but for the last. */
  #pieces: Uint8Array[] = [];
  /** Left in the last piece. */
  #room = 0;
  #writing = false;
  #ending = false;

  constructor(socket: HostSocket, taken: (bytes: number) => void) {
    this.#socket = socket;
    this.#taken = taken;
  }

  /** The bytes must stay as they are. */
  write(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#ending) return;
    if (this.#writing) this.#gather(bytes);
    else this.#send([bytes]);
  }
  /** Behind all that was written. */
  end(): void {
    this.#ending = true;
    if (this.#pieces.length === 0) this.#socket.end();
  }

  #gather(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#room === 0) {
        this.#pieces.push(new Uint8Array(PIECE));
        this.#room = PIECE;
      }
      const part = bytes.subarray(at, at + this.#room);
      this.#pieces.at(-1)!.set(part, PIECE - this.#room);
      this.#room -= part.length;
      at += part.length;
    }
  }

  #send(pieces: readonly Uint8Array[]): void {
    this.#writing = true;
    void Promise.all(pieces.map((piece) => this.#socket.write(piece))).then(() => {
      this.#writing = false;
      const waiting = this.#pieces;
      if (waiting.length > 0) {
        waiting.push(waiting.pop()!.subarray(0, PIECE - this.#room));
        this.#pieces = [];
        this.#room = 0;
        this.#send(waiting);
        if (this.#ending) this.#socket.end();
      }
      this.#taken(pieces.reduce((sum, piece) => sum + piece.length, 0));
    });
  }
}
