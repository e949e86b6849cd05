import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PolyvisorMachine } from '../../src/browser/element.ts';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { fetchSeabios } from '../../src/host-node/guests/firmware.ts';
import { demoGuests } from '../../web/guests.ts';
import { browserMissing, openPage } from './chromium.ts';

declare const machine: () => PolyvisorMachine;

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-demo-'));
let routes: Readonly<Record<string, string>> = {};
beforeAll(async () => {
  const found = await demoGuests(catalogue.filter(({ name }) => name === 'linux'), () => {}, () => fetchSeabios(() => {}), folder);
  writeFileSync(join(folder, 'guests.json'), JSON.stringify(found.guests));
  routes = { ...found.routes, '/': 'dist/demo/', '/guests.json': join(folder, 'guests.json') };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));


/** The page with its guests there. */
async function demoPage(width: number): Promise<Page> {
  const { page } = await openPage({ routes, width });
  await page.waitForSelector('#guest option', { state: 'attached' });
  return page;
}

describe.skipIf(browserMissing !== undefined)(`the demo page in Chromium${browserMissing === undefined ? '' : `: ${browserMissing}`}`, () => {
  it('boots a guest at 400 px, takes typed commands, pauses, is saved, and goes on after a reload', async () => {
    const page = await demoPage(400);
    const seen = (text: string) => page.waitForFunction((wanted) => machine().serialText.includes(wanted), text);
    await page.selectOption('#guest', 'linux');
    await page.click('#boot');
    await seen('/root #');
    // Linux draws on the screen and takes keys there.
    await page.focus('#machine canvas');
    await page.keyboard.type('true; true; mkdir /from-screen\n');
    await page.click('#machine .to-serial');
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(400);
    await page.click('#machine .xterm-screen');
    await page.keyboard.type('answer=$((6 * 7)); until [ -e /from-screen ]; do sleep 1; done; echo is $answer\n');
    await seen('is 42');
    await page.click('#pause');
    await page.waitForFunction(() => machine().state === 'paused');
    await page.click('#save');
    await page.waitForFunction(() => /^Saved/.test(document.querySelector('#said')!.textContent!));
    await page.reload();
    await page.waitForSelector('#guest option', { state: 'attached' });
    await page.click('#restore');
    await page.waitForFunction(() => machine().state === 'running');
    await page.click('#machine .to-serial');
    await page.click('#machine .xterm-screen');
    await page.keyboard.type('echo still $answer\n');
    await seen('still 42');
    await page.waitForFunction(() => /MIPS/.test(document.querySelector('#mips')!.textContent!));
    await page.click('#stop');
    await page.waitForFunction(() => machine().state === 'ended');
    expect(await page.textContent('#trouble')).toBe('');
  }, 1_500_000);

  it('shows firmware on its screen and takes keys; says what is wrong', async () => {
    const page = await demoPage(1000);
    await page.selectOption('#guest', 'own');
    await page.click('#boot');
    await page.waitForFunction(() => /no image is chosen; choose/.test(document.querySelector('#trouble')!.textContent!));
    await page.evaluate(() => machine().start({ firmware: '/guests/bios.bin', vgaBios: '/guests/vgabios.bin', memory: '64M', bootMenu: true }).then(() => {}));
    const onScreen = (text: string) => page.waitForFunction(async (wanted) => (await machine().vm!.screenshot()).text.includes(wanted), text);
    await onScreen('for boot menu');
    await page.focus('#machine canvas');
    await page.keyboard.press('Escape');
    await onScreen('Select boot device');
    // Painted with the page's next frame, which a busy host may delay.
    await page.waitForFunction(() => machine().shadowRoot!.querySelector('canvas')!.width === 720);
    await page.click('#reset');
    await onScreen('for boot menu');
  }, 1_500_000);
});
