import { linkSync, lstatSync, mkdirSync, renameSync, unlinkSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../base/errors.ts';
import type { Frame } from '../host/packets.ts';
import { Hub, HubPort } from '../network/hub.ts';
import type { HubMember } from '../network/hub.ts';
import { FrameReader, encodeFrame } from '../network/hub-link.ts';
import { connectTo } from './unix-socket.ts';
import { fileTrouble } from './words.ts';

// A hub of several processes of one user: who comes first listens at a socket and passes frames on, the others connect to it. When
// it leaves, one of the others takes its place.

/** What may wait for a process that does not read; more is lost. */
const MOST_UNREAD_BYTES = 16 << 20;
/** Processes that may connect to the one that serves. */
const MOST_PEERS = 256;
const TRY_AGAIN_MS = 20;
const TROUBLE_MS = 1000;

/** Another process of the hub. */
class Peer implements HubMember {
  readonly #hub: Hub;
  readonly #socket: Socket;
  readonly #reader = new FrameReader();

  constructor(hub: Hub, socket: Socket, left: () => void) {
    this.#hub = hub;
    this.#socket = socket;
    hub.add(this);
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => {}); // `close` follows
    socket.on('close', () => {
      hub.remove(this);
      left();
    });
  }

  #read(chunk: Uint8Array): void {
    try {
      for (const frame of this.#reader.push(chunk)) this.#hub.send(this, frame);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#socket.destroy(); // no hub of ours
    }
  }

  deliver(frame: Frame): void {
    if (this.#socket.writableLength < MOST_UNREAD_BYTES) this.#socket.write(encodeFrame(frame));
  }
  close(): void {
    this.#socket.destroy();
  }
}

/** This process's part of a hub. */
class ProcessHub {
  readonly #hub = new Hub();
  readonly #path: string;
  readonly #peers = new Set<Peer>();
  #server: Server | undefined;
  #ports = 0;
  #closed = false;
  readonly joined: Promise<void>;

  constructor(name: string, folder: string) {
    this.#path = join(folder, `${name}.hub`);
    this.joined = this.#join();
  }

  /** Until it serves, or is connected to who does. */
  async #join(): Promise<void> {
    while (!this.#closed) {
      if (await this.#serve()) return;
      const socket = (await connectTo(this.#path)) ?? (await clearAway(this.#path));
      if (socket !== undefined) return this.#addPeer(socket, () => this.#joinAgain());
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS * Math.random()));
    }
  }

  /** Frames are lost until that has worked. */
  #joinAgain(): void {
    this.#join().catch(() => setTimeout(() => this.#joinAgain(), TROUBLE_MS));
  }

  #addPeer(socket: Socket, left: () => void): void {
    const peer = new Peer(this.#hub, socket, () => {
      this.#peers.delete(peer);
      if (!this.#closed) left();
    });
    this.#peers.add(peer);
    if (this.#closed) peer.close();
  }

  /** Becomes the one that listens, if nobody is. The socket gets its name by a link, which only one can make. */
  async #serve(): Promise<boolean> {
    const own = ownName(this.#path);
    const server = createServer((socket) => {
      if (this.#peers.size < MOST_PEERS) this.#addPeer(socket, () => {});
      else socket.destroy();
    });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(own, resolve));
    server.on('error', () => {});
    try {
      linkSync(own, this.#path);
      unlinkSync(own);
    } catch (error) {
      server.close();
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
    if (this.#closed) stopServing(server, this.#path);
    else this.#server = server;
    return true;
  }

  port(left: () => void): HubPort {
    this.#ports++;
    return new HubPort(this.#hub, (work) => void setImmediate(work), () => {
      if (--this.#ports > 0) return;
      this.#close();
      left();
    });
  }

  #close(): void {
    this.#closed = true;
    if (this.#server !== undefined) stopServing(this.#server, this.#path);
    for (const peer of this.#peers) peer.close();
  }
}

function stopServing(server: Server, path: string): void {
  server.close();
  removeName(path);
}

/** Takes away the name of a process that has died. Should a living one have got it meanwhile, it gets it back, and a connection. */
async function clearAway(path: string): Promise<Socket | undefined> {
  const aside = ownName(path);
  try {
    renameSync(path, aside);
  } catch {
    return undefined; // somebody else was faster
  }
  const socket = await connectTo(aside);
  if (socket !== undefined) {
    try {
      linkSync(aside, path);
    } catch {
      socket.destroy(); // there is another already: that one is joined next
      removeName(aside);
      return undefined;
    }
  }
  removeName(aside);
  return socket;
}

function ownName(path: string): string {
  return `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
}

function removeName(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it is gone
  }
}

const hubs = new Map<string, ProcessHub>();

/** A port of the hub of that name, which all processes of this user on this host share. Throws UserError. */
export async function openHub(name: string): Promise<HubPort> {
  const folder = hubFolder();
  const key = join(folder, name);
  let hub = hubs.get(key);
  if (hub === undefined) hubs.set(key, (hub = new ProcessHub(name, folder)));
  const port = hub.port(() => hubs.delete(key));
  try {
    await hub.joined;
    return port;
  } catch (error) {
    port.close();
    throw new UserError(`the hub ${name} cannot be joined: ${key}.hub ${fileTrouble(error)}`);
  }
}

/** Of this user alone. Throws UserError. */
function hubFolder(): string {
  const user = process.getuid?.() ?? 0;
  const folder = join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), `polyvisor-hubs-${user}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid, mode } = lstatSync(folder);
    if (uid !== user || (mode & 0o077) !== 0) throw new UserError(`the folder ${folder} of the hubs is not this user's alone; remove it`);
    return folder;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`the folder ${folder} of the hubs ${fileTrouble(error)}; set XDG_RUNTIME_DIR to a folder of yours`);
  }
}
