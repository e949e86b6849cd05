import { UserError } from '../base/errors.ts';
import { bootFile, parseBootOrder } from '../machine/boot-source.ts';
import type { BootFiles } from '../machine/boot-source.ts';
import { checkFirmware, checkNvram } from '../machine/configuration.ts';
import { nameOf, readSource } from './sources.ts';
import type { BootRequest } from './requests.ts';

const DEFAULT_APPEND = 'console=ttyS0';

/** Fetches what a machine boots. Throws UserError. */
export async function readBootFiles(request: BootRequest): Promise<BootFiles & { readonly append: string }> {
  const { kernel, initrd, firmware, vgaBios, nvram, bootOrder } = request;
  if (firmware !== undefined) {
    if (kernel !== undefined || initrd !== undefined || request.append !== undefined) throw new UserError('firmware and a kernel are given; give one of the two (firmware boots from disks)');
    const [image, rom, variables] = await Promise.all([firmware, vgaBios, nvram].map((source, i) => (source === undefined ? undefined : readSource(['firmware', 'vgaBios', 'nvram'][i]!, source))));
    return {
      firmware: checkFirmware(image!, `firmware ${nameOf(firmware, 'image')}`), bootMenu: request.bootMenu ?? false, append: '',
      ...(rom === undefined ? {} : { vgaBios: rom }),
      ...(variables === undefined ? {} : { nvram: { contents: checkNvram(variables, `nvram ${nameOf(nvram!, 'image')}`) } }),
      ...(bootOrder === undefined ? {} : { bootOrder: parseBootOrder(bootOrder) }),
    };
  }
  if (kernel === undefined) throw new UserError('nothing to boot is given; give a kernel (its address, a file, or its bytes), or firmware');
  if (bootOrder !== undefined || request.bootMenu === true || vgaBios !== undefined || nvram !== undefined) {
    throw new UserError('a kernel that is booted directly needs no vgaBios, nvram or boot order; give firmware instead of the kernel, or leave them out');
  }
  const [image, archive] = await Promise.all([readSource('kernel', kernel), initrd === undefined ? undefined : readSource('initrd', initrd)]);
  return {
    kernel: bootFile(nameOf(kernel, 'image'), image), append: request.append ?? DEFAULT_APPEND,
    ...(archive === undefined ? {} : { initrd: bootFile(nameOf(initrd!, 'initrd'), archive) }),
  };
}
