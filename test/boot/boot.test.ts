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

test('a kernel that lies elsewhere at its next start need not be translated again', async () => {
  const boot = async (): Promise<{ readonly made: number; readonly kept: number }> => {
    const vm = await shell({ guest: 'linux', machine: 'microvm', append: 'quiet', engine: 'translator', memory: '256M' });
    await powerOff(vm);
    return vm.report().translation!.regions;
  };
  // What other tests have left may do for the first as well.
  await boot();
  const { made, kept } = await boot();
  expect(made).toBeGreaterThan(100);
  expect(kept).toBeGreaterThan(made / 2);
}, 1_200_000);
