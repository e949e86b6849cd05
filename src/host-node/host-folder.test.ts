import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { P9Client } from '../devices/sharing/p9-client.test-support.ts';
import { P9Server } from '../devices/sharing/p9-server.ts';
import { HostFolder } from './host-folder.ts';

let top: string;
let folder: HostFolder;
let server: P9Server;
let guest: P9Client;
/** In the shared folder; beside it, what must not be seen. */
const inside = (...names: string[]): string => join(top, 'shared', ...names);
const outside = (...names: string[]): string => join(top, 'outside', ...names);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const [ENOENT, EBADF, EACCES, EEXIST, ENOTDIR, EISDIR, EINVAL, EROFS, ENOTEMPTY, ELOOP] = [2, 9, 13, 17, 20, 21, 22, 30, 39, 40].map((errno) => `errno ${errno}`) as [string, string, string, string, string, string, string, string, string, string];

async function share(readOnly = false): Promise<void> {
  folder = await HostFolder.open(inside(), readOnly);
  server = new P9Server(folder);
  guest = new P9Client(server);
  await guest.begin();
}
beforeEach(async () => {
  top = mkdtempSync(join(tmpdir(), 'polyvisor-share-'));
  mkdirSync(inside());
  mkdirSync(outside());
  writeFileSync(outside('secret'), 'secret');
  writeFileSync(inside('a'), 'contents');
  await share();
});
afterEach(async () => {
  await folder.close();
  rmSync(top, { recursive: true });
});

describe('a shared folder', () => {
  it('reads and writes files, which are on the host at once', async () => {
    await guest.walk(0, 1, 'a');
    await guest.open(1, 2);
    expect(text(await guest.read(1, 3, 100))).toBe('tents');
    expect(await guest.read(1, 100, 100)).toHaveLength(0);
    expect(await guest.write(1, 8, new TextEncoder().encode(' and more'))).toBe(9);
    expect(readFileSync(inside('a'), 'utf8')).toBe('contents and more');
    await guest.walk(0, 2);
    await guest.create(2, 'new', 2, 0o640);
    const bytes = randomBytes(50_000);
    await guest.write(2, 0, bytes);
    await guest.ask('fsync', (m) => m.u32(2).u32(0));
    expect([readFileSync(inside('new')).equals(bytes), statSync(inside('new')).mode & 0o7777]).toEqual([true, 0o640]);
    await guest.setattr(2, 8, { size: 3 });
    await guest.setattr(2, 1, { mode: 0o4755 });
    await guest.setattr(2, 0x120, { modified: 1_234_567_890_123_456_789n });
    const { size, mode, mtimeNs } = statSync(inside('new'), { bigint: true });
    expect([size, Number(mode) & 0o7777, mtimeNs]).toEqual([3n, 0o755, 1_234_567_890_123_456_789n]);
  });

  it('makes folders and links, renames, removes; open files live on', async () => {
    await guest.mkdir(0, 'd');
    await guest.walk(0, 1, 'd');
    await guest.symlink(1, 's', '../a');
    expect(readlinkSync(inside('d', 's'))).toBe('../a');
    await guest.walk(1, 2, 's');
    expect([await guest.readlink(2), (await guest.mode(2)) >> 12]).toEqual(['../a', 0o12]);
    await guest.walk(0, 3, 'a');
    await guest.link(1, 3, 'b');
    await guest.open(3);
    await guest.unlinkat(0, 'a');
    expect(existsSync(inside('a'))).toBe(false);
    expect(text(await guest.read(3, 0, 100))).toBe('contents');
    expect((await guest.mode(3)) >> 12).toBe(0o10);
    // What is in a folder moves with it.
    await guest.walk(1, 4, 'b');
    await guest.renameat(0, 'd', 0, 'e');
    await guest.open(4);
    expect(text(await guest.read(4, 0, 100))).toBe('contents');
    await expect(guest.unlinkat(0, 'e', 0x200)).rejects.toThrow(ENOTEMPTY);
    await expect(guest.unlinkat(0, 'e')).rejects.toThrow(EISDIR);
    await guest.unlinkat(1, 'b');
    await guest.ask('remove', (m) => m.u32(2));
    await guest.ask('remove', (m) => m.u32(1));
    expect(readdirSync(inside())).toEqual([]);
    await expect(guest.mode(1)).rejects.toThrow(EBADF);
  });

  it('lists folders of many files a piece at a time, whatever is deleted meanwhile, and names of any bytes', async () => {
    const names = Array.from({ length: 500 }, (_, i) => `file-${i}`);
    for (const name of names) writeFileSync(inside(name), '');
    writeFileSync(Buffer.concat([Buffer.from(`${inside()}/`), Buffer.of(0xff, 0xc3, 0x28)]), 'x');
    await guest.walk(0, 1);
    await guest.open(1);
    const wanted = ['.', '..', 'a', '\xff\xc3(', ...names].sort();
    expect((await guest.list(1)).sort()).toEqual(wanted);
    expect((await guest.list(1, 60)).sort()).toEqual(wanted);
    await expect(guest.list(1, 10)).rejects.toThrow(EINVAL);
    await guest.walk(0, 2, '\xff\xc3(');
    await guest.open(2);
    expect(text(await guest.read(2, 0, 9))).toBe('x');
  });

  it('goes on after a save with the same files open', async () => {
    await guest.walk(0, 1, 'a');
    await guest.open(1, 2);
    mkdirSync(inside('d'));
    await guest.walk(0, 2, 'd');
    const state = server.save();
    const other = new P9Server(folder);
    other.load(state);
    expect(isDeepStrictEqual(other.save(), state)).toBe(true);
    guest = new P9Client(other);
    expect(text(await guest.read(1, 0, 100))).toBe('contents');
    await guest.create(2, 'f');
    unlinkSync(inside('a'));
    const third = new P9Server(folder);
    third.load(state);
    await expect(new P9Client(third).read(1, 0, 100)).rejects.toThrow(ENOENT);
    await third.reset();
    await other.reset();
    for (const path of ['../outside', 'd/..', '/etc', 'd//f', '.', 'x'.repeat(5000), 'a\0b']) {
      expect(() => new P9Server(folder).load({ longest: 8192, fids: [{ number: 1, path, uid: 0, open: null }] }), path).toThrow(/shared folder/);
    }
    expect(() => new P9Server(folder).load({ longest: 8192, fids: [1, 1].map((number) => ({ number, path: '', uid: 0, open: null })) })).toThrow(/twice/);
  });

  it('is as the host says when it is read-only', async () => {
    await folder.close();
    await share(true);
    await guest.walk(0, 1, 'a');
    const refused = [
      guest.open(1, 1), guest.open(1, 0o1000), guest.create(0, 'n'), guest.mkdir(0, 'n'), guest.symlink(0, 'n', 'a'), guest.link(0, 1, 'n'), guest.renameat(0, 'a', 0, 'n'),
      guest.unlinkat(0, 'a'), guest.setattr(1, 1, { mode: 0o777 }), guest.setattr(1, 8), guest.setattr(1, 0x120), guest.create(0, 'a', 0), guest.create(0, 'a', 0o1000),
    ];
    expect((await Promise.allSettled(refused)).map((one) => one.status === 'rejected' && (one.reason as Error).message)).toEqual(refused.map(() => EROFS));
    await guest.open(1);
    expect(text(await guest.read(1, 0, 100))).toBe('contents');
    await expect(guest.write(1, 0, Uint8Array.of(1))).rejects.toThrow(EBADF);
    expect(readdirSync(inside())).toEqual(['a']);
  });

  it('has a line for a folder that cannot be shared', async () => {
    await expect(HostFolder.open(join(top, 'none'), false)).rejects.toThrow(/none to be shared does not exist; give an existing one/);
    await expect(HostFolder.open(inside('a'), false)).rejects.toThrow(/is no folder/);
  });
});

describe('nothing outside of a shared folder is reached', () => {
  it('by names', async () => {
    expect(await guest.walk(0, 1, '..', '..', '..')).toBe(3);
    await guest.open(1);
    expect((await guest.list(1)).sort()).toEqual(['.', '..', 'a']);
    for (const name of ['../outside', '/etc/passwd', 'x/../../outside', '', 'a\0', '\0', '/', '../outside/secret']) {
      await expect(guest.walk(0, 2, name), name).rejects.toThrow(ENOENT);
      await expect(guest.mkdir(0, name), name).rejects.toThrow(ENOENT);
      await expect(guest.create(0, name), name).rejects.toThrow(ENOENT);
      await expect(guest.symlink(0, name, 'x'), name).rejects.toThrow(ENOENT);
      await expect(guest.renameat(0, 'a', 0, name), name).rejects.toThrow(ENOENT);
      await expect(guest.renameat(0, name, 0, 'b'), name).rejects.toThrow(ENOENT);
      await expect(guest.unlinkat(0, name), name).rejects.toThrow(ENOENT);
    }
    for (const name of ['.', '..']) {
      await expect(guest.mkdir(0, name)).rejects.toThrow(EINVAL);
      await expect(guest.create(0, name)).rejects.toThrow(EINVAL);
      await expect(guest.renameat(0, 'a', 0, name)).rejects.toThrow(EINVAL);
      await expect(guest.unlinkat(0, name, 0x200)).rejects.toThrow(EINVAL);
    }
    expect([readdirSync(top).sort(), readdirSync(outside()), readdirSync(inside())]).toEqual([['outside', 'shared'], ['secret'], ['a']]);
  });

  it('by links, of the host or of the guest', async () => {
    symlinkSync('../outside', inside('up'));
    symlinkSync(outside(), inside('absolute'));
    await guest.symlink(0, 'file', outside('secret'));
    await guest.symlink(0, 'root', '/');
    await guest.symlink(0, 'own', '/proc/self/root');
    for (const name of ['up', 'absolute', 'root', 'own']) {
      await expect(guest.walk(0, 1, name, 'secret')).resolves.toBe(1); // the link itself, and no further
      await guest.walk(0, 2, name);
      await expect(guest.open(2)).rejects.toThrow(ELOOP);
      await expect(guest.walk(2, 3, 'secret')).rejects.toThrow(ENOTDIR);
      await expect(guest.create(2, 'new')).rejects.toThrow(ENOTDIR);
      await expect(guest.mkdir(2, 'new')).rejects.toThrow(ENOTDIR);
      await expect(guest.unlinkat(2, 'secret')).rejects.toThrow(ENOTDIR);
      await expect(guest.renameat(2, 'secret', 0, 'mine')).rejects.toThrow(ENOTDIR);
      await guest.clunk(2);
    }
    await guest.walk(0, 2, 'file');
    await expect(guest.open(2)).rejects.toThrow(ELOOP);
    await expect(guest.open(2, 0o1001)).rejects.toThrow(ELOOP);
    await expect(guest.create(0, 'file', 0o1001)).rejects.toThrow(ELOOP);
    await expect(guest.setattr(2, 8)).rejects.toThrow(EINVAL);
    await expect(guest.setattr(2, 1, { mode: 0o777 })).rejects.toThrow('errno 95');
    await guest.setattr(2, 0x120, { modified: 5n });
    // A further name of a link is one of the link.
    await guest.link(0, 2, 'again');
    expect([readlinkSync(inside('again')), readFileSync(outside('secret'), 'utf8')]).toEqual([outside('secret'), 'secret']);
    expect(statSync(outside('secret')).mtimeMs).toBeGreaterThan(1000);
  });

  it('by devices, pipes and sockets, which nobody opens', async () => {
    execFileSync('mkfifo', [inside('pipe')]);
    const socket = createServer().listen(inside('socket'));
    await new Promise((resolve) => socket.once('listening', resolve));
    for (const name of ['pipe', 'socket']) {
      await guest.walk(0, 1, name);
      for (const flags of [0, 1, 2, 0o1001]) await expect(guest.open(1, flags)).rejects.toThrow(EACCES);
      for (const flags of [0, 1, 0o1002]) await expect(guest.create(0, name, flags)).rejects.toThrow(EACCES);
      await expect(guest.setattr(1, 8)).rejects.toThrow(EINVAL);
      await guest.clunk(1);
    }
    await expect(guest.ask('mknod', (m) => m.u32(0).text('null').u32(0o20666).u32(1).u32(3).u32(0))).rejects.toThrow('errno 1');
    socket.close();
  });

  it('by who renames on the host meanwhile', async () => {
    // A folder of the share and a link to outside of it change places all the time.
    mkdirSync(inside('d'));
    writeFileSync(inside('d', 'secret'), 'public');
    symlinkSync(outside(), inside('l'));
    const mode = statSync(outside()).mode;
    let turns = 0;
    let running = true;
    const host = (async () => {
      for (; running; turns++) {
        renameSync(inside('d'), inside('t'));
        renameSync(inside('l'), inside('d'));
        if (turns % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        renameSync(inside('d'), inside('l'));
        renameSync(inside('t'), inside('d'));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const seen = new Set<string>();
    const attempt = async (work: () => Promise<string>): Promise<void> => void seen.add(await work().catch((error: unknown) => String(error)));
    for (let i = 0; i < 300; i++) {
      const fid = 10 + 2 * i;
      await attempt(async () => `${await guest.walk(0, fid, 'd')}`);
      await Promise.all([
        attempt(async () => `${await guest.walk(fid, fid + 1, 'secret')}`).then(() => attempt(async () => {
          await guest.open(fid + 1, 2);
          return text(await guest.read(fid + 1, 0, 99));
        })),
        attempt(async () => `made ${await guest.mkdir(fid, `n${i}`)}`),
        attempt(async () => `mode ${await guest.setattr(fid, 1, { mode: 0o750 })}`),
      ]);
    }
    running = false;
    await host;
    expect([...seen].filter((what) => what.includes('public'))).toHaveLength(1);
    expect([...seen].filter((what) => /^secret/.test(what))).toEqual([]);
    expect([readdirSync(outside()), readFileSync(outside('secret'), 'utf8'), statSync(outside()).mode]).toEqual([['secret'], 'secret', mode]);
    expect(turns).toBeGreaterThan(50);
  });
});

describe('messages that make no sense', () => {
  it('are answered with an error', async () => {
    const message = (type: number, ...body: number[]): Uint8Array => Uint8Array.of(7 + body.length, 0, 0, 0, type, 5, 0, ...body);
    for (let type = 0; type < 256; type++) {
      if (type === 100 || type === 108) continue;
      await expect(guest.raw(message(type)), String(type)).rejects.toThrow(/errno (71|95|1)$/);
      await expect(guest.raw(Uint8Array.of(255, 255, 255, 255, type, 1, 0))).rejects.toThrow(/errno 71/);
      await expect(guest.raw(Uint8Array.of(3, 0, 0, 0, type, 1, 0))).rejects.toThrow(/errno 71/);
    }
    // A text longer than the message.
    await expect(guest.raw(message(110, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 255, 255, 65))).rejects.toThrow(/errno 71/);
    await expect(guest.ask('walk', (m) => m.u32(0).u32(1).u16(17))).rejects.toThrow(EINVAL);
    for (const fid of [1, 99, 2 ** 32 - 1]) await expect(guest.mode(fid)).rejects.toThrow(EBADF);
    await expect(guest.walk(0, 0, 'a', 'b')).resolves.toBe(1);
    await guest.walk(0, 1, 'a');
    await expect(guest.walk(0, 1, 'a')).rejects.toThrow(EINVAL);
    await expect(guest.read(1, 0, 1)).rejects.toThrow(EBADF);
    await guest.open(1);
    await expect(guest.open(1)).rejects.toThrow(EBADF);
    expect(await guest.read(1, 0, 2 ** 32 - 1)).toHaveLength(8);
    await expect(guest.ask('read', (m) => m.u32(1).u64(2n ** 63n).u32(1))).rejects.toThrow(EINVAL);
    await expect(guest.create(0, 'a', 0o302)).rejects.toThrow(EEXIST);
    guest.room = 11;
    await expect(guest.mode(1)).rejects.toThrow('errno 90');
    expect(await guest.read(1, 0, 100)).toHaveLength(0);
  });

  it('of the length of messages', async () => {
    await expect(guest.ask('version', (m) => m.u32(10).text('9P2000.L'))).rejects.toThrow('errno 90');
    const answer = await guest.ask('version', (m) => m.u32(2 ** 32 - 1).text('9P2000.L'));
    expect([answer.u32(), answer.text()]).toEqual([1 << 19, '9P2000.L']);
    const other = await guest.ask('version', (m) => m.u32(8192).text('9P2000.u'));
    expect([other.u32(), other.text()]).toEqual([8192, 'unknown']);
    await expect(guest.mode(0)).rejects.toThrow(EBADF); // a new session
  });

  it('flush what is under way, themselves too', async () => {
    await guest.walk(0, 1, 'a');
    await guest.open(1);
    const order: string[] = [];
    await Promise.all([
      guest.ask('read', (m) => m.u32(1).u64(0n).u32(8), 77).then(() => order.push('read')),
      guest.ask('flush', (m) => m.u16(77), 78).then(() => order.push('flush')),
      guest.ask('flush', (m) => m.u16(79), 79).then(() => order.push('own')),
    ]);
    expect(order.indexOf('read')).toBeLessThan(order.indexOf('flush'));
    expect(order).toContain('own');
  });
});
