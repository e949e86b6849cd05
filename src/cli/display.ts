import { writeFileSync, renameSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import type { VirtualMachine } from '../host-node/virtual-machine.ts';
import { outputTrouble } from '../host-node/words.ts';
import type { CommandIo } from './io.ts';
import { connectKeyboard } from './keyboard.ts';
import type { SaveTarget } from './save.ts';
import { keysOfTerminal } from './terminal-keyboard.ts';
import { TerminalScreen } from './terminal-screen.ts';

/** Shows a machine's display; returns what ends that. */
export type ShowDisplay = (vm: VirtualMachine) => () => void;

const TERMINAL_MS = 50;
const PICTURE_MS = 2000;

/** `none`, `terminal` or `png:FILE`. Throws UserError. */
export function parseDisplay(
  options: { readonly display: string; readonly serial?: string; readonly firmware?: string; readonly restore?: string }, saveTo: SaveTarget, io: CommandIo,
): ShowDisplay {
  const { display } = options;
  if (display === 'none') return () => () => {};
  const path = /^png:(.+)$/s.exec(display)?.[1];
  if (path === undefined && display !== 'terminal') throw new UserError(`display "${display}" is not understood; give none, terminal or png:FILE`);
  if (path === undefined && options.firmware === undefined && options.restore === undefined) throw new UserError('a kernel that is booted directly draws pixels, which no terminal shows; give --display png:FILE, or --firmware seabios and a disk');
  if (path !== undefined) return (vm) => showInFile(vm, path);
  if (options.serial === 'stdio') throw new UserError('display and serial console cannot both be on the terminal; give --serial none or file:PATH');
  return (vm) => showOnTerminal(vm, saveTo, io);
}

/** A picture now and then, and of the end. */
function showInFile(vm: VirtualMachine, path: string): () => void {
  const write = (): void => {
    try {
      // Who looks at the file never finds half a picture.
      writeFileSync(`${path}.new`, vm.screenshot().png());
      renameSync(`${path}.new`, path);
    } catch (error) {
      throw new UserError(`display ${path} ${outputTrouble(error)}; give a file that can be written`);
    }
  };
  write();
  let failure: unknown;
  const timer = setInterval(() => {
    try {
      write();
    } catch (error) {
      failure = error;
      void vm.stop();
    }
  }, PICTURE_MS);
  return () => {
    clearInterval(timer);
    if (failure !== undefined) throw failure;
    write();
  };
}

function showOnTerminal(vm: VirtualMachine, saveTo: SaveTarget, io: CommandIo): () => void {
  const screen = new TerminalScreen();
  const draw = (): void => {
    const changes = screen.draw(vm.textScreen());
    if (changes !== '') io.stdout.write(changes);
  };
  io.stdout.write(screen.begin());
  const disconnect = connectKeyboard(vm, { unread: 0, write: (bytes) => vm.sendKeys(keysOfTerminal(bytes)) }, saveTo, io);
  const timer = setInterval(draw, TERMINAL_MS);
  return () => {
    clearInterval(timer);
    draw();
    disconnect();
    io.stdout.write(screen.end());
  };
}
