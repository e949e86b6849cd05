import type { Server, Socket } from 'node:net';
import { UserError } from '../base/errors.ts';
import type { GuestPort } from '../library/guest-port.ts';
import { listenAt } from './unix-socket.ts';

/** Bytes that the guest has not read yet, at which a client is made to wait; and how long until that is looked at again. */
const MOST_UNREAD = 1 << 16;
const LOOK_AGAIN_MS = 10;

/** Where a console port leads on this host. */
export interface PortEndRequest {
  readonly name: string;
  /** A Unix socket, at which one program at a time may connect. */
  readonly socket: string;
}

/** `NAME=unix:PATH`. Throws UserError. */
export function parsePortEnd(text: string): PortEndRequest {
  const [, name, socket] = /^([^=]+)=unix:(.+)$/s.exec(text) ?? [];
  if (name === undefined) throw new UserError(`console port "${text}" is not understood; give NAME=unix:PATH, for instance org.example.agent=unix:/tmp/agent`);
  return { name, socket: socket! };
}

/** Lets programs on the host connect to a port; returns what ends that. Throws UserError. */
export async function servePort(port: GuestPort, { name, socket: path }: PortEndRequest): Promise<() => void> {
  let current: Socket | undefined;
  const server: Server = await listenAt(path, `console port ${name}`, (socket) => {
    if (current !== undefined) {
      socket.destroy();
      return;
    }
    current = socket;
    const output = port[Symbol.asyncIterator]();
    port.connected = true;
    socket.on('data', (bytes) => {
      port.write(bytes);
      if (port.unread > MOST_UNREAD) {
        socket.pause();
        waitForGuest(socket);
      }
    });
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      current = undefined;
      port.connected = false;
      void output.return?.();
    });
    void send(output, socket);
  });
  port.connected = false;
  return () => {
    server.close();
    current?.destroy();
  };

  function waitForGuest(socket: Socket): void {
    if (socket.destroyed) return;
    if (port.unread <= MOST_UNREAD) socket.resume();
    else setTimeout(() => waitForGuest(socket), LOOK_AGAIN_MS).unref();
  }
}

async function send(output: AsyncIterator<Uint8Array>, socket: Socket): Promise<void> {
  for (let next = await output.next(); next.done !== true; next = await output.next()) {
    if (!socket.write(next.value) && !socket.destroyed) {
      await new Promise<void>((resolve) => {
        socket.once('drain', resolve);
        socket.once('close', resolve);
      });
    }
  }
  socket.end();
}
