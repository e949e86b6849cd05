import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { MEMTEST_CD, missingMemtest, shows } from '../support/firmware.ts';

// All of its tests over all of a small memory. The last one waits twice for 80 seconds of the guest's clock, to see whether bits fade.
test.skipIf(missingMemtest !== '')(`memtest86+ completes a pass without an error${missingMemtest}`, async () => {
  const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom: MEMTEST_CD, memory: '16M', timeout: 1800 });
  void vm.start();
  const screen = await shows(vm, /Pass: +1 +Errors: \d+\s/);
  expect(screen).toMatch(/Memory +: +16MB/);
  expect(screen).toMatch(/Pass: +1 +Errors: 0\b/);
  await vm.stop();
}, 1_900_000);
