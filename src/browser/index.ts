/** Polyvisor as a library for pages: virtual machines in workers. */
export { VirtualMachine } from './virtual-machine.ts';
export type { RestoreOptions, VirtualMachineOptions } from './virtual-machine.ts';
export type { VirtualMachineEvents } from '../library/local-machine.ts';
export type { Screenshot } from '../library/screenshot.ts';
export type { BrowserReport as Report, DiskRequest, SaveOptions, Source } from '../host-browser/requests.ts';
export type { Console } from '../library/console.ts';
export type { MachineEnd, TextCells } from '../machine/machine.ts';
export type { EngineName } from '../machine/configuration.ts';
export type { Plain } from '../base/plain.ts';
export { StateError, UserError } from '../base/errors.ts';
