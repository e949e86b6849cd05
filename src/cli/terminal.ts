import type { CommandIo } from './io.ts';

/**
 * Puts the terminal at standard input into raw mode; returns what restores it, which is safe to call again. It is
 * restored on every way out of the process: when it exits by itself, by `process.exit` or an uncaught exception too.
 */
export function enterRawMode(io: CommandIo): () => void {
  const { stdin, signals } = io;
  let raw = true;
  const again = (): void => {
    if (raw) stdin.setRawMode?.(true);
  };
  const restore = (): void => {
    if (!raw) return;
    raw = false;
    signals.off('exit', restore);
    signals.off('SIGCONT', again);
    stdin.setRawMode?.(false);
  };
  stdin.setRawMode?.(true);
  signals.on('exit', restore);
  // The shell has its own mode while the process is stopped.
  signals.on('SIGCONT', again);
  return restore;
}
