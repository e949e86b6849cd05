import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

// Kernels of the catalogue that the everyday tests do not boot.

describe.each([['linux-6.12', /^6\.12\./, 'x86_64'], ['linux-generic', /^6\.1\..*\d-amd64$/, 'x86_64'], ['linux-i386-pae', /^6\.1\..*-686-pae/, 'i686']] as const)('%s', (guest, release, machine) => {
  test.each(['translator', 'interpreter'] as const)('boots to its shell on the %s, and powers off', async (engine) => {
    const vm = await VirtualMachine.create({ guest, engine, memory: '256M', timeout: 600 });
    void vm.start();
    await vm.console.waitFor(/# /, 600_000);
    vm.console.write('echo "<$(uname -r) $(uname -m)>"\n');
    const [, found, kind] = /<(\S+) (\S+)>/.exec(await vm.console.waitFor(/<\S+ \S+>/, 60_000))!;
    expect(found).toMatch(release);
    expect(kind).toBe(machine);
    vm.console.write('poweroff\n');
    expect((await vm.finished).kind).toBe('poweroff');
  }, 700_000);
});
