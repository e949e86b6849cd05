import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { KeptRegions } from '../engines/translator/kept-regions.ts';
import { loopRequest } from '../engines/translator/region-request.test-support.ts';
import type { Translated, TranslationOrder } from '../library/worker-compiler.ts';
import { loadEngineModules } from './engine-modules.ts';
import { RegionFile } from './region-file.ts';
import { NodeTranslationThread } from './translation-thread.ts';

const { handlers } = loadEngineModules();

/** By a way of its own: for each order whether its region was made for it. */
async function translate(thread: NodeTranslationThread, orders: number): Promise<boolean[]> {
  const port = thread.connect();
  const made: boolean[] = [];
  for (let k = 0; k < orders; k++) {
    port.postMessage({ requests: [loopRequest()], released: [] } satisfies TranslationOrder);
    const [{ result }] = (await once(port, 'message')) as [Translated];
    made.push(...result.modules.map((module) => module.made));
  }
  port.close();
  return made;
}

test('a machine\'s processors share what was made, the next machine on the same thread has nothing of it', async () => {
  const first = NodeTranslationThread.take(handlers);
  expect(await translate(first, 2)).toEqual([true, false]);
  expect(await translate(first, 1)).toEqual([false]);
  first.giveBack();
  const next = NodeTranslationThread.take(handlers);
  expect(next).toBe(first);
  expect(await translate(next, 2)).toEqual([true, false]);
  next.giveBack();
});

test('machines side by side have threads of their own, of which one waits for a next machine', async () => {
  const one = NodeTranslationThread.take(handlers);
  const other = NodeTranslationThread.take(handlers);
  expect(other).not.toBe(one);
  expect(await translate(other, 1)).toEqual([true]);
  other.giveBack();
  one.giveBack();
  expect(NodeTranslationThread.take(handlers)).toBe(other);
  const third = NodeTranslationThread.take(handlers);
  expect(third).not.toBe(one);
  third.giveBack();
  other.giveBack();
});

test('what is translated is kept for other processes where it is to be', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'regions-'));
  const path = join(folder, 'regions');
  const thread = NodeTranslationThread.take(handlers, path);
  expect(await translate(thread, 1)).toEqual([true]);
  thread.giveBack();
  const isThere = (): boolean => {
    const file = new RegionFile(path);
    const found = new KeptRegions(file).find(loopRequest());
    file.close();
    return found !== undefined;
  };
  await expect.poll(isThere).toBe(true);
  rmSync(folder, { recursive: true });
  const without = NodeTranslationThread.take(handlers);
  expect(without).not.toBe(thread);
  without.giveBack();
});

test('one that has failed is not kept', async () => {
  const thread = NodeTranslationThread.take(handlers);
  const port = thread.connect();
  port.postMessage('no order');
  await once(port, 'close');
  thread.giveBack();
  const next = await vi.waitUntil(() => {
    const taken = NodeTranslationThread.take(handlers);
    if (taken !== thread) return taken;
    taken.giveBack();
    return undefined;
  });
  expect(await translate(next, 1)).toEqual([true]);
  next.giveBack();
});
