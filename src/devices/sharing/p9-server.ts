import type { Plain } from '../../base/plain.ts';
import { FolderError } from '../../host/folders.ts';
import type { FolderPort } from '../../host/folders.ts';
import { StateFields } from '../state-fields.ts';
import { errnoOf } from './errno.ts';
import { Fids, STORED_FIDS_MAX } from './fids.ts';
import { DirectoryListings } from './listings.ts';
import { ANSWER_ERROR, HEADER_BYTES, MessageReader, MessageWriter, NO_TAG, REQUEST } from './messages.ts';
import { OPERATIONS } from './operations.ts';

/** Bytes of the longest message: what a queue of Linux can carry is less. */
const LONGEST_MESSAGE = 1 << 19;
const SHORTEST_MESSAGE = 4096;
const VERSION = '9P2000.L';
/** The answer that says why there is none. */
export const ERROR_BYTES = HEADER_BYTES + 4;

/** One guest's view of a shared folder. */
export interface Session {
  readonly folder: FolderPort;
  readonly fids: Fids;
  readonly listings: DirectoryListings;
}

/**
 * Serves a folder by 9P2000.L, the protocol of Linux's v9fs (diod's protocol.md describes it). Requests are worked on together; what
 * they change of the session they change when they are done. A request may hold anything.
 */
export class P9Server {
  readonly #session: Session;
  /** By tag. */
  readonly #running = new Map<number, Promise<unknown>>();
  #longest = SHORTEST_MESSAGE;

  constructor(folder: FolderPort) {
    this.#session = { folder, fids: new Fids(folder), listings: new DirectoryListings(folder) };
  }

  /** Bytes of the longest message that counts. */
  get longest(): number {
    return this.#longest;
  }

  /** The answer to a message, which must have a header, of at most `room` bytes, which are ERROR_BYTES or more. Never rejects. */
  async answer(message: Uint8Array, room: number): Promise<Uint8Array> {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const [size, type, tag] = [view.getUint32(0, true), view.getUint8(4), view.getUint16(5, true)];
    const work = this.#work(type, size < HEADER_BYTES || size > message.length ? undefined : message.subarray(0, size), Math.min(room, this.#longest));
    // Two requests of one tag are the guest's mistake, but a flush must not wait for itself.
    if (!this.#running.has(tag)) {
      this.#running.set(tag, work);
      void work.then(() => this.#running.delete(tag));
    }
    const answer = await work;
    if (answer instanceof MessageWriter && answer.length <= room) return answer.message(type + 1, tag);
    const code = answer instanceof MessageWriter ? 'EMSGSIZE' : answer;
    return new MessageWriter().u32(errnoOf(code)).message(ANSWER_ERROR, tag);
  }

  /** The answer's fields, or the name of an error. */
  async #work(type: number, message: Uint8Array | undefined, room: number): Promise<MessageWriter | string> {
    try {
      if (message === undefined) throw new FolderError('EPROTO');
      const reader = new MessageReader(message);
      if (type === REQUEST.version) return await this.#version(reader);
      if (type === REQUEST.flush) return await this.#flush(reader);
      const operation = OPERATIONS.get(type);
      if (operation === undefined) throw new FolderError('EOPNOTSUPP');
      return await operation(this.#session, reader, room);
    } catch (error) {
      return error instanceof FolderError ? error.code : 'EIO';
    }
  }

  /** version(5): a new session. */
  async #version(message: MessageReader): Promise<MessageWriter> {
    const [longest, version] = [message.u32(), message.text()];
    await this.#idle();
    await this.reset();
    if (longest < SHORTEST_MESSAGE) throw new FolderError('EMSGSIZE');
    if (version !== VERSION) return new MessageWriter().u32(Math.min(longest, LONGEST_MESSAGE)).text('unknown');
    this.#longest = Math.min(longest, LONGEST_MESSAGE);
    return new MessageWriter().u32(this.#longest).text(VERSION);
  }

  /** flush(5): the answer comes behind that of the old request, which is done all the same. */
  async #flush(message: MessageReader): Promise<MessageWriter> {
    await this.#running.get(message.u16());
    return new MessageWriter();
  }

  /** Settles when what is under way is done, but for requests for a new session. */
  async #idle(): Promise<void> {
    await Promise.all([...this.#running].filter(([tag]) => tag !== NO_TAG).map(([, work]) => work));
  }

  /** Nothing is open, no file has a number. */
  async reset(): Promise<void> {
    this.#session.listings.clear();
    this.#longest = SHORTEST_MESSAGE;
    await this.#session.fids.clear();
  }

  save(): Plain {
    return { longest: this.#longest, fids: this.#session.fids.save() };
  }
  /** In place of the session that there is. Throws StateError. */
  load(state: Plain): void {
    void this.reset();
    const fields = new StateFields('shared folder', state, 1, 1);
    this.#longest = fields.integer('longest', LONGEST_MESSAGE);
    this.#session.fids.load(fields.list('fids', STORED_FIDS_MAX));
  }
}
