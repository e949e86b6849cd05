import { UserError } from '../base/errors.ts';

// Scan codes of set 2 (IBM PS/2 Hardware Interface Technical Reference, keyboard) by the names of KeyboardEvent.key, for
// a US keyboard.

/** Codes above FFh stand behind an E0h prefix. */
const NAMED: Readonly<Record<string, number>> = {
  Escape: 0x76, Backspace: 0x66, Tab: 0x0d, Enter: 0x5a, Shift: 0x12, Control: 0x14, Alt: 0x11, CapsLock: 0x58,
  F1: 0x05, F2: 0x06, F3: 0x04, F4: 0x0c, F5: 0x03, F6: 0x0b, F7: 0x83, F8: 0x0a, F9: 0x01, F10: 0x09, F11: 0x78, F12: 0x07,
  Insert: 0x170, Delete: 0x171, Home: 0x16c, End: 0x169, PageUp: 0x17d, PageDown: 0x17a,
  ArrowUp: 0x175, ArrowDown: 0x172, ArrowLeft: 0x16b, ArrowRight: 0x174, AltGraph: 0x111, Meta: 0x11f, ContextMenu: 0x12f, NumLock: 0x77, ScrollLock: 0x7e,
};
/** Rows of keys: characters, those with Shift, and the codes. */
const ROWS: readonly (readonly [string, string, readonly number[]])[] = [
  ['`1234567890-=', '~!@#$%^&*()_+', [0x0e, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55]],
  ['qwertyuiop[]\\', 'QWERTYUIOP{}|', [0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5d]],
  ["asdfghjkl;'", 'ASDFGHJKL:"', [0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52]],
  ['zxcvbnm,./ ', 'ZXCVBNM<>? ', [0x1a, 0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x29]],
];
const CONTROLS: Readonly<Record<string, string>> = { '\n': 'Enter', '\r': 'Enter', '\t': 'Tab', '\b': 'Backspace', '\x7f': 'Backspace', '\x1b': 'Escape' };

/** Keys by where they are, as KeyboardEvent.code names them (UI Events KeyboardEvent code Values), besides those of NAMED and ROWS. */
const PLACES: Readonly<Record<string, number>> = {
  Backquote: 0x0e, Minus: 0x4e, Equal: 0x55, BracketLeft: 0x54, BracketRight: 0x5b, Backslash: 0x5d, IntlBackslash: 0x61, Semicolon: 0x4c, Quote: 0x52, Comma: 0x41, Period: 0x49, Slash: 0x4a,
  Space: 0x29, ShiftLeft: 0x12, ShiftRight: 0x59, ControlLeft: 0x14, ControlRight: 0x114, AltLeft: 0x11, AltRight: 0x111, MetaLeft: 0x11f, MetaRight: 0x127, PrintScreen: 0x17c,
  Numpad0: 0x70, Numpad1: 0x69, Numpad2: 0x72, Numpad3: 0x7a, Numpad4: 0x6b, Numpad5: 0x73, Numpad6: 0x74, Numpad7: 0x6c, Numpad8: 0x75, Numpad9: 0x7d,
  NumpadAdd: 0x79, NumpadSubtract: 0x7b, NumpadMultiply: 0x7c, NumpadDecimal: 0x71, NumpadDivide: 0x14a, NumpadEnter: 0x15a,
};

interface Key {
  readonly code: number;
  readonly shifted: boolean;
}

const characters = new Map<string, Key>();
for (const [plain, shifted, codes] of ROWS) {
  codes.forEach((code, i) => {
    if (!characters.has(shifted[i]!)) characters.set(shifted[i]!, { code, shifted: shifted[i] !== plain[i] });
    characters.set(plain[i]!, { code, shifted: false });
  });
}

function press(code: number): Uint8Array {
  return Uint8Array.from(code > 0xff ? [0xe0, code & 0xff] : [code]);
}
function release(code: number): Uint8Array {
  return Uint8Array.from(code > 0xff ? [0xe0, 0xf0, code & 0xff] : [0xf0, code]);
}

/** The scan code of a key pressed or released, by its place (`KeyA`, `ShiftLeft`); undefined: the keyboard has no such key. */
export function scancodeAt(place: string, down: boolean): Uint8Array | undefined {
  const character = /^(?:Key([A-Z])|Digit([0-9]))$/.exec(place);
  const code = character !== null ? characters.get((character[1] ?? character[2]!).toLowerCase())?.code : Object.hasOwn(PLACES, place) ? PLACES[place] : Object.hasOwn(NAMED, place) ? NAMED[place] : undefined;
  return code === undefined ? undefined : down ? press(code) : release(code);
}

/**
 * Keys pressed and released: a text as it is typed on a US keyboard, or a list of keys by the names that browsers give them
 * (`Escape`, `F12`, `a`), several at once joined by `+` (`Control+Alt+Delete`). Throws UserError.
 */
export function keystrokes(keys: string | readonly string[]): Uint8Array[] {
  const chords = typeof keys === 'string' ? [...keys].map((character) => [CONTROLS[character] ?? character]) : keys.map((chord) => (chord === '+' ? [chord] : chord.split('+')));
  return chords.flatMap((names) => {
    const codes = names.flatMap((name) => codesOf(name));
    return [...codes.map(press), ...codes.reverse().map(release)];
  });
}

function codesOf(name: string): number[] {
  const named = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
  if (named !== undefined) return [named];
  const key = characters.get(name);
  if (key === undefined) throw new UserError(`key "${name}" is not on the keyboard; give characters of a US keyboard or names like ${Object.keys(NAMED).slice(0, 4).join(', ')}, F1`);
  return key.shifted ? [NAMED['Shift']!, key.code] : [key.code];
}
