import { describe, expect, it } from 'vitest';
import { Console } from './console.ts';

function build() {
  const typed: number[] = [];
  let time = 0;
  const console = new Console({ now: () => ++time }, { send: (bytes) => void typed.push(...bytes), unread: () => typed.length });
  const guest = (text: string): void => console.received(Buffer.from(text));
  return { console, guest, typed };
}

describe('waitFor', () => {
  it('finds what comes, across batches', async () => {
    const t = build();
    const found = t.console.waitFor(/log(in|out): /);
    t.guest('debian log');
    t.guest('in: ');
    expect(await found).toBe('login: ');
  });
  it('goes on behind the last match', async () => {
    const t = build();
    t.guest('# one # two # ');
    expect(await t.console.waitFor('# ')).toBe('# ');
    expect(await t.console.waitFor(/\w+ # /)).toBe('one # ');
    expect(await t.console.waitFor(/^.*# /g)).toBe('two # ');
    const next = t.console.waitFor('# ');
    t.guest('three # ');
    expect(await next).toBe('# ');
  });
  it('finds characters of several bytes that come in pieces', async () => {
    const t = build();
    const bytes = Buffer.from('grüß €');
    const found = t.console.waitFor('grüß €');
    for (const byte of bytes) t.console.received(Uint8Array.of(byte));
    expect(await found).toBe('grüß €');
  });
  it('gives up after its time, and when the machine ends, with the last words', async () => {
    const t = build();
    t.guest('last words');
    await expect(t.console.waitFor('never', 5)).rejects.toThrow(/within 5 ms .*never.*last words/);
    const waiting = t.console.waitFor('never');
    t.console.close();
    await expect(waiting).rejects.toThrow(/machine ended.*never/);
    expect(await t.console.waitFor('words')).toBe('words');
    await expect(t.console.waitFor('words')).rejects.toThrow('machine ended');
  });
  it('forgets text that is long past', async () => {
    const t = build();
    for (let i = 0; i < 20; i++) t.guest('x'.repeat(100_000));
    expect(t.console.text.length).toBeLessThanOrEqual(1 << 20);
    t.guest('end');
    expect(await t.console.waitFor(/xend/)).toBe('xend');
    expect(t.console.bytesOut).toBe(2_000_003);
  });
});

describe('output', () => {
  it('goes to listeners until they are removed', () => {
    const t = build();
    const got: string[] = [];
    const remove = t.console.onData((bytes) => got.push(Buffer.from(bytes).toString()));
    t.guest('a');
    remove();
    t.guest('b');
    expect(got).toEqual(['a']);
    expect(t.console.firstByteAt).toBe(1);
  });
  it('is iterated until the machine ends', async () => {
    const t = build();
    const reading = (async () => {
      let text = '';
      for await (const bytes of t.console) text += Buffer.from(bytes).toString();
      return text;
    })();
    t.guest('a');
    await Promise.resolve();
    t.guest('b');
    t.guest('c');
    t.console.close();
    expect(await reading).toBe('abc');
    for await (const _ of t.console) expect.fail('a closed console has no more output');
  });
  it('makes the machine wait for a reader that is far behind, but not for one that has left', async () => {
    const t = build();
    const reader = t.console[Symbol.asyncIterator]();
    const large = new Uint8Array(800_000);
    t.console.received(large);
    expect(t.console.ready()).toBeUndefined();
    t.console.received(large);
    let resumed = false;
    const ready = t.console.ready()!.then(() => (resumed = true));
    await reader.next();
    await Promise.resolve();
    expect(resumed).toBe(false);
    await reader.next();
    await ready;
    t.console.received(large);
    t.console.received(large);
    expect(t.console.ready()).toBeDefined();
    await reader.return!();
    expect(t.console.ready()).toBeUndefined();
  });
});

it('types text as UTF-8, and bytes', () => {
  const t = build();
  t.console.write('é');
  t.console.write(Uint8Array.of(1));
  expect(t.typed).toEqual([0xc3, 0xa9, 1]);
  expect([t.console.bytesIn, t.console.unread]).toEqual([3, 3]);
});
