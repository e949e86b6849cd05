import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GuestPort } from '../library/guest-port.ts';
import { parsePortEnd, servePort } from './port-ends.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'polyvisor-port-'));
});
afterEach(() => rmSync(folder, { recursive: true }));
const until = async (done: () => boolean): Promise<void> => {
  for (let i = 0; i < 20_000 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(done()).toBe(true);
};

it('one program at a time has a port, and is made to wait for the guest', async () => {
  const typed: number[] = [];
  let read = 0;
  const opened: boolean[] = [];
  const port = new GuestPort({ now: () => 0 }, { send: (bytes) => void typed.push(...bytes), unread: () => typed.length - read, guestOpen: () => true, setHostOpen: (open) => void opened.push(open) });
  const path = join(folder, 'socket');
  const end = await servePort(port, parsePortEnd(`org.a=unix:${path}`));
  await expect(servePort(port, { name: 'b', socket: path })).rejects.toThrow(/in use by another program/);
  // To see whether somebody is there, it has connected.
  await until(() => opened.length === 3);
  const client = createConnection(path);
  let heard = '';
  client.on('data', (bytes) => (heard += String(bytes)));
  await until(() => port.connected);
  const second = createConnection(path).resume();
  const refused = new Promise((resolve) => second.on('close', resolve));
  await refused;
  port.received(new TextEncoder().encode('hello'));
  await until(() => heard === 'hello');
  client.write(new Uint8Array(1 << 20));
  await until(() => typed.length > 1 << 16);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(typed.length).toBeLessThan(1 << 20);
  const reading = setInterval(() => (read = typed.length), 5);
  await until(() => typed.length === 1 << 20);
  clearInterval(reading);
  client.destroy();
  await until(() => !port.connected);
  const third = createConnection(path).resume();
  await until(() => port.connected);
  end();
  await new Promise((resolve) => third.on('close', resolve));
  await until(() => !existsSync(path));
  await until(() => opened.length === 7);
  expect(opened).toEqual([false, true, false, true, false, true, false]);
});

it('what is wrong is one line', async () => {
  expect(() => parsePortEnd('org.a')).toThrow(/NAME=unix:PATH/);
  const port = new GuestPort({ now: () => 0 }, { send: () => {}, unread: () => 0, guestOpen: () => true, setHostOpen: () => {} });
  writeFileSync(join(folder, 'file'), '');
  await expect(servePort(port, { name: 'a', socket: join(folder, 'file') })).rejects.toThrow(/is there already and no socket/);
  await expect(servePort(port, { name: 'a', socket: join(folder, 'none', 'x') })).rejects.toThrow(/socket .* of console port a .*give another path/);
  await expect(servePort(port, { name: 'a', socket: join(folder, 'x'.repeat(200)) })).rejects.toThrow(/too long for a socket/);
});
