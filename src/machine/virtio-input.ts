import { keyEvent, makeKeyboard, makeTablet, pointerEvents } from '../devices/virtio/input-devices.ts';
import type { VirtioInput } from '../devices/virtio/virtio-input.ts';
import type { Board } from './board.ts';

/** A keyboard and a tablet, as far as their drivers listen. */
export interface InputDevices {
  readonly devices: readonly VirtioInput[];
  readonly keyboard: NonNullable<Board['keyboard']>;
  readonly pointer: NonNullable<Board['pointer']>;
}

/** `otherwise`: who gets the keys until a driver listens, firmware say. */
export function makeInput(otherwise: (scancode: Uint8Array) => void): InputDevices {
  const [keyboard, tablet] = [makeKeyboard(), makeTablet()];
  return {
    devices: [keyboard, tablet],
    keyboard: (scancode) => {
      const event = keyEvent(scancode);
      if (!keyboard.active) otherwise(scancode);
      else if (event !== undefined) keyboard.send([event]);
    },
    pointer: (x, y, buttons, wheel) => {
      if (tablet.active) tablet.send(pointerEvents(x, y, buttons, wheel));
    },
  };
}
