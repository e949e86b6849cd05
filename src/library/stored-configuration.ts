import { StateError } from '../base/errors.ts';
import { parseBootOrder } from '../machine/boot-source.ts';
import type { BootFile, BootFiles, Nvram } from '../machine/boot-source.ts';
import { DEFAULT_MACHINE, checkDebugExitPort, checkFirmware, checkMachine, checkMemory, checkNvram } from '../machine/configuration.ts';
import type { ExecutionConfiguration, MachineConfiguration } from '../machine/configuration.ts';
import { checkPorts } from '../machine/console-ports.ts';
import { NIC_MODELS, checkNics } from '../machine/nics.ts';
import { checkCpus } from '../machine/topology.ts';
import { checkShares } from '../machine/shares.ts';
import { checkVsock } from '../machine/vsock.ts';
import type { StoredMachine } from '../snapshot/stored-machine.ts';

/** What the file of a stored machine says it is, besides its state. Plain JSON. */
interface StoredDescription {
  /** Whatever engine runs it, the machine is the same. */
  readonly configuration: Omit<MachineConfiguration, keyof ExecutionConfiguration>;
  readonly guest: string | null;
  readonly boot:
    | { readonly kind: 'kernel'; readonly kernelName: string; readonly initrdName: string | null }
    | { readonly kind: 'firmware'; readonly bootOrder: string | null; readonly bootMenu: boolean; readonly nvram: string | null };
  /** The host's own words. */
  readonly drives: unknown;
}

/** A machine as it must be made before a stored state is loaded into it. */
export interface StoredConfiguration<D> {
  readonly configuration: MachineConfiguration;
  readonly files: BootFiles & { readonly guest: string | null };
  readonly drives: D;
}

/** What a host knows of the file of a stored machine. */
export interface StoredHost<D> {
  readonly machine: StoredMachine;
  /** Runs what reads from the file; a StateError becomes a UserError with the file's name. */
  tell<T>(work: () => T): T;
  /** Throws StateError for nonsense, UserError for drives that are others now. */
  checkDrives(stored: unknown): D;
  /** Where the firmware's variables are kept besides. */
  reopenNvram(file: string): Omit<Nvram, 'contents'>;
}

export function describeMachine({ engine: _, translationCacheBytes: __, ...configuration }: MachineConfiguration, boot: BootFiles, guest: string | null, drives: unknown): StoredDescription {
  return {
    configuration, guest, drives,
    boot: 'firmware' in boot
      ? { kind: 'firmware', bootOrder: boot.bootOrder?.join('') ?? null, bootMenu: boot.bootMenu ?? false, nvram: boot.nvram?.file ?? null }
      : { kind: 'kernel', kernelName: boot.kernel.name, initrdName: boot.initrd?.name ?? null },
  };
}

/** The files that a machine boots from, by the names that `readConfiguration` knows. */
export function bootFilesOf(boot: BootFiles): Readonly<Record<string, Uint8Array>> {
  if ('firmware' in boot) {
    return {
      firmware: boot.firmware, ...(boot.vgaBios === undefined ? {} : { vgabios: boot.vgaBios }),
      ...Object.fromEntries(Object.entries(boot.cardRoms ?? {}).map(([model, rom]) => [romName(model), rom])), ...(boot.nvram === undefined ? {} : { nvram: boot.nvram.contents }),
    };
  }
  return { kernel: boot.kernel.read(), ...(boot.initrd === undefined ? {} : { initrd: boot.initrd.read() }) };
}

const romName = (model: string): string => `rom-${model}`;

/** Checks every value. Throws UserError. */
export function readConfiguration<D>(file: StoredHost<D>, execution: ExecutionConfiguration): StoredConfiguration<D> {
  const stored = (file.machine.description ?? {}) as Partial<StoredDescription>;
  return file.tell(() => {
    const { guest = null } = stored;
    if (guest !== null && typeof guest !== 'string') throw new StateError('is damaged: its guest has no name');
    const [configuration, drives] = [checkConfiguration(stored.configuration, execution), file.checkDrives(stored.drives)];
    // Last, as it may open a file.
    return { configuration, files: { ...readBoot(file, stored.boot), guest }, drives };
  });
}

function checkConfiguration(stored: StoredDescription['configuration'] | undefined, execution: ExecutionConfiguration): MachineConfiguration {
  if (typeof stored !== 'object' || stored === null || typeof stored.append !== 'string' || !(typeof stored.cpus === 'number' || (typeof stored.cpus === 'object' && stored.cpus !== null))) throw new StateError('is damaged: its configuration makes no sense');
  return {
    memoryBytes: checkMemory(stored.memoryBytes),
    cpus: checkCpus(stored.cpus),
    // Machines that were stored before there was a choice.
    machine: checkMachine(stored.machine ?? DEFAULT_MACHINE),
    ...execution,
    append: stored.append,
    noReboot: stored.noReboot === true,
    ...(stored.paravirt === false ? { paravirt: false } : {}),
    rng: stored.rng === true,
    virtioConsole: stored.virtioConsole === true,
    ...(stored.ports === undefined ? {} : { ports: checkPorts(stored.ports) }),
    ...(stored.input === true ? { input: true } : {}),
    ...(stored.balloon === true ? { balloon: true } : {}),
    ...(stored.display === true ? { display: true } : {}),
    ...(stored.debugExitPort === undefined ? {} : { debugExitPort: checkDebugExitPort(stored.debugExitPort) }),
    ...(stored.testDevice === true ? { testDevice: true } : {}),
    ...(stored.parallel === true ? { parallel: true } : {}),
    ...(stored.nics === undefined ? {} : { nics: checkNics(stored.nics) }),
    ...(stored.vsock === undefined ? {} : { vsock: checkVsock(stored.vsock) }),
    ...(stored.shares === undefined ? {} : { shares: checkShares(stored.shares) }),
  };
}

function readBoot(file: StoredHost<unknown>, boot: StoredDescription['boot'] | undefined): BootFiles {
  const needed = (name: string): Uint8Array => {
    const contents = file.machine.file(name);
    if (contents === undefined) throw new StateError(`is damaged: it has no ${name}`);
    return contents;
  };
  if (boot?.kind === 'firmware') {
    const vgaBios = file.machine.file('vgabios');
    const cardRoms = Object.fromEntries(NIC_MODELS.map((model) => [model, file.machine.file(romName(model))] as const).filter(([, rom]) => rom !== undefined));
    const contents = file.machine.file('nvram');
    // The stored variables are the machine's: the file gets them when the state is loaded.
    const settled = {
      firmware: checkFirmware(needed('firmware'), 'the firmware of the stored machine'), bootMenu: boot.bootMenu === true,
      ...(vgaBios === undefined ? {} : { vgaBios }),
      ...(Object.keys(cardRoms).length === 0 ? {} : { cardRoms }),
      ...(boot.bootOrder === null ? {} : { bootOrder: parseBootOrder(String(boot.bootOrder)) }),
    };
    if (contents === undefined) return settled;
    const checked = checkNvram(contents, 'the nvram of the stored machine');
    return { ...settled, nvram: { contents: checked, ...(typeof boot.nvram === 'string' ? file.reopenNvram(boot.nvram) : {}) } };
  }
  if (boot?.kind !== 'kernel' || typeof boot.kernelName !== 'string') throw new StateError('is damaged: it does not say what it boots');
  const { kernelName, initrdName } = boot;
  const stored = (name: string, part: string): BootFile => ({ name, read: () => file.tell(() => needed(part)) });
  return { kernel: stored(kernelName, 'kernel'), ...(initrdName === null ? {} : { initrd: stored(String(initrdName), 'initrd') }) };
}
