import { lstatSync, unlinkSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { UserError } from '../base/errors.ts';
import { fileTrouble } from './words.ts';

/** Of struct sockaddr_un on Linux, with the zero at its end; Node cuts longer ones. */
const LONGEST_PATH = 107;

/**
 * Listens at a Unix socket for who connects; a socket that a process has left behind is replaced. `what` names it in the UserError that
 * is thrown when that cannot be. When the server is closed the socket is removed.
 */
export async function listenAt(path: string, what: string, connected: (socket: Socket) => void): Promise<Server> {
  if (Buffer.byteLength(path) > LONGEST_PATH) throw new UserError(`the path ${path} of ${what} is too long for a socket; give one of at most ${LONGEST_PATH} bytes`);
  await clearAway(path, what);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {}); // `close` follows
    connected(socket);
  });
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  } catch (error) {
    throw new UserError(`the socket ${path} of ${what} ${(error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'is in use' : fileTrouble(error)}; give another path`);
  }
  server.on('error', () => {});
  return server;
}

/** A connection, with `error` to be listened to; undefined: nobody listens there. */
export function connectTo(path: string, options: { readonly allowHalfOpen?: boolean } = {}): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ path, ...options });
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

async function clearAway(path: string, what: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new UserError(`${path}, where the socket of ${what} should be, is there already and no socket; give another path`);
  const alive = await connectTo(path);
  alive?.destroy();
  if (alive !== undefined) throw new UserError(`the socket ${path} of ${what} is in use by another program; give another path`);
  unlinkSync(path);
}
