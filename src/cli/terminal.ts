import type { ReadStream } from 'node:tty';

/** What a key after Ctrl-A asks for. */
export type TerminalCommand = 'quit' | 'help';

const ESCAPE = 1; // Ctrl-A

/** Splits typed bytes into what goes to the guest and commands behind Ctrl-A. Ctrl-A twice sends one Ctrl-A. */
export class KeyFilter {
  #escaped = false;

  feed(bytes: Uint8Array): { readonly data: Uint8Array; readonly commands: readonly TerminalCommand[] } {
    const data: number[] = [];
    const commands: TerminalCommand[] = [];
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === ESCAPE) this.#escaped = true;
        else data.push(byte);
        continue;
      }
      this.#escaped = false;
      const key = String.fromCharCode(byte).toLowerCase();
      if (byte === ESCAPE) data.push(ESCAPE);
      else if (key === 'x') commands.push('quit');
      else if (key === 'h' || key === '?') commands.push('help');
      // Other keys are no commands: nothing is sent, as nothing was meant for the guest.
    }
    return { data: Uint8Array.from(data), commands };
  }
}

export const HELP = '\r\n[polyvisor] Ctrl-A X  end the machine   Ctrl-A H  this help   Ctrl-A Ctrl-A  send Ctrl-A\r\n';

/** Puts a terminal into raw mode; returns what restores it, safe to call more than once. */
export function enterRawMode(input: ReadStream): () => void {
  let raw = true;
  const restore = (): void => {
    if (!raw) return;
    raw = false;
    input.setRawMode(false);
    input.pause();
  };
  input.setRawMode(true);
  process.once('exit', restore);
  return restore;
}
