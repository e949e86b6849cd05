import type { VirtualMachineEvents } from '../library/local-machine.ts';
import type { MachineRequest, RestoreRequest, Shelf } from './requests.ts';

// What page and worker say to each other. Both are ours and of one version, so what comes is believed.

/** What a page may ask of its machine by name; each answers once. */
export type CallName = 'start' | 'stop' | 'pause' | 'resume' | 'pressPowerButton' | 'pressReset' | 'sendKeys' | 'moveKey' | 'moveMouse' | 'movePointer' | 'sendBreak' | 'show' | 'changeMedium'
  | 'switchEngine' | 'screen' | 'save' | 'load' | 'saveFile' | 'saveBlob' | 'exportDisk' | 'report' | 'profile';

export type ConsoleName = 'serial' | 'virtio';

export type Order =
  | { readonly kind: 'create'; readonly options: MachineRequest }
  | { readonly kind: 'restore'; readonly stored: string | Blob; readonly options: RestoreRequest }
  /** What is kept in the browser's storage. */
  | { readonly kind: 'kept'; readonly shelf: Shelf; readonly remove?: string }
  | { readonly kind: 'call'; readonly id: number; readonly name: CallName; readonly arguments: readonly unknown[] }
  | { readonly kind: 'type'; readonly console: ConsoleName; readonly bytes: Uint8Array }
  /** So many bytes of a console's output have been seen. */
  | { readonly kind: 'seen'; readonly console: ConsoleName; readonly bytes: number };

/** Events besides what the console shows. */
export type EventName = Exclude<keyof VirtualMachineEvents, 'console'>;

export type Notice =
  /** The machine is there. */
  | { readonly kind: 'made'; readonly engine: string; readonly engines: readonly string[]; readonly virtioConsole: boolean; readonly display: boolean; readonly tablet: boolean }
  | { readonly kind: 'kept'; readonly names: readonly string[] }
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
