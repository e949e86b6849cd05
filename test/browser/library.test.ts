import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type * as Polyvisor from '../../src/browser/index.ts';
import { VirtualMachine } from '../../src/index.ts';
import { browserMissing, openPage } from './chromium.ts';

declare const polyvisor: typeof Polyvisor;

async function libraryPage(options: Parameters<typeof openPage>[0] = {}): Promise<Page> {
  const { page } = await openPage(options);
  await page.waitForFunction('globalThis.polyvisor !== undefined');
  return page;
}

it('no code of Node is in the bundle', () => {
  const inputs = JSON.parse(readFileSync('dist/browser-inputs.json', 'utf8')) as string[];
  expect(inputs).toContain('src/machine/machine.ts');
  expect(inputs.filter((name) => /^src\/(host-node|cli|index)/.test(name) || name.startsWith('node:'))).toEqual([]);
});

describe.skipIf(browserMissing !== undefined)(`in Chromium${browserMissing === undefined ? '' : `: ${browserMissing}`}`, () => {
  it('boots a stock kernel in a worker, types a command and reads the answer; not isolated', async () => {
    const page = await libraryPage({ isolated: false });
    const found = await page.evaluate(async () => {
      const vm = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', initrd: '/guest/initrd', append: 'console=ttyS0 quiet', memory: '256M' });
      const events: string[] = [];
      vm.on('poweroff', () => events.push('poweroff'));
      void vm.start();
      await vm.console.waitFor(/# /, 400_000);
      vm.console.write('uname -m; echo $((6 * 7))\n');
      await vm.console.waitFor(/^x86_64\s+42\s/m, 200_000);
      const report = await vm.report();
      vm.console.write('poweroff\n');
      return { end: await vm.finished, events, engine: report.engine, isolated: report.host.isolated, translated: report.translation!.instructions };
    });
    expect(found).toMatchObject({ end: { kind: 'poweroff' }, events: ['poweroff'], engine: 'translator', isolated: false });
    expect(found.translated).toBeGreaterThan(1000);
  }, 1_200_000);

  it('has two processors where the page is isolated', async () => {
    const page = await libraryPage();
    const found = await page.evaluate(async () => {
      const vm = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', initrd: '/guest/initrd', append: 'console=ttyS0 quiet', memory: '256M', cpus: 2, overcommit: true });
      void vm.start();
      await vm.console.waitFor(/# /, 400_000);
      vm.console.write('echo $(nproc) processors; poweroff\n');
      return [await vm.console.waitFor(/[0-9]+ processors/, 200_000), (await vm.finished).kind];
    });
    expect(found).toEqual(['2 processors', 'poweroff']);
  }, 1_200_000);

  it('keeps what the guest writes to a disk on a server over a reload, exports it, and refuses it to two machines', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'polyvisor-browser-'));
    try {
      writeFileSync(join(folder, 'disk.img'), Uint8Array.from({ length: 4 << 20 }, (_, i) => i >> 12));
      const page = await libraryPage({ routes: { '/files/': folder } });
      const boot = (command: string, answer: string) => page.evaluate(async ([typed, wanted]) => {
        const vm = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', initrd: '/guest/initrd', append: 'console=ttyS0 quiet', memory: '128M', disks: [{ source: '/files/disk.img', keep: 'mine' }] });
        void vm.start();
        await vm.console.waitFor(/# /, 400_000);
        vm.console.write(`${typed}\n`);
        const found = await vm.console.waitFor(new RegExp(wanted!), 200_000);
        const second = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', disks: [{ source: '/files/disk.img', keep: 'mine' }] }).then(() => 'made', (error: Error) => error.message);
        const image = new Uint8Array(await (await vm.exportDisk()).arrayBuffer());
        await vm.stop();
        vm.dispose();
        return { found, second, length: image.length, bytes: [...image.subarray(0x5000, 0x5008), image[0x6000]], kept: await polyvisor.VirtualMachine.kept('disks') };
      }, [command, answer]);
      const written = await boot('printf changed | dd of=/dev/vda bs=4096 seek=5 conv=fsync,notrunc; echo "do""ne"', '\\ndone\\r');
      expect(written).toMatchObject({ length: 4 << 20, bytes: [...Buffer.from('changed'), 5, 6], kept: ['mine'] });
      expect(written.second).toMatch(/"mine" is in use by another machine/);
      await page.reload();
      await page.waitForFunction('globalThis.polyvisor !== undefined');
      expect((await boot('dd if=/dev/vda bs=4096 skip=5 count=1 2>/dev/null | head -c 7', 'changed')).found).toBe('changed');
      expect(await page.evaluate(async () => {
        await polyvisor.VirtualMachine.forget('disks', 'mine');
        return polyvisor.VirtualMachine.kept('disks');
      })).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 1_200_000);

  it('saves a machine that goes on in Node, and goes on with what Node has saved', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'polyvisor-browser-'));
    try {
      const page = await libraryPage({ routes: { '/files/': folder } });
      const saved = await page.evaluate(async () => {
        const vm = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', initrd: '/guest/initrd', append: 'console=ttyS0 quiet', memory: '128M' });
        void vm.start();
        await vm.console.waitFor(/# /, 400_000);
        vm.console.write('answer=$((6 * 7))\n');
        await vm.console.waitFor(/# /, 400_000);
        await vm.pause();
        const bytes = await vm.saveFile('test');
        const blob = await vm.saveBlob();
        vm.dispose();
        const file = new FileReader();
        await new Promise((resolve) => {
          file.onload = resolve;
          file.readAsDataURL(blob);
        });
        const again = await polyvisor.VirtualMachine.restore('test');
        void again.start();
        again.console.write('echo here $answer\n');
        const found = await again.console.waitFor(/here 42/, 200_000);
        again.dispose();
        return { bytes, packed: blob.size, found, names: await polyvisor.VirtualMachine.kept('states'), base64: (file.result as string).replace(/^.*,/, '') };
      });
      expect(saved).toMatchObject({ found: 'here 42', names: ['test'] });
      expect(saved.packed).toBeLessThan(saved.bytes);
      const path = join(folder, 'from-browser');
      writeFileSync(path, Buffer.from(saved.base64, 'base64'));
      const vm = await VirtualMachine.restore(path, { engine: 'translator' });
      void vm.start();
      vm.console.write('echo node $answer; answer=43\n');
      await vm.console.waitFor(/node 42[^]*# /, 200_000);
      await vm.saveFile(join(folder, 'from-node'));
      await vm.stop();
      const found = await page.evaluate(async () => {
        const blob = await (await fetch('/files/from-node')).blob();
        const broken = await polyvisor.VirtualMachine.restore(blob.slice(0, 100_000)).then(() => 'made', (error: Error) => error.message);
        const again = await polyvisor.VirtualMachine.restore(blob);
        void again.start();
        again.console.write('echo browser $answer\n');
        const said = await again.console.waitFor(/browser 4[0-9]/, 200_000);
        again.dispose();
        return { said, broken };
      });
      expect(found.said).toBe('browser 43');
      expect(found.broken).toMatch(/the stored machine file is truncated/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 1_200_000);

  it('says what is wrong with what is given', async () => {
    const page = await libraryPage({ isolated: false });
    const said = await page.evaluate(async () => {
      const tries: Polyvisor.VirtualMachineOptions[] = [
        {}, { kernel: '/guest/none' }, { kernel: new Blob(['no kernel']) }, { kernel: '/guest/kernel', engine: 'kvm' }, { kernel: '/guest/kernel', memory: '1' },
        { kernel: 'http://127.0.0.1:1/kernel' }, { kernel: '/guest/kernel', cpus: 2 }, { kernel: '/guest/kernel', disks: ['/none.img'] },
      ];
      return Promise.all(tries.map((options) => polyvisor.VirtualMachine.create(options).then(() => 'made', (error: Error) => `${error.name}: ${error.message}`)));
    });
    const wanted = [
      /nothing to boot is given; give a kernel/, /kernel \/guest\/none cannot be fetched: the server answers 404/, /kernel/, /there is no KVM in a browser; give translator/, /memory size "1" is too small/,
      /cannot be fetched .*check the address and the network/, /this page is not isolated/, /disk \/none.img cannot be fetched: the server answers 404/,
    ];
    wanted.forEach((pattern, i) => {
      expect(said[i]).toMatch(/^UserError: /);
      expect(said[i]).toMatch(pattern);
    });
  });
});
