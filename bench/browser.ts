// The 64-bit Debian kernel to its shell, in headless Chromium and in Node, by turns: `npm run bench:web [-- RUNS]`. Also the
// longest task of the page's main thread while it boots.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { VirtualMachine } from '../src/index.ts';
import { catalogue } from '../src/host-node/guests/catalogue.ts';
import { serve } from '../web/static-server.ts';

const EXECUTABLE = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
const runs = Number(process.argv[2] ?? 3);
const { kernel, initrd, append } = await catalogue.find(({ name }) => name === 'linux')!.fetch((line) => console.error(line));

/** In the page, in the element with its terminal; `seconds` from the start to the prompt, tasks in ms. */
const BOOT = `(async () => {
  await import('/polyvisor/element.js');
  const element = document.body.appendChild(document.createElement('polyvisor-machine'));
  const tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: 'longtask' });
  const vm = await element.start({ kernel: '/kernel', initrd: '/initrd', append: ${JSON.stringify(append)}, memory: '512M', engine: 'translator' });
  await vm.console.waitFor(/# /);
  const seconds = (await vm.report()).wallSeconds;
  vm.dispose();
  return { seconds, longest: Math.max(0, ...tasks) };
})()`;

async function inChromium(): Promise<{ readonly seconds: number; readonly longest: number }> {
  const { server, url } = await serve({ routes: { '/': 'test/browser/page/', '/polyvisor/': 'dist/browser/', '/kernel': kernel, '/initrd': initrd! } });
  const browser = await chromium.launch({ executablePath: EXECUTABLE!, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
  try {
    const page = await browser.newPage();
    await page.goto(url);
    return await page.evaluate(BOOT);
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
}

async function inNode(): Promise<number> {
  const vm = await VirtualMachine.create({ kernel, initrd: initrd!, append, memory: '512M', engine: 'translator' });
  const began = performance.now();
  void vm.start();
  await vm.console.waitFor(/# /);
  const seconds = (performance.now() - began) / 1000;
  await vm.stop();
  return seconds;
}

if (EXECUTABLE === undefined) {
  console.error('bench: Chromium is missing; install it (Debian: apt-get install chromium)');
  process.exit(1);
}
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const [chromiumSeconds, nodeSeconds]: [number[], number[]] = [[], []];
for (let run = 0; run < runs; run++) {
  const { seconds, longest } = await inChromium();
  chromiumSeconds.push(seconds);
  nodeSeconds.push(await inNode());
  console.log(`run ${run + 1}: Chromium ${seconds.toFixed(2)} s (longest task of the page ${longest.toFixed(0)} ms), Node ${process.version} ${nodeSeconds.at(-1)!.toFixed(2)} s`);
}
console.log(`medians: Chromium ${median(chromiumSeconds).toFixed(2)} s, Node ${median(nodeSeconds).toFixed(2)} s, ratio ${(median(chromiumSeconds) / median(nodeSeconds)).toFixed(2)} (1.3 is asked)`);
process.exit(0);
