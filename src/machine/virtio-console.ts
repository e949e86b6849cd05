import { VirtioConsole } from '../devices/virtio/virtio-console.ts';
import type { BoardOptions } from './board.ts';

/** The virtio console of a board that has one, or further ports. */
export function makeConsole({ virtioConsole, ports }: Pick<BoardOptions, 'virtioConsole' | 'ports'>): VirtioConsole | undefined {
  if (virtioConsole === undefined && ports.length === 0) return undefined;
  return new VirtioConsole({ ...(virtioConsole === undefined ? {} : { console: virtioConsole }), ports });
}
