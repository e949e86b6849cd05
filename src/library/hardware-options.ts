import {
  DEFAULT_MACHINE, DEFAULT_MEMORY, DEFAULT_TRANSLATION_CACHE, checkDebugExitPort, checkEngine, checkMachine, checkMemory, checkTranslationCache, parseMemorySize, parseTranslationCache,
} from '../machine/configuration.ts';
import { checkCpus } from '../machine/topology.ts';
import type { CpusOption } from '../machine/topology.ts';
import { checkPorts } from '../machine/console-ports.ts';
import type { EngineName, ExecutionConfiguration, MachineConfiguration, MachineName } from '../machine/configuration.ts';

/** How a machine is executed; the guest does not see it. */
export interface ExecutionOptions {
  readonly engine?: EngineName;
  /** The processor of a machine that is made now has only what all engines of this host have, so that it can change to any of them. */
  readonly switchable?: boolean;
  /** Bound on the memory that translated code takes: bytes, or a text like '128M' (the default). */
  readonly translationCache?: number | string;
  /** False: what is translated is not kept for machines of other processes, nor taken from them. Node only. */
  readonly keepTranslations?: boolean;
  /** Make a profile: `VirtualMachine.profile()`. The guest runs slower then. */
  readonly profile?: boolean;
  /** With more processors than the host has logical ones, whose threads take turns then. */
  readonly overcommit?: boolean;
  /** Seconds after which a started machine is ended. */
  readonly timeout?: number;
}

/** What is the same on every host. */
export interface HardwareOptions extends ExecutionOptions {
  /** Bytes, or a text like '512M' (the default). */
  readonly memory?: number | string;
  /** How many, or how they are arranged: `{ sockets: 1, cores: 2, threads: 2 }`, or as a text, 'cores=2,threads=2'. */
  readonly cpus?: CpusOption;
  /** The board: `pc` (the default), or `microvm`, which boots kernels directly and has virtio devices only. */
  readonly machine?: MachineName;
  /** Kernel command line. */
  readonly append?: string;
  /** End instead of starting again when the guest resets. */
  readonly noReboot?: boolean;
  /** False: the guest does not see KVM's paravirtual interface, its clock and what saves several processors messages. */
  readonly paravirt?: boolean;
  /** A virtio entropy device. */
  readonly rng?: boolean;
  /** A virtio console besides the serial port: `VirtualMachine.virtioConsole`. */
  readonly virtioConsole?: boolean;
  /** Further ports of the virtio console, by name: `VirtualMachine.port(name)`. */
  readonly ports?: readonly string[];
  /** A virtio keyboard, which gets the keys once its driver listens, and a tablet: `VirtualMachine.movePointer`. */
  readonly input?: boolean;
  /** A virtio balloon: memory that the guest does not use goes back to the host by itself, more by `VirtualMachine.askForMemory`. */
  readonly balloon?: boolean;
  /** A display for a kernel that is booted directly: a frame buffer of 800 by 600, which Linux draws its console on (`console=tty0`). */
  readonly display?: boolean;
  /** I/O port whose writes end the machine with a value. */
  readonly debugExitPort?: number;
  /** A device that public processor tests expect, as QEMU's pc-testdev. */
  readonly testDevice?: boolean;
}

/** Throws UserError. */
export function configure(options: HardwareOptions): MachineConfiguration {
  const { memory } = options;
  return {
    memoryBytes: memory === undefined ? DEFAULT_MEMORY : typeof memory === 'number' ? checkMemory(memory) : parseMemorySize(memory),
    cpus: checkCpus(options.cpus ?? 1),
    machine: checkMachine(options.machine ?? DEFAULT_MACHINE),
    ...configureExecution(options),
    append: options.append ?? '',
    noReboot: options.noReboot ?? false,
    ...(options.paravirt === false ? { paravirt: false } : {}),
    rng: options.rng ?? false,
    virtioConsole: options.virtioConsole ?? false,
    ...(options.ports === undefined || options.ports.length === 0 ? {} : { ports: checkPorts(options.ports) }),
    ...(options.input === true ? { input: true } : {}),
    ...(options.balloon === true ? { balloon: true } : {}),
    ...(options.display === true ? { display: true } : {}),
    ...(options.debugExitPort === undefined ? {} : { debugExitPort: checkDebugExitPort(options.debugExitPort) }),
    ...(options.testDevice === true ? { testDevice: true } : {}),
  };
}

/** Throws UserError. */
export function configureExecution({ engine = 'auto', translationCache = DEFAULT_TRANSLATION_CACHE }: ExecutionOptions): ExecutionConfiguration {
  return {
    engine: checkEngine(engine),
    translationCacheBytes: typeof translationCache === 'number' ? checkTranslationCache(translationCache) : parseTranslationCache(translationCache),
  };
}
