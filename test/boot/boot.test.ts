import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

// Stock Debian kernels to a shell, a command typed and its answer read, power-off by the guest. The guests come through
// apt on the first run, which needs a Debian-like host; without one the run fails with the line that says so.
describe('guests of the catalogue', () => {
  const cases = [['linux', 'translator', 'x86_64'], ['linux-i386', 'translator', 'i686'], ['linux', 'interpreter', 'x86_64']] as const;
  const timeout = 180_000;
  for (const [guest, engine, machine] of cases) {
    test(`${guest} boots to a shell on the ${engine}, answers and powers off`, async () => {
      const vm = await VirtualMachine.create({ guest, engine });
      vm.start();
      await vm.console.waitFor(/# /, timeout);
      vm.console.write('echo answer: $((6 * 7)) $(uname -m)\n');
      expect(await vm.console.waitFor(/answer: 42 \S+/, 20_000)).toBe(`answer: 42 ${machine}`);
      vm.console.write('poweroff\n');
      expect((await vm.finished).kind).toBe('poweroff');
      const report = vm.report();
      expect(report.instructions[engine]).toBeGreaterThan(1e8);
      expect(report.firstConsoleByteSeconds).not.toBeNull();
    }, timeout + 60_000);
  }
});
