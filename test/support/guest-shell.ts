import { expect } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';

// What tests do at the shell of a guest of the catalogue, on its serial console.

/** A whole boot, and one command, on a busy machine. */
const BOOT_MS = 400_000;
const COMMAND_MS = 150_000;

/** Starts a machine, `linux` unless something else is asked for; behind this it boots. */
export async function boot(options: VirtualMachineOptions): Promise<VirtualMachine> {
  const vm = await VirtualMachine.create({ guest: 'linux', append: 'quiet', ...options });
  void vm.start();
  return vm;
}

/** Until the shell waits for a command for the first time. */
export async function ready(vm: VirtualMachine): Promise<void> {
  await vm.console.waitFor(/# /, BOOT_MS);
}

/** Boots as far as the shell. */
export async function shell(options: VirtualMachineOptions): Promise<VirtualMachine> {
  const vm = await boot(options);
  await ready(vm);
  return vm;
}

/** Types a command; what it has printed, and `[status N]` behind that. */
export async function attempt(vm: VirtualMachine, text: string): Promise<string> {
  vm.console.write(`${text}; echo "[sta""tus $?]"\n`);
  const output = await vm.console.waitFor(/[^]*\[status \d+\]/, COMMAND_MS);
  await vm.console.waitFor('# ');
  return output;
}

/** The same for a command that has to succeed. */
export async function command(vm: VirtualMachine, text: string): Promise<string> {
  const output = await attempt(vm, text);
  expect(output, text).toContain('[status 0]');
  return output;
}

/** Types a line and waits for what it is to print; what was found. */
export async function answer(vm: VirtualMachine, line: string, expected: RegExp): Promise<string> {
  vm.console.write(`${line}\n`);
  return vm.console.waitFor(expected, COMMAND_MS);
}

/** The guest ends the machine by itself. */
export async function powerOff(vm: VirtualMachine): Promise<void> {
  vm.console.write('poweroff\n');
  expect((await vm.finished).kind).toBe('poweroff');
}
