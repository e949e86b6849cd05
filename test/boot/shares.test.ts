import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { attempt, powerOff, shell } from '../support/guest-shell.ts';

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
// The 64-bit guest's cloud kernel has no 9P; the one that has comes in a large package.
const GUESTS = process.env['POLYVISOR_NIGHTLY'] === '1' ? ['linux-i386', 'linux-generic'] : ['linux-i386'];
const MOUNT = 'mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144';

test.each(GUESTS)('%s: a stock Debian kernel mounts folders of the host, works in them, and gets nowhere else', async (guest) => {
  const top = mkdtempSync(join(tmpdir(), 'polyvisor-shares-'));
  const at = (...names: string[]): string => join(top, ...names);
  try {
    for (const name of ['work', 'data', 'work/many']) mkdirSync(at(name));
    const big = randomBytes(2 << 20);
    writeFileSync(at('data', 'big'), big);
    writeFileSync(at('secret'), 'not to be seen');
    for (let i = 0; i < 120; i++) writeFileSync(at('work', 'many', `file-${i}`), `${i}\n`);
    symlinkSync('../secret', at('work', 'up'));
    symlinkSync(at('secret'), at('work', 'absolute'));
    let vm = await shell({ guest, shares: [`${at('work')}:work`, { folder: at('data'), tag: 'data', readOnly: true }] });
    let output = '';
    const run = async (command: string): Promise<string> => {
      output = await attempt(vm, command);
      return output.slice(0, output.lastIndexOf('[status')).trim();
    };
    await run(`mkdir /shared /data; ${MOUNT} work /shared && ${MOUNT} data /data && cd /shared`);
    expect(output).toContain('[status 0]');
    // Both ways, whole.
    expect(await run('sha256sum < /data/big | cut -c 1-64')).toBe(sum(big));
    await run('head -c 1000000 /dev/urandom > made; sha256sum < made | cut -c 1-64 > sum');
    const made = readFileSync(at('work', 'made'));
    expect([made.length, readFileSync(at('work', 'sum'), 'utf8').trim()]).toEqual([1_000_000, sum(made)]);
    expect(await run('ls many | wc -l; cat many/* | wc -l; ls -l many/file-7 | cut -c 1-10')).toBe('120\n120\n-rw-r--r--');
    await run('rm -r many && mkdir -p a/b && echo one > a/b/one && mv a c && ln c/b/one two && ln -s c/b/one three && chmod 600 two && touch -d 2001-02-03 two && cat three');
    expect(output).toContain('[status 0]');
    const { mode, mtimeMs, nlink } = statSync(at('work', 'c', 'b', 'one'));
    expect([mode & 0o777, new Date(mtimeMs).toISOString().slice(0, 10), nlink, readlinkSync(at('work', 'three')), existsSync(at('work', 'many'))]).toEqual([0o600, '2001-02-03', 2, 'c/b/one', false]);
    // A file that is deleted while it is open; what is appended; what is cut.
    expect(await run('exec 5> gone; rm gone; echo still >&5; exec 5>&-; echo a > log; echo b >> log; cat log; truncate -s 1 log; wc -c < log')).toBe('a\nb\n1');
    // Links are the guest's own to follow.
    expect(await run('cat up; cat absolute; cat ../secret; echo > up; ls /shared/../..')).not.toContain('not to be seen');
    expect([readFileSync(at('secret'), 'utf8'), readdirSync(top).sort()]).toEqual(['not to be seen', ['data', 'secret', 'work']]);
    expect(await run('echo x > /data/new; rm /data/big')).toMatch(/Read-only file system[^]*Read-only file system/);
    expect(readdirSync(at('data'))).toEqual(['big']);
    await run('sh -c "echo before; while [ ! -e go ]; do sleep 1; done; cat; pwd" < c/b/one > out & sleep 1');
    // It goes on elsewhere, with what it has open.
    await vm.saveFile(at('state'));
    await vm.stop();
    vm = await VirtualMachine.restore(at('state'));
    void vm.start();
    writeFileSync(at('work', 'go'), '');
    expect(await run('wait; cat out; sync; umount /data && cd / && umount /shared')).toContain('before\none\n/shared');
    await powerOff(vm);
  } finally {
    rmSync(top, { recursive: true });
  }
}, 900_000);
