import { UserError } from '../base/errors.ts';
import type { VirtualMachine } from '../host-node/virtual-machine.ts';
import type { CommandIo } from './io.ts';

/** Where Ctrl-A S saves a machine. */
export interface SaveTarget {
  readonly file: string;
  readonly compress: boolean;
}

const USUAL: SaveTarget = { file: 'polyvisor.save', compress: false };

/** `FILE[,compress]`; a comma in the file's name is written twice. Throws UserError. */
export function parseSaveTarget(text: string | undefined): SaveTarget {
  if (text === undefined) return USUAL;
  // No file's name holds a zero character.
  const [file, ...settings] = text.replaceAll(',,', '\0').split(',').map((part) => part.replaceAll('\0', ','));
  if (file === undefined || file === '' || settings.some((setting) => setting !== 'compress')) throw new UserError(`save target "${text}" is not understood; give FILE or FILE,compress`);
  return { file, compress: settings.length > 0 };
}

/** Saves the machine and says so; what goes wrong is said too, and the machine goes on. */
export async function save(vm: Pick<VirtualMachine, 'saveFile'>, target: SaveTarget, io: CommandIo): Promise<void> {
  const say = (line: string): void => void io.stderr.write(`\r\npolyvisor: ${line}\r\n`);
  const began = performance.now();
  try {
    const bytes = await vm.saveFile(target.file, target);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    say(`saved to ${target.file} (${Math.ceil(bytes / 2 ** 20)} MiB in ${seconds} s); go on from here: polyvisor run --restore ${target.file}`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    say(error.message);
  }
}
