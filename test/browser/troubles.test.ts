import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type * as Polyvisor from '../../src/browser/index.ts';
import { browserMissing, openPage } from './chromium.ts';

declare const polyvisor: typeof Polyvisor;
declare let vm: Polyvisor.VirtualMachine;
declare let lines: string[];

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-troubles-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** In the page: boots to the shell, with a disk whose changes are kept. */
async function boot(): Promise<string> {
  lines = [];
  vm = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', initrd: '/guest/initrd', append: 'console=ttyS0 quiet', memory: '128M', disks: [{ source: '/files/disk.img', keep: 'mine' }], onWarning: (line) => lines.push(line) });
  void vm.start().catch(() => {});
  await vm.console.waitFor(/# /, 400_000);
  // The kernel's lines about the disk are not to stand in the middle of others.
  vm.console.write('dmesg -n 1\n');
  await vm.console.waitFor(/# /, 200_000);
  return lines.join('\n');
}
async function say(command: string, answer: string): Promise<string> {
  vm.console.write(`${command}\n`);
  return vm.console.waitFor(new RegExp(answer), 200_000);
}

describe.skipIf(browserMissing !== undefined)(`in Chromium${browserMissing === undefined ? '' : `: ${browserMissing}`}`, () => {
  it('says what happened when a server sends no parts, storage is full and a worker dies, and the disk keeps what was flushed', async () => {
    writeFileSync(join(folder, 'disk.img'), Uint8Array.from({ length: 16 << 20 }, (_, i) => i >> 12));
    const { page, context, url } = await openPage({ ranges: false, routes: { '/files/': folder } });
    await page.waitForFunction('globalThis.polyvisor !== undefined');
    await page.evaluate(`globalThis.boot = ${boot.toString()}; globalThis.say = ${say.toString()};`);
    expect(await page.evaluate(boot)).toMatch(/disk \/files\/disk\.img: its server does not support range requests, so all of it is loaded \(16\.0 MiB\)/);
    const run = (command: string, answer: string) => page.evaluate(([typed, wanted]) => say(typed!, wanted!), [command, answer]);
    await run('printf kept | dd of=/dev/vda bs=4096 seek=5 conv=fsync,notrunc; echo written $?', 'written 0');

    const devtools = await context.newCDPSession(page);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(url).origin, quotaSize: 1 << 20 });
    await run('dd if=/dev/zero of=/dev/vda bs=1M seek=8 count=8 conv=fsync,notrunc; echo full $?', 'full 1');
    expect(await page.evaluate(() => lines.at(-1))).toMatch(/disk .*: a write fails, which the guest sees as an error of its disk: "mine" cannot grow.*the browser gives this page no more room: remove what is kept/);
    const unsaved = await page.evaluate(() => vm.saveFile('full').then(() => 'saved', (error: Error) => `${error.name}: ${error.message}`));
    expect(unsaved).toMatch(/^UserError: (nothing can be kept|.* cannot be (kept|saved).*); the browser gives this page no more room: remove what is kept/);
    await run('echo $((6 * 7)) goes on', '42 goes on');
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(url).origin });
    expect(await page.evaluate(() => polyvisor.VirtualMachine.kept('states'))).toEqual([]);

    const worker = page.workers().find((candidate) => /machine-worker/.test(candidate.url()))!;
    await worker.evaluate(() => void setTimeout(() => {
      throw new Error('hit by a test');
    }));
    expect(await page.evaluate(() => vm.finished.then(() => 'ended', (error: Error) => error.message))).toMatch(/the machine's worker has died \(.*hit by a test\); what the guest has flushed to its kept disks is there: start the machine again/);
    await page.evaluate(boot);
    expect(await run('dd if=/dev/vda bs=4096 skip=5 count=1 2>/dev/null | head -c 4', 'kept')).toBe('kept');
  }, 1_500_000);
});
