/** What terminals send for keys without a character (ECMA-48, as xterm does it). */
const SEQUENCES: Readonly<Record<string, string>> = {
  '[A': 'ArrowUp', '[B': 'ArrowDown', '[C': 'ArrowRight', '[D': 'ArrowLeft', '[H': 'Home', '[F': 'End', 'OH': 'Home', 'OF': 'End',
  '[1~': 'Home', '[2~': 'Insert', '[3~': 'Delete', '[4~': 'End', '[5~': 'PageUp', '[6~': 'PageDown', '[Z': 'Shift+Tab',
  'OA': 'ArrowUp', 'OB': 'ArrowDown', 'OC': 'ArrowRight', 'OD': 'ArrowLeft', 'OP': 'F1', 'OQ': 'F2', 'OR': 'F3', 'OS': 'F4',
  '[15~': 'F5', '[17~': 'F6', '[18~': 'F7', '[19~': 'F8', '[20~': 'F9', '[21~': 'F10', '[23~': 'F11', '[24~': 'F12',
};
const CONTROLS: Readonly<Record<number, string>> = { 8: 'Backspace', 9: 'Tab', 10: 'Enter', 13: 'Enter', 0x7f: 'Backspace' };

/** Names of the keys that somebody has pressed on a terminal; what a US keyboard has not is left out. */
export function keysOfTerminal(bytes: Uint8Array): string[] {
  const text = String.fromCharCode(...bytes);
  const keys: string[] = [];
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    const sequence = code === 0x1b ? /^\x1b(\[[0-9;]*[A-Za-z~]|O[A-Z])/.exec(text.slice(at))?.[1] : undefined;
    if (sequence !== undefined) {
      const key = SEQUENCES[sequence];
      if (key !== undefined) keys.push(key);
      at += 1 + sequence.length;
      continue;
    }
    if (code === 0x1b) keys.push('Escape');
    else if (CONTROLS[code] !== undefined) keys.push(CONTROLS[code]);
    else if (code < 0x1b && code > 0) keys.push(`Control+${String.fromCharCode(code + 0x60)}`);
    else if (code >= 0x20 && code < 0x7f) keys.push(text[at]!);
    at++;
  }
  return keys;
}
