import { BREAK_PREFIX, translateScancode } from '../legacy/scancode-translation.ts';
import { EVENT, VirtioInput } from './virtio-input.ts';
import type { InputEvent } from './virtio-input.ts';

const EXTENDED_PREFIX = 0xe0;
/** Linux's codes are scan codes of set 1; those behind an E0h prefix have numbers of their own. */
const LAST_PLAIN = 0x58;
const EXTENDED: Readonly<Record<number, number>> = {
  0x1c: 96, 0x1d: 97, 0x35: 98, 0x37: 99, 0x38: 100, 0x47: 102, 0x48: 103, 0x49: 104, 0x4b: 105, 0x4d: 106, 0x4f: 107, 0x50: 108, 0x51: 109, 0x52: 110, 0x53: 111,
  0x5b: 125, 0x5c: 126, 0x5d: 127,
};

export function makeKeyboard(): VirtioInput {
  const plain = Array.from({ length: LAST_PLAIN }, (_, i) => i + 1);
  return new VirtioInput({ name: 'Polyvisor keyboard', product: 1, codes: { [EVENT.key]: [...plain, ...Object.values(EXTENDED)], [EVENT.repeat]: [0, 1] }, axes: [] });
}

/** The event of a key, given by its scan code of set 2; undefined: the keyboard has none such. */
export function keyEvent(scancode: Uint8Array): InputEvent | undefined {
  const code = translateScancode(scancode.at(-1)!);
  const known = scancode[0] === EXTENDED_PREFIX ? EXTENDED[code] : code <= LAST_PLAIN ? code : undefined;
  return known === undefined ? undefined : { type: EVENT.key, code: known, value: scancode.includes(BREAK_PREFIX) ? 0 : 1 };
}

const [ABS_X, ABS_Y, REL_WHEEL] = [0, 1, 8] as const;
const FIRST_BUTTON = 0x110;
const BUTTONS = 3;
const LAST = 0x7fff;

export function makeTablet(): VirtioInput {
  return new VirtioInput({
    name: 'Polyvisor tablet', product: 2,
    codes: { [EVENT.key]: Array.from({ length: BUTTONS }, (_, i) => FIRST_BUTTON + i), [EVENT.relative]: [REL_WHEEL], [EVENT.absolute]: [ABS_X, ABS_Y] },
    axes: [ABS_X, ABS_Y].map((code) => ({ code, min: 0, max: LAST })),
  });
}

/** A pointer at a place of the display, as fractions of its width and height; buttons: bit 0 left, 1 right, 2 middle; counts of the wheel upwards. */
export function pointerEvents(x: number, y: number, buttons: number, wheel: number): readonly InputEvent[] {
  const place = (fraction: number): number => Math.round(Math.min(1, Math.max(0, fraction)) * LAST);
  return [
    { type: EVENT.absolute, code: ABS_X, value: place(x) }, { type: EVENT.absolute, code: ABS_Y, value: place(y) },
    // What is as it was is no event to the guest.
    ...Array.from({ length: BUTTONS }, (_, i) => ({ type: EVENT.key, code: FIRST_BUTTON + i, value: (buttons >> i) & 1 })),
    ...(wheel === 0 ? [] : [{ type: EVENT.relative, code: REL_WHEEL, value: Math.trunc(wheel) }]),
  ];
}
