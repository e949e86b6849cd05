import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { attempt, command, hasDisk, powerOff, ready } from '../support/guest-shell.ts';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-host-'));
const small = join(folder, 'small');
/** A file system with room for 1 MiB; only root can make one. */
const hasSmall = (() => {
  mkdirSync(small);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', small], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('test/boot/host-troubles: a small file system cannot be mounted; run as root');
    return false;
  }
})();
afterAll(() => {
  if (hasSmall) execFileSync('umount', [small]);
  rmSync(folder, { recursive: true });
});

function image(path: string, bytes = 4 << 20): string {
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

test('what goes wrong on the host is an I/O error in the guest, and one line for the user', async () => {
  const lines: string[] = [];
  const [full, fixed, gone, cut] = [image(join(hasSmall ? small : folder, 'full.img')), ...['fixed', 'gone', 'cut'].map((name) => image(join(folder, `${name}.img`)))] as [string, string, string, string];
  const legs = ['first', 'second'].map((name) => image(join(folder, `${name}.img`))) as [string, string];
  const vm = await VirtualMachine.create({
    guest: 'linux', append: 'quiet', memory: '128M', log: { warn: (line) => void lines.push(line), tracing: () => false, trace: () => {} },
    disks: [full, { file: fixed, readOnly: true }, gone, cut, { layout: 'mirror', files: legs }],
  });
  try {
    void vm.start();
    await ready(vm);
    await hasDisk(vm, '/dev/vde');
    const write = (disk: string, at = 0): Promise<string> => attempt(vm, `dd if=/dev/zero bs=64k count=32 seek=${at} 2>/dev/null | tr "\\0" "x" | dd of=/dev/${disk} bs=64k conv=fsync`);

    if (hasSmall) {
      expect(await write('vda')).toMatch(/Input\/output error[^]*\[status 1\]/);
      expect(lines.filter((line) => line.includes(full))).toEqual([`disk ${full} has no room: the disk is full; the guest gets an error when writing`]);
    }
    expect(await write('vdb')).toMatch(/(Read-only|not permitted)[^]*\[status 1\]/);
    expect(readFileSync(fixed).every((byte) => byte === 0)).toBe(true);

    expect(await write('vdc')).toContain('[status 0]');
    unlinkSync(gone);
    expect(await write('vdc', 16)).toMatch(/Input\/output error[^]*\[status 1\]/);
    expect(lines.filter((line) => line.includes(gone))).toEqual([`disk ${gone} has been deleted; the guest gets an error when flushing`]);

    truncateSync(cut, 1 << 20);
    expect(await attempt(vm, 'echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vdd of=/dev/null bs=64k')).toMatch(/Input\/output error[^]*\[status 1\]/);
    expect(lines.filter((line) => line.includes(cut))).toEqual([`disk ${cut} has become shorter meanwhile; the guest gets an error when reading`]);

    // One half of a mirror fails, which the guest does not notice, and comes back empty.
    await command(vm, 'dd if=/dev/urandom of=/tmp/data bs=64k count=64 2>/dev/null; dd if=/tmp/data of=/dev/vde bs=64k conv=fsync');
    truncateSync(legs[0], 1 << 20);
    await command(vm, 'echo 3 > /proc/sys/vm/drop_caches; cmp /tmp/data /dev/vde && dd if=/tmp/data of=/dev/vde bs=64k seek=32 count=32 conv=fsync');
    truncateSync(legs[0], 0);
    truncateSync(legs[0], 4 << 20);
    await vm.repairMirrors();
    expect(lines.filter((line) => line.includes(legs[0]))).toEqual([
      `disk ${legs[0]} has become shorter meanwhile`, `mirror: ${legs[0]} is left out from now on; ${legs[1]} goes on without it`, `mirror: ${legs[0]} is up to date`,
    ]);
    await powerOff(vm);
    expect(readFileSync(legs[0]).equals(readFileSync(legs[1]))).toBe(true);
    expect(readFileSync(legs[0]).subarray(0, 2 << 20).equals(readFileSync(legs[0]).subarray(2 << 20))).toBe(true);
  } finally {
    await vm.stop();
  }
}, 1_200_000);

test('kill -9 loses nothing that the guest has flushed', async () => {
  const [plain, ...legs] = ['plain', 'left', 'right'].map((name) => image(join(folder, `${name}.img`))) as [string, string, string];
  const cli = new URL('../../dist/node/polyvisor.js', import.meta.url).pathname;
  const child = spawn(process.execPath, [cli, 'run', 'linux', '--append', 'quiet', '--memory', '128M', '--disk', plain, '--disk', `mirror:${legs.join(',')}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let output = '';
  const waitFor = (text: string): Promise<void> => new Promise((resolve, reject) => {
    const look = (): void => {
      if (!output.includes(text)) return;
      child.stdout.off('data', look);
      resolve();
    };
    child.stdout.on('data', look);
    child.once('exit', () => reject(new Error(`ended without "${text}": ${output.slice(-500)}`)));
    look();
  });
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  try {
    await waitFor('# ');
    child.stdin.write('until [ -b /dev/vdb ]; do sleep 0.1; done\n');
    // Numbers in order, each on the disk before the next one: what was said to be there has to be.
    child.stdin.write('i=0; while true; do i=$((i + 1)); for d in vda vdb; do printf "%-511d\\n" $i | dd of=/dev/$d bs=512 seek=$i conv=fsync 2>/dev/null; done; echo "flush""ed $i"; done\n');
    await waitFor('flushed 8\r');
    child.kill('SIGKILL');
    await ended;
    const last = Number(/.*flushed (\d+)\r/s.exec(output)![1]);
    expect(last).toBeGreaterThanOrEqual(8);
    for (const path of [plain, ...legs]) {
      const contents = readFileSync(path);
      for (let i = 1; i <= last; i++) expect(contents.subarray(512 * i, 512 * i + 512).toString().trim(), path).toBe(String(i));
    }
  } finally {
    child.kill('SIGKILL');
  }
}, 1_200_000);
