import { describe, expect, test } from 'vitest';
import { answer, powerOff, shell } from '../support/guest-shell.ts';

// Stock Debian kernels to a shell, a command typed and its answer read, power-off by the guest. The guests come through
// apt on the first run, which needs a Debian-like host; without one the run fails with the line that says so.
describe('guests of the catalogue', () => {
  const cases = [['linux', 'translator', 'x86_64'], ['linux-i386', 'translator', 'i686'], ['linux', 'interpreter', 'x86_64']] as const;
  for (const [guest, engine, machine] of cases) {
    test(`${guest} boots to a shell on the ${engine}, answers and powers off`, async () => {
      const vm = await shell({ guest, engine });
      expect(await answer(vm, 'echo answer: $((6 * 7)) $(uname -m)', /answer: .*/)).toBe(`answer: 42 ${machine}`);
      await powerOff(vm);
      const report = vm.report();
      expect(report.instructions[engine]).toBeGreaterThan(1e8);
      expect(report.firstConsoleByteSeconds).not.toBeNull();
    }, 1_200_000);
  }
});
