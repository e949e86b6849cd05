import { UserError } from '../base/errors.ts';
import { profileTexts } from '../host-node/profile-texts.ts';
import type { VirtualMachine } from '../host-node/virtual-machine.ts';
import { OutputFile } from './output-file.ts';

/** `--profile FILE`, `--profile-map FILE`: the map is read and both files are tried before the machine starts. Throws UserError. */
export function openProfile(options: { readonly profile?: string; readonly profileMap?: string }): { write(vm: VirtualMachine): void } | undefined {
  const { profile: path, profileMap } = options;
  if (path === undefined) {
    if (profileMap !== undefined) throw new UserError('--profile-map is given without --profile; give --profile FILE too');
    return undefined;
  }
  const texts = profileTexts(profileMap);
  const table = new OutputFile('profile', path);
  const folded = new OutputFile('profile', `${path}.folded`);
  return {
    write: (vm) => {
      const profile = vm.profile()!;
      table.write(texts.table(profile));
      folded.write(texts.folded(profile));
    },
  };
}
