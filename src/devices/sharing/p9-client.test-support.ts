import { ANSWER_ERROR, MessageReader, MessageWriter, REQUEST } from './messages.ts';
import type { P9Server } from './p9-server.ts';

type Put = (message: MessageWriter) => MessageWriter;

/** Says what a guest says, right or wrong. An error of the server is thrown as `errno N`. */
export class P9Client {
  readonly #server: P9Server;
  #tag = 0;
  /** For the answer. */
  room = 1 << 20;

  constructor(server: P9Server) {
    this.#server = server;
  }

  async raw(message: Uint8Array): Promise<MessageReader> {
    const answer = await this.#server.answer(message, this.room);
    const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
    if (view.getUint32(0, true) !== answer.length || view.getUint16(5, true) !== (message[5]! | (message[6]! << 8))) throw new Error('the answer has a wrong header');
    const reader = new MessageReader(answer);
    if (answer[4] === ANSWER_ERROR) throw new Error(`errno ${reader.u32()}`);
    if (answer[4] !== message[4]! + 1) throw new Error(`answer ${answer[4]} to ${message[4]}`);
    return reader;
  }
  ask(type: keyof typeof REQUEST, put: Put, tag = (this.#tag = (this.#tag + 1) % 0xffff)): Promise<MessageReader> {
    return this.raw(put(new MessageWriter()).message(REQUEST[type], tag));
  }

  /** Begins a session; fid 0 is the folder. */
  async begin(longest = 1 << 16): Promise<void> {
    await this.ask('version', (m) => m.u32(longest).text('9P2000.L'), 0xffff);
    await this.ask('attach', (m) => m.u32(0).u32(2 ** 32 - 1).text('').text('').u32(1000));
  }
  /** Returns how many names it went. */
  async walk(from: number, to: number, ...names: readonly string[]): Promise<number> {
    const answer = await this.ask('walk', (m) => names.reduce((message, name) => message.text(name), m.u32(from).u32(to).u16(names.length)));
    return answer.u16();
  }
  async clunk(fid: number): Promise<void> {
    await this.ask('clunk', (m) => m.u32(fid));
  }
  async open(fid: number, flags = 0): Promise<void> {
    await this.ask('lopen', (m) => m.u32(fid).u32(flags));
  }
  async create(fid: number, name: string, flags = 2, mode = 0o644): Promise<void> {
    await this.ask('lcreate', (m) => m.u32(fid).text(name).u32(flags).u32(mode).u32(1000));
  }
  async read(fid: number, offset: number, count: number): Promise<Uint8Array> {
    const answer = await this.ask('read', (m) => m.u32(fid).u64(BigInt(offset)).u32(count));
    return answer.bytes(answer.u32()).slice();
  }
  async write(fid: number, offset: number, bytes: Uint8Array): Promise<number> {
    return (await this.ask('write', (m) => {
      m.u32(fid).u64(BigInt(offset)).u32(bytes.length).room(bytes.length).set(bytes);
      return m;
    })).u32();
  }
  async mode(fid: number): Promise<number> {
    const answer = await this.ask('getattr', (m) => m.u32(fid).u64(0x7ffn));
    answer.bytes(8 + 13);
    return answer.u32();
  }
  async mkdir(fid: number, name: string): Promise<void> {
    await this.ask('mkdir', (m) => m.u32(fid).text(name).u32(0o755).u32(1000));
  }
  async symlink(fid: number, name: string, target: string): Promise<void> {
    await this.ask('symlink', (m) => m.u32(fid).text(name).text(target).u32(1000));
  }
  async readlink(fid: number): Promise<string> {
    return (await this.ask('readlink', (m) => m.u32(fid))).text();
  }
  async link(folder: number, fid: number, name: string): Promise<void> {
    await this.ask('link', (m) => m.u32(folder).u32(fid).text(name));
  }
  async renameat(from: number, name: string, to: number, newName: string): Promise<void> {
    await this.ask('renameat', (m) => m.u32(from).text(name).u32(to).text(newName));
  }
  async unlinkat(fid: number, name: string, flags = 0): Promise<void> {
    await this.ask('unlinkat', (m) => m.u32(fid).text(name).u32(flags));
  }
  /** `valid`: what of the rest counts. */
  async setattr(fid: number, valid: number, { mode = 0, size = 0, modified = 0n }: { readonly mode?: number; readonly size?: number; readonly modified?: bigint } = {}): Promise<void> {
    await this.ask('setattr', (m) => m.u32(fid).u32(valid).u32(mode).u32(0).u32(0).u64(BigInt(size)).u64(0n).u64(0n).u64(modified / 1_000_000_000n).u64(modified % 1_000_000_000n));
  }
  /** All names in an open folder, some at a time. */
  async list(fid: number, count = 4096): Promise<string[]> {
    const names: string[] = [];
    for (let offset = 0n; ;) {
      const answer = await this.ask('readdir', (m) => m.u32(fid).u64(offset).u32(count));
      const end = answer.u32();
      if (end === 0) return names;
      for (let at = 0; at < end;) {
        answer.bytes(13);
        offset = answer.u64();
        answer.u8();
        const name = answer.text();
        names.push(name);
        at += 13 + 8 + 1 + 2 + name.length;
      }
    }
  }
}
