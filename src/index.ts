/** Polyvisor as a library: virtual machines in this process. */
export { VirtualMachine } from './host-node/virtual-machine.ts';
export type { RestoreOptions, SaveOptions, VirtualMachineEvents, VirtualMachineOptions } from './host-node/virtual-machine.ts';
export type { BootRequest } from './host-node/boot-files.ts';
export type { Console } from './library/console.ts';
export type { GuestPort } from './library/guest-port.ts';
export type { Picture, TextCells } from './machine/machine.ts';
export type { PngScreenshot as Screenshot } from './host-node/png-screenshot.ts';
export type { Report } from './host-node/report.ts';
export type { MachineEnd } from './machine/machine.ts';
export type { EngineName } from './machine/configuration.ts';
export type { SegmentState, VcpuRegisters } from './cpu/vcpu.ts';
export type { PortAccess } from './buses/system-bus.ts';
export type { ByteSink } from './host/bytes.ts';
export type { Log } from './host/log.ts';
export type { Plain } from './base/plain.ts';
export { StateError, UserError } from './base/errors.ts';
