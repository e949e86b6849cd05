import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';

// Debian's stock SeaBIOS. It comes through apt on the first run, as the guests do.

/** A machine whose firmware's log can be waited for. */
async function withLog(options: VirtualMachineOptions): Promise<{ vm: VirtualMachine; said: (pattern: RegExp) => Promise<void> }> {
  let text = '';
  let look = (): void => {};
  const vm = await VirtualMachine.create({
    firmware: 'seabios', timeout: 60, ...options,
    log: {
      warn: () => {},
      tracing: (kind) => kind === 'firmware',
      trace: (kind, message) => {
        if (kind !== 'firmware') return;
        text += `${message}\n`;
        look();
      },
    },
  });
  const said = (pattern: RegExp): Promise<void> => new Promise((resolve, reject) => {
    look = () => {
      if (pattern.test(text)) resolve();
    };
    look();
    void vm.finished.then((end) => reject(new Error(`the machine ended (${end.kind}) before the firmware said ${pattern}:\n${text}`)));
  });
  return { vm, said };
}

test('SeaBIOS finds the machine, and nothing to boot', async () => {
  const { vm, said } = await withLog({});
  void vm.start();
  await said(/Running on QEMU \(i440fx\)/);
  await said(/ACPI: parse DSDT/);
  await said(/PS2 keyboard initialized/);
  await said(/No bootable device\./);
  const screen = vm.screenshot();
  expect(screen.text).toMatch(/^SeaBIOS \(version [^)]+\)\n[^]*\nNo bootable device\.$/);
  expect([screen.picture.width, screen.picture.height]).toEqual([720, 400]);
  expect((await vm.stop()).kind).toBe('stopped');
}, 90_000);
