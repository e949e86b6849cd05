import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { echo, hardReset, print, tinyKernel } from '../../test/support/tiny-kernel.ts';
import type { Plain } from '../base/plain.ts';
import { VirtualMachine } from '../index.ts';
import { FakeIo } from './fake-io.test-support.ts';
import { main } from './program.ts';
import { parseSaveTarget } from './save.ts';

let folder: string;
const at = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'polyvisor-save-'));
  writeFileSync(at('kernel'), tinyKernel(print('up'), echo()));
  writeFileSync(at('disk.img'), new Uint8Array(1 << 20));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const said = async (io: FakeIo, text: string): Promise<void> => {
  while (!io.err.includes(text)) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe('a machine saved from the keyboard', () => {
  it('has its disks in memory with it', async () => {
    const options = { kernel: at('kernel'), memory: '8M', disks: ['ram:1M', `${at('disk.img')},ram`], timeout: 400 };
    const first = await VirtualMachine.create(options);
    const state = first.save() as { readonly [key: string]: Plain };
    const chunk = { index: 3, data: new Uint8Array(65536).fill(5) };
    const written = { ...state, 'ram-disk-0': { version: 1, state: { bytes: 1 << 20, chunks: [chunk] } } };
    first.load(written);
    await first.saveFile(at('with-disks'));
    await first.stop();
    const second = await VirtualMachine.restore(at('with-disks'), { timeout: 400 });
    expect((second.save() as typeof state)['ram-disk-0']).toEqual(written['ram-disk-0']);
    expect((second.save() as typeof state)['ram-disk-1']).toEqual(state['ram-disk-1']);
    await second.stop();
  });

  it('goes on from the file, on another engine too, and saves to the same bytes again', async () => {
    const io = new FakeIo({ terminal: true });
    const running = main(['run', '--kernel', at('kernel'), '--memory', '8M', '--timeout', '400', '--engine', 'translator', '--save-to', at('state')], io);
    await io.shows('up');
    io.type('\x01s');
    await said(io, `saved to ${at('state')} (1 MiB`);
    io.type('more');
    await io.shows('more');
    io.type('\x01x');
    expect(await running).toBe(0);

    const again = await VirtualMachine.restore(at('state'), { engine: 'interpreter', timeout: 400 });
    expect(await again.saveFile(at('again'))).toBe(statSync(at('state')).size);
    expect(readFileSync(at('again')).equals(readFileSync(at('state')))).toBe(true);
    await again.saveFile(at('packed'), { compress: true });
    expect(statSync(at('packed')).size).toBeLessThan(statSync(at('state')).size);
    await again.stop();

    for (const [file, engine] of [['state', 'interpreter'], ['packed', 'translator']] as const) {
      const other = new FakeIo({ terminal: true });
      const gone = main(['run', '--restore', at(file), '--engine', engine, '--timeout', '400'], other);
      await said(other, 'Ctrl-A X');
      other.type('echoed');
      await other.shows('echoed');
      other.type('\x01x');
      expect(await gone).toBe(0);
      expect(other.out.toString()).toBe('echoed');
    }
  });

  it('that resets when it was restored boots its kernel again, from the file', async () => {
    writeFileSync(at('resets'), tinyKernel(print('up'), hardReset()));
    const vm = await VirtualMachine.create({ kernel: at('resets'), memory: '8M', timeout: 400 });
    await vm.saveFile(at('state-resets'));
    await vm.stop();
    const again = await VirtualMachine.restore(at('state-resets'), { timeout: 400 });
    let resets = 0;
    again.on('reset', () => ++resets === 3 && void again.stop());
    await again.start();
    expect(again.console.text).toMatch(/^(up){3}/);
  });

  it('that cannot be written goes on, with one line', async () => {
    const io = new FakeIo({ terminal: true });
    const running = main(['run', '--kernel', at('kernel'), '--memory', '8M', '--timeout', '400', '--save-to', at('no/where')], io);
    await io.shows('up');
    io.type('\x01s');
    await said(io, `the machine cannot be saved: ${at('no/where')} lies in a folder that does not exist; give a file that can be written`);
    io.type('on\x01x');
    expect(await running).toBe(0);
    expect(existsSync(at('no'))).toBe(false);
  });
});

describe('a file that cannot be restored is refused in one line', () => {
  const restore = async (...args: string[]): Promise<string> => {
    const io = new FakeIo();
    expect(await main(['run', '--restore', ...args], io)).toBe(1);
    expect(io.err).toMatch(/^polyvisor: [^\n]+\n$/);
    return io.err;
  };
  beforeAll(async () => {
    const vm = await VirtualMachine.create({ kernel: at('kernel'), memory: '8M', disks: [at('disk.img')] });
    await vm.saveFile(at('good'));
    await vm.stop();
  });
  const changed = (name: string, change: (bytes: Buffer) => void): string => {
    const bytes = readFileSync(at('good'));
    change(bytes);
    writeFileSync(at(name), bytes);
    return at(name);
  };

  it('for what it is', async () => {
    expect(await restore(at('none'))).toMatch(/the stored machine .*none does not exist/);
    expect(await restore(at('kernel'))).toMatch(/kernel is no stored machine; it cannot be restored/);
    copyFileSync(at('good'), at('short'));
    truncateSync(at('short'), statSync(at('good')).size - 1);
    expect(await restore(at('short'))).toMatch(/short is truncated/);
    expect(await restore(changed('flipped', (bytes) => (bytes[4100]! ^= 1)))).toMatch(/flipped is damaged: the checksum of section/);
    expect(await restore(changed('newer', (bytes) => (bytes[16] = 9)))).toMatch(/newer is damaged: the checksum of its head/);
  });
  it('for RAM that is damaged, when the guest has begun to run already', async () => {
    const pages = new Uint8Array(new Uint32Array(1 << 20).map((_, i) => i + 1).buffer);
    writeFileSync(at('initrd'), pages);
    const vm = await VirtualMachine.create({ kernel: at('kernel'), initrd: at('initrd'), memory: '32M' });
    await vm.saveFile(at('large'));
    await vm.stop();
    const bytes = readFileSync(at('large'));
    bytes[bytes.indexOf(pages.subarray(2 << 20, (2 << 20) + 4096)) + 7]! ^= 1;
    writeFileSync(at('rotten'), bytes);
    const [rotten, unsaved, sound] = [await VirtualMachine.restore(at('rotten')), await VirtualMachine.restore(at('rotten')), await VirtualMachine.restore(at('large'), { timeout: 1 })];
    expect(await rotten.start()).toMatchObject({ kind: 'died', reason: expect.stringMatching(/^the stored machine .*rotten is damaged: the checksum of section ram-pages does not fit/) as string });
    await expect(unsaved.saveFile(at('never'))).rejects.toThrow(/rotten is damaged/);
    expect((await sound.start()).kind).toBe('timeout');
    await unsaved.stop();
  }, 60_000);
  it('for what else is asked', async () => {
    expect(await restore(at('good'), '--memory', '1G')).toMatch(/leave --memory out/);
    expect(await restore(at('good'), '--boot-menu')).toMatch(/leave --boot-menu out/);
    expect(await restore(at('good'), '--no-reboot')).toMatch(/leave --no-reboot out/);
    expect(await restore(at('good'), 'linux')).toMatch(/leave the guest's name \(linux\) out/);
    expect(await restore(at('good'), '--save-to', 'x,fast')).toMatch(/save target "x,fast".*FILE,compress/);
  });
  it('for disks that are others now', async () => {
    const vm = await VirtualMachine.restore(at('good'));
    await vm.stop();
    utimesSync(at('disk.img'), 1, 1);
    expect(await restore(at('good'))).toMatch(/disk\.img was written to at 1970-.*put the image of that time back/);
    truncateSync(at('disk.img'), 4096);
    expect(await restore(at('good'))).toMatch(/disk\.img has 4096 bytes, but had 1048576/);
    rmSync(at('disk.img'));
    expect(await restore(at('good'))).toMatch(/disk\.img of the stored machine does not exist; put it back/);
  });
});

it('a comma in the name of the file to save to is written twice', () => {
  expect(parseSaveTarget('a,,b,compress')).toEqual({ file: 'a,b', compress: true });
});
