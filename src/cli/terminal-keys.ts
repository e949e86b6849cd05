/** What a key after Ctrl-A asks for. */
export type TerminalCommand = 'quit' | 'help' | 'break' | 'power' | 'save' | 'engine' | 'meter' | 'change' | 'repair';

const CTRL_A = 1;

const COMMANDS: Readonly<Record<string, TerminalCommand>> = { x: 'quit', h: 'help', '?': 'help', b: 'break', p: 'power', s: 'save', e: 'engine', i: 'meter', c: 'change', r: 'repair' };

/** For a terminal in raw mode. */
export const KEYS_HELP = [
  'Ctrl-A X       end the machine, as pulling its plug',
  'Ctrl-A P       press its power button',
  'Ctrl-A S       save it to a file (--save-to), from which --restore goes on',
  'Ctrl-A C       change the CD or the floppy disk: asks for its image',
  'Ctrl-A R       fill failed files of mirrored disks again',
  'Ctrl-A E       change to its next engine, and show which',
  'Ctrl-A I       show who executes the guest, in the last row, or stop that',
  'Ctrl-A B       send a break (Linux: SysRq)',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
  'Ctrl-A H       show this',
];

/** Splits typed bytes into what goes to the guest and commands behind Ctrl-A. */
export class TerminalKeys {
  #escaped = false;

  /** What comes first, bytes (none is possible) or a command, and the bytes behind it, which a command may want for itself. */
  take(bytes: Uint8Array): readonly [Uint8Array | TerminalCommand, Uint8Array] {
    const data: number[] = [];
    for (const [at, byte] of bytes.entries()) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else data.push(byte);
        continue;
      }
      const command = COMMANDS[String.fromCharCode(byte).toLowerCase()];
      // First what was typed before; Ctrl-A is still in force then.
      if (command !== undefined && data.length > 0) return [Uint8Array.from(data), bytes.subarray(at)];
      this.#escaped = false;
      if (command !== undefined) return [command, bytes.subarray(at + 1)];
      if (byte === CTRL_A) data.push(CTRL_A);
      // Any other key behind Ctrl-A is no command, and was not meant for the guest.
    }
    return [Uint8Array.from(data), new Uint8Array(0)];
  }
}
