import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

// Whole boots on the translator and the interpreter at once, each slice compared (src/engines/lockstep).
describe('lockstep', () => {
  const timeout = 900_000;
  for (const guest of ['linux', 'linux-i386']) {
    test(`${guest} boots to its shell, runs programs and powers off, the same on both engines`, async () => {
      const vm = await VirtualMachine.create({ guest, engine: 'lockstep', memory: '128M' });
      vm.start();
      await vm.console.waitFor(/# /, timeout);
      vm.console.write('for i in 1 2 3; do ls -R / | sort | gzip | md5sum; done; echo done: $((6 * 7))\n');
      await vm.console.waitFor(/done: 42/, timeout);
      vm.console.write('poweroff\n');
      const end = await vm.finished;
      expect(end.kind === 'died' ? end.reason : end.kind).toBe('poweroff');
      expect(vm.report().instructions['lockstep']).toBeGreaterThan(1e8);
    }, timeout * 3);
  }
});
