import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import type { StaticServerOptions } from '../../web/static-server.ts';
import { serveTestPage } from './test-page.ts';

/** Debian's, or what else is there. */
const EXECUTABLE = [process.env['CHROMIUM'] ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path !== '' && existsSync(path));

/** Why the tests in a browser cannot run here; undefined: they can. */
export const browserMissing = EXECUTABLE === undefined ? 'no Chromium (Debian: apt-get install chromium)' : undefined;

/** For whatever a page waits for, on a busy machine. */
const BUSY_MS = 400_000;

export interface TestPage {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly browser: Browser;
  readonly url: string;
}

/**
 * A page of a fresh profile in headless Chromium, from a static server of its own, for the test that runs: it closes with it, and no
 * error may be left that nobody in the page has caught. There `machine()` is the page's `<polyvisor-machine>`.
 */
export async function openPage(options: Partial<StaticServerOptions> & { readonly width?: number; readonly touch?: boolean; readonly at?: string } = {}): Promise<TestPage> {
  const { url, close } = await serveTestPage(options);
  let browser: Browser | undefined;
  const errors: string[] = [];
  onTestFinished(async () => {
    await browser?.close();
    close();
    expect(errors).toEqual([]);
  });
  // As root, as in containers, Chromium's sandbox does not start.
  browser = await chromium.launch({ executablePath: EXECUTABLE!, timeout: BUSY_MS, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
  const context = await browser.newContext({ viewport: { width: options.width ?? 1000, height: 800 }, hasTouch: options.touch ?? false });
  context.setDefaultTimeout(BUSY_MS);
  const page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  await page.addInitScript("globalThis.machine = () => document.querySelector('polyvisor-machine');");
  await page.goto(url + (options.at ?? ''));
  return { page, context, browser, url };
}
