import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { EXECUTABLE, writeCpio } from '../../src/host-node/guests/cpio.ts';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { hostHas } from '../differential/native.ts';
import { answer, ready } from '../support/guest-shell.ts';
import { nativeUnavailable } from '../support/native.ts';

// A program built for x86-64-v3 gives the same results in a guest as on the host.

const why = nativeUnavailable() ?? (['avx2', 'bmi1', 'bmi2', 'fma', 'f16c', 'movbe', 'lzcnt'].every(hostHas) ? undefined : 'the host is no x86-64-v3');

describe.skipIf(why !== undefined)(`a program for x86-64-v3${why === undefined ? '' : ` (${why})`}`, () => {
  test.each(['translator', 'interpreter'] as const)('computes on the %s what it computes on the host', async (engine) => {
    const folder = mkdtempSync(join(tmpdir(), 'polyvisor-vectors-'));
    try {
      const program = join(folder, 'vectors');
      execFileSync('cc', ['-O3', '-march=x86-64-v3', '-static', '-o', program, fileURLToPath(new URL('vectors.c', import.meta.url))]);
      const expected = execFileSync(program, { encoding: 'utf8' });
      const files = await catalogue.find(({ name }) => name === 'linux')!.fetch(() => {});
      // Archives of initial RAM file systems may follow one another.
      const initrd = join(folder, 'initrd');
      writeFileSync(initrd, Buffer.concat([readFileSync(files.initrd!), writeCpio([{ path: 'vectors', mode: EXECUTABLE, data: new Uint8Array(readFileSync(program)) }])]));
      const vm = await VirtualMachine.create({ kernel: files.kernel, initrd, append: `${files.append} quiet`, engine });
      void vm.start();
      await ready(vm);
      const output = await answer(vm, '/vectors', /child[^]*vectors done/);
      const lines = (text: string): string[] => text.split('\n').filter((line) => /^(child|parent) /.test(line)).sort();
      expect(lines(output)).toEqual(lines(expected));
      expect(lines(output).length).toBe(12);
      await vm.stop();
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 600_000);
});
