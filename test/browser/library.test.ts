import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type * as Polyvisor from '../../src/browser/index.ts';
import { browserMissing, openPage } from './chromium.ts';
import type { TestPage } from './chromium.ts';

declare const polyvisor: typeof Polyvisor;

let open: TestPage | undefined;
afterEach(async () => {
  expect(open?.errors ?? []).toEqual([]);
  await open?.close();
  open = undefined;
});
async function libraryPage(options: Parameters<typeof openPage>[0] = {}): Promise<TestPage['page']> {
  open = await openPage(options);
  await open.page.waitForFunction('globalThis.polyvisor !== undefined');
  return open.page;
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
      const vm = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', initrd: '/guest/initrd', memory: '256M' });
      const events: string[] = [];
      vm.on('poweroff', () => events.push('poweroff'));
      void vm.start();
      await vm.console.waitFor(/# /);
      vm.console.write('uname -m; echo $((6 * 7))\n');
      await vm.console.waitFor(/^x86_64\s+42/m);
      const report = await vm.report();
      vm.console.write('poweroff\n');
      return { end: await vm.finished, events, engine: report.engine, isolated: report.host.isolated, translated: report.translation!.instructions };
    });
    expect(found).toMatchObject({ end: { kind: 'poweroff' }, events: ['poweroff'], engine: 'translator', isolated: false });
    expect(found.translated).toBeGreaterThan(1000);
  }, 90_000);

  it('says what is wrong with what is given', async () => {
    const page = await libraryPage();
    const said = await page.evaluate(async () => {
      const tries: Polyvisor.VirtualMachineOptions[] = [
        {}, { kernel: '/guest/none' }, { kernel: new Blob(['no kernel']) }, { kernel: '/guest/kernel', engine: 'kvm' }, { kernel: '/guest/kernel', memory: '1' },
        { kernel: 'http://127.0.0.1:1/kernel' },
      ];
      return Promise.all(tries.map((options) => polyvisor.VirtualMachine.create(options).then(() => 'made', (error: Error) => `${error.name}: ${error.message}`)));
    });
    const wanted = [
      /nothing to boot is given; give a kernel/, /kernel \/guest\/none cannot be fetched: the server answers 404/, /kernel/, /there is no KVM in a browser; give translator/, /memory size "1" is too small/,
      /cannot be fetched .*check the address and the network/,
    ];
    wanted.forEach((pattern, i) => {
      expect(said[i]).toMatch(/^UserError: /);
      expect(said[i]).toMatch(pattern);
    });
  }, 30_000);
});
