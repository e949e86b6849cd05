import type { VirtualMachine } from '../host-node/virtual-machine.ts';
import { assertNever } from '../base/assert-never.ts';
import { UserError } from '../base/errors.ts';
import type { CommandIo } from './io.ts';
import { CHANGE_QUESTION, changeMedium, repairMirrors } from './change-medium.ts';
import { LinePrompt } from './line-prompt.ts';
import { LiveMeter } from './meter.ts';
import { enterRawMode } from './terminal.ts';
import { KEYS_HELP, TerminalKeys } from './terminal-keys.ts';
import type { TerminalCommand } from './terminal-keys.ts';
import { save } from './save.ts';
import type { SaveTarget } from './save.ts';

/** Input that the guest has not read yet is bounded: above this, no more is taken from a pipe. */
const UNREAD_MAX = 1 << 16;
const LOOK_AGAIN_MS = 20;

type KeyboardMachine = Pick<VirtualMachine, 'stop' | 'sendBreak' | 'pressPowerButton' | 'saveFile' | 'engine' | 'engines' | 'switchEngine' | 'report' | 'changeMedium' | 'repairMirrors'>;

/** Where what is typed goes. */
export interface TypedInput {
  write(bytes: Uint8Array): void;
  /** Bytes that the guest has not taken yet. */
  readonly unread: number;
  /** Whether the guest waits for them; missing: always. */
  readonly listening?: boolean;
}

/**
 * Connects standard input to the guest: a terminal in raw mode and with the Ctrl-A keys, anything else
 * unchanged, and not before the guest waits for it. Returns what undoes it.
 */
export function connectKeyboard(vm: KeyboardMachine, input: TypedInput, saveTo: SaveTarget, io: CommandIo): () => void {
  const { stdin } = io;
  const terminal = stdin.isTTY === true;
  const keys = new TerminalKeys();
  const restore = terminal ? enterRawMode(io) : () => {};
  const meter = new LiveMeter(vm, io);
  let timer: NodeJS.Timeout | undefined;
  let prompt: LinePrompt | undefined;

  const command = (what: TerminalCommand): void => {
    switch (what) {
      case 'quit': void vm.stop(); return;
      case 'help': io.stderr.write(`\n${KEYS_HELP.join('\n')}\n`); return;
      case 'break': vm.sendBreak(); return;
      case 'power': vm.pressPowerButton(); return;
      case 'save': void save(vm, saveTo, io); return;
      case 'engine': nextEngine(vm, io); return;
      case 'meter': meter.toggle(); return;
      case 'change': prompt = new LinePrompt(CHANGE_QUESTION, (text) => void io.stderr.write(text), answered); return;
      case 'repair': void repairMirrors(vm, io); return;
      default: assertNever(what);
    }
  };
  const answered = (line: string | undefined): void => {
    prompt = undefined;
    if (line !== undefined && line.trim() !== '') void changeMedium(vm, line, io);
  };
  const typed = (bytes: Uint8Array): void => {
    const rest = prompt === undefined ? bytes : prompt.feed(bytes);
    if (rest === undefined || rest.length === 0) return;
    const [first, behind] = keys.take(rest);
    if (typeof first === 'string') command(first);
    else if (first.length > 0) input.write(first);
    typed(behind);
  };
  const resume = (): void => {
    timer = undefined;
    if (input.unread > UNREAD_MAX / 2) timer = setTimeout(resume, LOOK_AGAIN_MS);
    else stdin.resume();
  };
  const received = (bytes: Uint8Array): void => {
    if (!terminal) input.write(bytes);
    else typed(bytes);
    // A terminal's keys are always taken, or Ctrl-A X would wait for the guest.
    if (!terminal && input.unread > UNREAD_MAX && timer === undefined) {
      stdin.pause();
      timer = setTimeout(resume, LOOK_AGAIN_MS);
    }
  };
  // Standard input that cannot be read (closed, a folder) is one where nothing is typed.
  const failed = (): void => {};
  // A driver that looks for its port turns the interrupt on for a moment: twice in a row says more.
  const begin = (seen = false): void => {
    const listening = input.listening ?? true;
    if (terminal || (listening && seen)) stdin.on('data', received);
    else timer = setTimeout(begin, LOOK_AGAIN_MS, listening);
  };
  begin();
  stdin.on('error', failed);
  return () => {
    clearTimeout(timer);
    meter.stop();
    stdin.off('data', received);
    stdin.pause();
    restore();
  };
}

/** The next engine that takes the guest, in the order in which the machine has them. */
function nextEngine(vm: KeyboardMachine, io: CommandIo): void {
  const { engines, engine } = vm;
  const at = engines.indexOf(engine);
  for (const name of [...engines.slice(at + 1), ...engines.slice(0, at)]) {
    try {
      vm.switchEngine(name);
      break;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      io.stderr.write(`\r\npolyvisor: ${error.message}\r\n`);
    }
  }
  io.stderr.write(`\r\npolyvisor: engine ${vm.engine}, of ${engines.join(', ')}\r\n`);
}
