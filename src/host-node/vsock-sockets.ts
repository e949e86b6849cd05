import type { Server, Socket } from 'node:net';
import type { ConnectionWish, HostSocket, HostSocketEvents, SocketPort } from '../host/sockets.ts';
import { connectTo, listenAt } from './unix-socket.ts';

// Sockets of guests on this host, as Firecracker has them (its docs/vsock.md): programs connect to a Unix socket and write "CONNECT
// PORT\n", which is answered by "OK PORT\n"; connections of the guest to a port go to the socket of that name with _PORT behind.

const LONGEST_LINE = 32;
/** Waiting for that line, or for the guest to answer. */
const PATIENCE_MS = 10_000;

class NodeSocket implements HostSocket {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {}); // `close` follows
  }

  listen(events: HostSocketEvents): void {
    this.#socket.on('data', (bytes: Uint8Array) => events.data(bytes));
    this.#socket.on('end', () => events.ended());
    // One that is gone already says nothing more.
    if (this.#socket.closed) setImmediate(() => events.closed());
    else this.#socket.on('close', () => events.closed());
    this.#socket.resume();
  }
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.writable) this.#socket.write(bytes, () => resolve());
      else resolve();
    });
  }
  end(): void {
    this.#socket.end();
  }
  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }
  destroy(): void {
    this.#socket.destroy();
  }
}

export class VsockSockets implements SocketPort {
  readonly #path: string;
  readonly #open = new Set<Socket>();
  #server: Server | undefined;
  #closed = false;
  #wish: ((wish: ConnectionWish) => void) | undefined;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Throws UserError. */
  static async open(path: string): Promise<VsockSockets> {
    const sockets = new VsockSockets(path);
    sockets.#server = await listenAt(path, "the guest's sockets", (socket) => sockets.#asked(socket));
    return sockets;
  }

  listen(wish: (wish: ConnectionWish) => void): void {
    this.#wish = wish;
  }

  #keep(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
  }

  #asked(socket: Socket): void {
    this.#keep(socket);
    const impatience = setTimeout(() => socket.destroy(), PATIENCE_MS).unref();
    socket.on('close', () => clearTimeout(impatience));
    let line = Buffer.alloc(0);
    const gone = (): void => void socket.destroy();
    const read = (bytes: Buffer): void => {
      line = Buffer.concat([line, bytes]);
      const end = line.subarray(0, LONGEST_LINE).indexOf('\n');
      if (end < 0 && line.length < LONGEST_LINE) return;
      socket.off('data', read).off('end', gone);
      socket.pause();
      const port = Number(/^CONNECT ([0-9]{1,10})\r?$/.exec(line.toString('latin1', 0, Math.max(0, end)))?.[1] ?? Number.NaN);
      if (!(port < 2 ** 32) || this.#wish === undefined) {
        socket.destroy();
        return;
      }
      if (line.length > end + 1) socket.unshift(line.subarray(end + 1));
      this.#wish({
        port, socket: new NodeSocket(socket),
        accepted: (hostPort) => {
          clearTimeout(impatience);
          socket.write(`OK ${hostPort}\n`);
        },
      });
    };
    socket.on('data', read).on('end', gone);
  }

  async connect(port: number): Promise<HostSocket | undefined> {
    const socket = await connectTo(`${this.#path}_${port}`, { allowHalfOpen: true });
    if (socket === undefined) return undefined;
    this.#keep(socket);
    if (this.#closed) socket.destroy();
    return new NodeSocket(socket);
  }

  close(): void {
    this.#closed = true;
    this.#server?.close();
    for (const socket of this.#open) socket.destroy();
  }
}
