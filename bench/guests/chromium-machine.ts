// Runs a guest in a page of headless Chromium, its serial port on standard output: one JSON argument says which. Ends when the
// guest has powered off.
import { chromium } from 'playwright-core';
import { join } from 'node:path';
import { serve } from '../../web/static-server.ts';
import { REPOSITORY } from './build.ts';

interface Machine {
  readonly executable: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
  readonly memoryMiB: number;
}

const machine = JSON.parse(process.argv[2] ?? '') as Machine;
const { url } = await serve({
  routes: { '/': join(REPOSITORY, 'test/browser/page/'), '/polyvisor/': join(REPOSITORY, 'dist/browser/'), '/kernel': machine.kernel, '/initrd': machine.initrd },
});
// As root, as in containers, Chromium's sandbox does not start.
const browser = await chromium.launch({ executablePath: machine.executable, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
const page = await browser.newPage();
await page.exposeFunction('show', (text: string) => void process.stdout.write(Buffer.from(text, 'latin1')));
await page.goto(url);
const end = await page.evaluate(`(async () => {
  const { VirtualMachine } = await import('/polyvisor/index.js');
  const vm = await VirtualMachine.create({ kernel: '/kernel', initrd: '/initrd', append: ${JSON.stringify(machine.append)}, memory: '${machine.memoryMiB}M', engine: 'translator', noReboot: true });
  vm.console.onData((bytes) => show(String.fromCharCode(...bytes)));
  return (await vm.start()).kind;
})()`);
await browser.close();
process.exit(end === 'poweroff' ? 0 : 1);
