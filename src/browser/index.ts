/** Polyvisor as a library for pages: virtual machines in workers. */
export { VirtualMachine } from './virtual-machine.ts';
export type { VirtualMachineOptions } from './virtual-machine.ts';
export type { VirtualMachineEvents } from '../library/local-machine.ts';
export type { Source } from '../host-browser/sources.ts';
export type { BrowserReport as Report } from '../host-browser/browser-machine.ts';
export type { Console } from '../library/console.ts';
export type { MachineEnd, TextCells } from '../machine/machine.ts';
export type { EngineName } from '../machine/configuration.ts';
export type { Plain } from '../base/plain.ts';
export { StateError, UserError } from '../base/errors.ts';
