import { expect } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';

// What tests do at the shell of a guest of the catalogue, on its serial console. Output comes in pieces of any size: what a command
// prints is looked at once a mark behind it has come. The marks are typed in two halves, so that the echo of what is typed has none.

/** A whole boot, and one command, on a busy machine. */
const BOOT_MS = 400_000;
const COMMAND_MS = 300_000;

/** Starts a machine, `linux` unless something else is asked for; behind this it boots. */
export async function boot(options: VirtualMachineOptions): Promise<VirtualMachine> {
  const vm = await VirtualMachine.create({ guest: 'linux', append: 'quiet', ...options });
  void vm.start();
  return vm;
}

/**
 * Until the shell waits for a command for the first time. From then on the kernel keeps its messages to itself, which would stand in
 * the middle of what programs print: also that a processor was stuck, as it says on a host that takes it away for long.
 */
export async function ready(vm: VirtualMachine): Promise<void> {
  await vm.console.waitFor('/root # ', BOOT_MS);
  await command(vm, 'dmesg -n 1; for w in /proc/sys/kernel/*watchdog; do echo 0 > $w; done 2> /dev/null; true');
}

/** Boots as far as the shell. */
export async function shell(options: VirtualMachineOptions): Promise<VirtualMachine> {
  const vm = await boot(options);
  await ready(vm);
  return vm;
}

/** Types a command; all that it has printed, its lines ending in `\n`, and `[status N]` behind that. */
export async function attempt(vm: VirtualMachine, text: string, timeoutMs = COMMAND_MS): Promise<string> {
  vm.console.write(`echo "[be""gin]"; ${text}; echo "[sta""tus $?]"\n`);
  // Behind each other, Linux's terminal and Xen's console make two carriage returns of each line's end.
  await vm.console.waitFor(/\[begin\]\r*\n/, timeoutMs);
  const output = await vm.console.waitFor(/[^]*\[status \d+\]/, timeoutMs);
  await vm.console.waitFor('# ', timeoutMs);
  return output.replaceAll('\r', '');
}

/** The same for a command that has to succeed. */
export async function command(vm: VirtualMachine, text: string, timeoutMs = COMMAND_MS): Promise<string> {
  const output = await attempt(vm, text, timeoutMs);
  expect(output, text).toContain('[status 0]');
  return output;
}

/** Types a command, and finds what it was to print in all that it has printed: the matched part. */
export async function answer(vm: VirtualMachine, text: string, expected: RegExp): Promise<string> {
  const output = await attempt(vm, text);
  const found = expected.exec(output);
  if (found === null) throw new Error(`${text}\nhas printed ${JSON.stringify(output)}, in which there is no ${expected}`);
  return found[0];
}

/** Until the guest has found a disk: some drivers go on when they have been loaded. */
export async function hasDisk(vm: VirtualMachine, path: string): Promise<void> {
  await command(vm, `until [ -b ${path} ]; do sleep 0.1; done`);
}

/** The guest ends the machine by itself. */
export async function powerOff(vm: VirtualMachine): Promise<void> {
  vm.console.write('poweroff\n');
  expect((await vm.finished).kind).toBe('poweroff');
}
