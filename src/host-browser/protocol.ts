import type { Plain } from '../base/plain.ts';
import type { ExecutionOptions, HardwareOptions } from '../library/hardware-options.ts';
import type { VirtualMachineEvents } from '../library/local-machine.ts';
import type { BootRequest } from './boot-files.ts';
import type { BrowserMachine } from './browser-machine.ts';

// What page and worker say to each other. Both are ours and of one version, so what comes is believed.

export type MachineRequest = Omit<HardwareOptions, 'append'> & BootRequest;

/** What a page may ask of its machine by name; each answers once. */
export const CALLS = [
  'start', 'stop', 'pressPowerButton', 'sendKeys', 'sendBreak', 'switchEngine', 'textScreen', 'save', 'load', 'report', 'profile',
] as const satisfies readonly (keyof BrowserMachine)[];
export type CallName = (typeof CALLS)[number];

export type ConsoleName = 'serial' | 'virtio';

export type Order =
  | { readonly kind: 'create'; readonly options: MachineRequest }
  | { readonly kind: 'call'; readonly id: number; readonly name: CallName; readonly arguments: readonly unknown[] }
  | { readonly kind: 'type'; readonly console: ConsoleName; readonly bytes: Uint8Array }
  /** So many bytes of a console's output have been seen. */
  | { readonly kind: 'seen'; readonly console: ConsoleName; readonly bytes: number };

/** Events besides what the console shows. */
export type EventName = Exclude<keyof VirtualMachineEvents, 'console'>;

export type Notice =
  /** The machine is there. */
  | { readonly kind: 'made'; readonly engine: string; readonly engines: readonly string[]; readonly virtioConsole: boolean }
  /** There is none. */
  | { readonly kind: 'refused'; readonly error: WireError }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: WireError }
  | { readonly kind: 'console'; readonly console: ConsoleName; readonly bytes: Uint8Array }
  | { readonly kind: 'engine'; readonly engine: string }
  | { readonly kind: 'event'; readonly name: EventName; readonly arguments: readonly unknown[] }
  | { readonly kind: 'warning'; readonly text: string };

/** Classes are lost on the way. */
export interface WireError {
  readonly name: string;
  readonly message: string;
}

export type { Plain, ExecutionOptions };
