import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { EXECUTABLE, writeCpio } from '../../src/host-node/guests/cpio.ts';
import { ready } from '../support/guest-shell.ts';
import { nativeUnavailable } from '../support/native.ts';

const why = nativeUnavailable();

/** What arrives until the other end has said all, or is gone. */
function everything(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part)).on('error', () => {});
  return new Promise((resolve) => {
    for (const event of ['end', 'close']) socket.once(event, () => resolve(Buffer.concat(parts)));
  });
}

describe.skipIf(why !== undefined)(`sockets${why === undefined ? '' : ` (${why})`}`, () => {
  test('join programs of a stock Debian kernel with programs of the host, both ways', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'polyvisor-vsock-'));
    const path = join(folder, 'guest');
    try {
      execFileSync('cc', ['-O1', '-static', '-o', join(folder, 'vsock'), fileURLToPath(new URL('vsock.c', import.meta.url))]);
      const files = await catalogue.find(({ name }) => name === 'linux')!.fetch(() => {});
      writeFileSync(join(folder, 'initrd'), Buffer.concat([readFileSync(files.initrd!), writeCpio([{ path: 'bin/vsock', mode: EXECUTABLE, data: new Uint8Array(readFileSync(join(folder, 'vsock'))) }])]));
      let vm = await VirtualMachine.create({ kernel: files.kernel, initrd: join(folder, 'initrd'), append: `${files.append} quiet`, vsock: { cid: 42, path } });
      void vm.start();
      await ready(vm);
      // The host asks the guest.
      vm.console.write('vsock listen 5000 &\n');
      const bytes = randomBytes(1 << 20);
      const ask = async (): Promise<Buffer> => {
        const socket = createConnection({ path, allowHalfOpen: true });
        socket.write('CONNECT 5000\n');
        socket.end(bytes);
        return everything(socket);
      };
      let answer: Buffer = Buffer.alloc(0);
      // Until it listens.
      for (const ends = performance.now() + 200_000; answer.length === 0 && performance.now() < ends; await new Promise((resolve) => setTimeout(resolve, 100))) answer = await ask();
      const line = answer.indexOf('\n') + 1;
      expect(answer.toString('latin1', 0, line)).toMatch(/^OK \d+\n$/);
      expect(answer.subarray(line).equals(bytes)).toBe(true);
      await vm.console.waitFor('served', 200_000);
      const both = await Promise.all([ask(), ask()]);
      for (const one of both) expect(one.subarray(one.indexOf('\n') + 1).equals(bytes)).toBe(true);
      const nobody = createConnection(path);
      nobody.write('CONNECT 5001\n');
      expect(await everything(nobody)).toHaveLength(0);
      const nonsense = createConnection(path);
      nonsense.write('GET / HTTP/1.0 and so on and so forth\n');
      expect(await everything(nonsense)).toHaveLength(0);
      // The guest asks the host.
      const server = createServer({ allowHalfOpen: true }, (socket) => void everything(socket).then((all) => socket.end(`heard ${all.length} bytes\n`))).listen(`${path}_7000`);
      await once(server, 'listening');
      vm.console.write('head -c 500000 /dev/zero | vsock connect 7000; vsock connect 7001\n');
      await vm.console.waitFor('heard 500000 bytes', 200_000);
      await vm.console.waitFor(/connect: Connection (reset|refused)/, 200_000);
      // A connection ends with the machine; the guest that goes on elsewhere is told.
      const open = createConnection(path);
      open.write('CONNECT 5000\nhello');
      await once(open, 'data');
      await vm.saveFile(join(folder, 'state'));
      open.on('error', () => {});
      await Promise.all([vm.stop(), once(open.resume(), 'close')]);
      server.close();
      vm = await VirtualMachine.restore(join(folder, 'state'));
      void vm.start();
      // Which depends on what it was at when the connection ended.
      await vm.console.waitFor(/(?:read|write): (?:Connection reset by peer|Transport endpoint is not connected)[^]*served/, 200_000);
      answer = await ask();
      expect(answer.subarray(answer.indexOf('\n') + 1).equals(bytes)).toBe(true);
      await vm.stop();
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 1_500_000);
});
