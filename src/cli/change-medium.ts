import { UserError } from '../base/errors.ts';
import type { VirtualMachine } from '../host-node/virtual-machine.ts';
import type { CommandIo } from './io.ts';

export const CHANGE_QUESTION = 'cdrom FILE or floppy FILE (without FILE it is taken out; with ! in front by force): ';

/** What was answered. Throws UserError. */
export function parseChange(line: string): { readonly kind: 'cdrom' | 'floppy'; readonly file: string | undefined; readonly force: boolean } {
  const [, force, kind, file] = /^\s*(!?)\s*(cdrom|floppy)(?:\s+(.*\S))?\s*$/.exec(line) ?? [];
  if (kind === undefined) throw new UserError(`"${line.trim()}" is not understood; give cdrom or floppy, and an image`);
  return { kind: kind as 'cdrom' | 'floppy', file, force: force === '!' };
}

/** Does it and says so; what goes wrong is said too, and the machine goes on. */
export async function changeMedium(vm: Pick<VirtualMachine, 'changeMedium'>, line: string, io: CommandIo): Promise<void> {
  await said(io, async () => {
    const { kind, file, force } = parseChange(line);
    await vm.changeMedium(kind, file, { force });
    return `${kind}: ${file ?? 'empty'}`;
  });
}

export async function repairMirrors(vm: Pick<VirtualMachine, 'repairMirrors'>, io: CommandIo): Promise<void> {
  await said(io, async () => {
    await vm.repairMirrors();
    return 'all files of mirrored disks are up to date';
  });
}

async function said(io: CommandIo, work: () => Promise<string>): Promise<void> {
  const say = (line: string): void => void io.stderr.write(`\r\npolyvisor: ${line}\r\n`);
  try {
    say(await work());
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    say(error.message);
  }
}
