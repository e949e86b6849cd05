/** What a key after Ctrl-A asks for. */
export type TerminalCommand = 'quit' | 'help' | 'break' | 'power' | 'save' | 'engine' | 'meter';

const CTRL_A = 1;

const COMMANDS: Readonly<Record<string, TerminalCommand>> = { x: 'quit', h: 'help', '?': 'help', b: 'break', p: 'power', s: 'save', e: 'engine', i: 'meter' };

/** For a terminal in raw mode. */
export const KEYS_HELP = [
  'Ctrl-A X       end the machine, as pulling its plug',
  'Ctrl-A P       press its power button',
  'Ctrl-A S       save it to a file (--save-to), from which --restore goes on',
  'Ctrl-A E       change to its next engine, and show which',
  'Ctrl-A I       show who executes the guest, in the last row, or stop that',
  'Ctrl-A B       send a break (Linux: SysRq)',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
  'Ctrl-A H       show this',
];

/** Splits typed bytes into what goes to the guest and commands behind Ctrl-A, in order. */
export class TerminalKeys {
  #escaped = false;

  feed(bytes: Uint8Array): (Uint8Array | TerminalCommand)[] {
    const out: (Uint8Array | TerminalCommand)[] = [];
    let data: number[] = [];
    const flush = (): void => {
      if (data.length > 0) out.push(Uint8Array.from(data));
      data = [];
    };
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else data.push(byte);
        continue;
      }
      this.#escaped = false;
      const command = COMMANDS[String.fromCharCode(byte).toLowerCase()];
      if (byte === CTRL_A) data.push(CTRL_A);
      else if (command !== undefined) {
        flush();
        out.push(command);
      }
      // Any other key behind Ctrl-A is no command, and was not meant for the guest.
    }
    flush();
    return out;
  }
}
