import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-package-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const npm = (args: readonly string[], cwd: string): string => execFileSync('npm', [...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

test('the packed tarball installs into an empty project and works there', () => {
  npm(['pack', '--ignore-scripts', '--pack-destination', folder], process.cwd());
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!;
  writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }');
  npm(['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, tarball)], folder);

  const guests = execFileSync(join(folder, 'node_modules/.bin/polyvisor'), ['guests'], { encoding: 'utf8' });
  expect(guests).toMatch(/^linux /m);

  // A multiboot guest that writes to the debug exit port: header, then `mov al, 42; out 0xf4, al; hlt`.
  writeFileSync(join(folder, 'use.js'), `
import { VirtualMachine } from 'polyvisor';
const kernel = new Uint8Array(8192);
const view = new DataView(kernel.buffer);
[0x1badb002, 0x10000, (-(0x1badb002 + 0x10000)) >>> 0, 0x100000, 0x100000, 0, 0, 0x100020].forEach((word, i) => view.setUint32(i * 4, word, true));
kernel.set([0xb0, 42, 0xe6, 0xf4, 0xf4], 0x20);
const vm = await VirtualMachine.create({ kernel, memory: '16M', debugExitPort: 0xf4 });
vm.start();
console.log(JSON.stringify(await vm.finished));
process.exit(0);
`);
  const output = execFileSync(process.execPath, ['use.js'], { cwd: folder, encoding: 'utf8' });
  expect(JSON.parse(output)).toEqual({ kind: 'debug-exit', value: 42 });
});
