/** Polyvisor as a library: a virtual machine in this process. */
export { VirtualMachine } from './host-node/virtual-machine.ts';
export type { Events, Report, VirtualMachineOptions } from './host-node/virtual-machine.ts';
export type { Console } from './host-node/console.ts';
export type { MachineEnd } from './machine/machine.ts';
export type { EngineName } from './machine/configuration.ts';
export type { Log } from './host/log.ts';
export type { Plain } from './base/plain.ts';
export { StateError, UserError } from './base/errors.ts';
