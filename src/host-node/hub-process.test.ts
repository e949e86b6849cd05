import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PacketPort } from '../host/packets.ts';
import { openHub } from './hub-process.ts';

let folder = '';
const children: ChildProcess[] = [];
const ports: PacketPort[] = [];
const before = process.env['XDG_RUNTIME_DIR'];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'polyvisor-hub-'));
  process.env['XDG_RUNTIME_DIR'] = folder;
});
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
  else process.env['XDG_RUNTIME_DIR'] = before;
  rmSync(folder, { recursive: true });
});

async function joinHub(name = 'test'): Promise<PacketPort> {
  const port = await openHub(name);
  ports.push(port);
  return port;
}

/** Another process on the hub, which answers each frame with the same one, the first byte raised. */
async function other(): Promise<ChildProcess> {
  const program = join(folder, `member-${children.length}.mjs`);
  writeFileSync(program, `
    import { openHub } from ${JSON.stringify(resolve('dist/src/host-node/hub-process.js'))};
    const port = await openHub('test');
    const read = () => { for (let f = port.receive(); f; f = port.receive()) if (f.bytes[0] < 100) { f.bytes[0] += 100; port.send(f); } };
    port.listen(read);
    read();
    process.send('joined');
  `);
  const child = fork(program, { env: process.env, execArgv: [] });
  children.push(child);
  await new Promise((done, failed) => {
    child.once('message', done);
    child.once('exit', (code) => failed(new Error(`the other process has ended with ${code}`)));
  });
  return child;
}

/** Sends until that many answers are there: frames may be lost while a hub is being made. */
async function exchange(port: PacketPort, first: number, answers: number): Promise<void> {
  const got = new Set<number>();
  let heard = 0;
  for (let i = 0; i < 10_000 && heard < answers; i++) {
    port.send({ bytes: Uint8Array.of(first, i & 0xff) });
    await new Promise((done) => setTimeout(done, 20));
    for (let frame = port.receive(); frame !== undefined; frame = port.receive()) got.add(frame.bytes[0]! * 256 + frame.bytes[1]!);
    heard = [...got].filter((value) => value >> 8 === first + 100).length;
  }
  expect(heard).toBeGreaterThanOrEqual(answers);
}

it('joins machines of one process without going through the system', async () => {
  const [a, b, elsewhere] = [await joinHub(), await joinHub(), await joinHub('elsewhere')];
  a.send({ bytes: Uint8Array.of(1, 2) });
  expect(b.receive()?.bytes).toEqual(Uint8Array.of(1, 2));
  expect([a.receive(), elsewhere.receive()]).toEqual([undefined, undefined]);
});

it('joins processes, and goes on when the one that serves is killed', async () => {
  const server = await other();
  const port = await joinHub();
  await exchange(port, 1, 1);
  await other();
  await exchange(port, 2, 2);
  server.kill('SIGKILL');
  await new Promise((done) => server.once('exit', done));
  await exchange(port, 3, 2);
  // Somebody else can still come.
  await other();
  await exchange(port, 4, 3);
});

it('leaves nothing behind', async () => {
  const port = await joinHub();
  port.close();
  await expect.poll(() => readdirSync(join(folder, `polyvisor-hubs-${process.getuid!()}`)), { timeout: 200_000 }).toEqual([]);
});
