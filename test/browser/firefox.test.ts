import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { PolyvisorMachine } from '../../src/browser/element.ts';
import { serveTestPage } from './test-page.ts';

// Stock Firefox, driven by WebDriver BiDi, which playwright-core speaks to later versions only.

declare global {
  var machine: () => PolyvisorMachine;
}

/** Debian's, or what else is there. */
const EXECUTABLE = [process.env['FIREFOX'] ?? '', '/usr/bin/firefox-esr', '/usr/bin/firefox'].find((path) => path !== '' && existsSync(path));
const missing = EXECUTABLE === undefined ? 'no Firefox (Debian: apt-get install firefox-esr)' : undefined;

/** For whatever is waited for, on a busy machine. */
const BUSY_MS = 400_000;

/** Opens an address; returns where sessions of WebDriver can be begun. Firefox ends with the test. */
async function openFirefox(url: string): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), 'polyvisor-firefox-'));
  const firefox = spawn(EXECUTABLE!, ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port=0', url], { stdio: ['ignore', 'ignore', 'pipe'] });
  onTestFinished(async () => {
    const gone = once(firefox, 'close');
    if (firefox.kill('SIGKILL')) await gone;
    rmSync(profile, { recursive: true, force: true });
  });
  let said = '';
  return new Promise((resolve, reject) => {
    firefox.on('error', reject);
    firefox.on('exit', () => reject(new Error(`Firefox has ended: ${said}`)));
    firefox.stderr.on('data', (piece: Buffer) => {
      said += piece;
      const at = /WebDriver BiDi listening on (ws:\S+)\n/.exec(said);
      if (at !== null) resolve(`${at[1]}/session`);
    });
  });
}

describe.skipIf(missing !== undefined)(`the element in Firefox${missing === undefined ? '' : `: ${missing}`}`, () => {
  // While a session is open, `new Worker` never comes back in 1 of 20 workers that have begun others (Firefox 153, without our
  // code too; never without a session): so it begins once the machine's are there.
  it('boots a stock kernel with two processors to its shell, takes typed keys, and powers off', async () => {
    const { url, told, close } = await serveTestPage({});
    onTestFinished(close);
    const first = once(told, 'told', { signal: AbortSignal.timeout(BUSY_MS) });
    const browserWSEndpoint = await openFirefox(`${url}running.html`);
    expect(await first).toEqual(['shell']);
    const failures: unknown[] = [];
    told.on('told', (what) => failures.push(what));
    const browser = await puppeteer.connect({ browserWSEndpoint, protocol: 'webDriverBiDi', protocolTimeout: 1_200_000 });
    const page = (await browser.pages()).find((each) => each.url().startsWith(url));
    if (page === undefined) throw new Error('the page is gone');
    page.setDefaultTimeout(BUSY_MS);
    await page.click('polyvisor-machine');
    await page.keyboard.type('echo $(nproc) processors, $((6 * 7))\n');
    await page.waitForFunction(() => machine().serialText.includes('2 processors, 42'));
    await page.keyboard.type('poweroff\n');
    await page.waitForFunction(() => machine().state === 'ended');
    expect(failures).toEqual([]);
  }, 1_500_000);
});
