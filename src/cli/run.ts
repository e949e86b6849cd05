import { constants } from 'node:os';
import { assertNever } from '../base/assert-never.ts';
import { UserError } from '../base/errors.ts';
import type { Log } from '../host/log.ts';
import { parsePortEnd, servePort } from '../host-node/port-ends.ts';
import type { PortEndRequest } from '../host-node/port-ends.ts';
import { VirtualMachine } from '../host-node/virtual-machine.ts';
import type { VirtualMachineOptions } from '../host-node/virtual-machine.ts';
import { checkEngine, checkMachine, checkTimeout, parseMemorySize, parsePort, parseTranslationCache } from '../machine/configuration.ts';
import type { MachineEnd } from '../machine/machine.ts';
import { parseDisk } from '../machine/drives.ts';
import { parseNet, parseNic } from '../machine/nics.ts';
import { parseShare } from '../machine/shares.ts';
import { parseVsock } from '../machine/vsock.ts';
import { parseTraceKinds } from '../machine/trace.ts';
import type { TraceKind } from '../machine/trace.ts';
import { deathReport } from './death-report.ts';
import type { CommandIo } from './io.ts';
import { parseDisplay } from './display.ts';
import type { ShowDisplay } from './display.ts';
import { connectKeyboard } from './keyboard.ts';
import { openProfile } from './profile-files.ts';
import { OutputFile } from './output-file.ts';
import { checkCpus } from '../machine/topology.ts';
import { parseSaveTarget } from './save.ts';
import type { SaveTarget } from './save.ts';
import { openFileSink } from './file-sink.ts';
import { openSerial } from './serial.ts';
import type { SerialEnd } from './serial.ts';

/** Options of `polyvisor run` as the command line gives them: texts. */
export interface RunOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly firmware?: string;
  readonly nvram?: string;
  readonly machine?: string;
  readonly memory?: string;
  readonly cpus?: string;
  readonly overcommit?: boolean;
  readonly switchable?: boolean;
  readonly paravirt?: string;
  readonly rng?: boolean;
  readonly balloon?: boolean;
  readonly engine?: string;
  readonly recalibrate?: boolean;
  readonly restore?: string;
  readonly saveTo?: string;
  readonly serial?: string;
  readonly parallel?: string;
  readonly display: string;
  readonly reboot: boolean;
  readonly timeout?: string;
  readonly debugExitPort?: string;
  readonly disk?: readonly string[];
  readonly net?: readonly string[];
  readonly nic?: readonly string[];
  readonly share?: readonly string[];
  readonly port?: readonly string[];
  readonly vsock?: string;
  readonly input?: boolean;
  readonly capture?: string;
  readonly cdrom?: string;
  readonly floppy?: string;
  readonly boot?: string;
  readonly bootMenu?: boolean;
  readonly trace?: string;
  readonly report?: string;
  readonly translationCache: string;
  readonly keepTranslations: boolean;
  readonly profile?: string;
  readonly profileMap?: string;
}

const EXIT_DIED = 2;
const EXIT_RESET = 3;
const EXIT_TIMEOUT = 124;
/** As a shell says it of a process that a signal has ended. */
const EXIT_SIGNAL = 128;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Why the host ended the machine, when it did. */
interface Interruption {
  signal?: (typeof SIGNALS)[number];
  /** Output cannot be written; without an error, because nobody reads it any more. */
  output?: { readonly error: UserError | undefined };
}

/** Runs a machine on this terminal; returns the exit status. Throws UserError. */
export async function run(guest: string | undefined, options: RunOptions, io: CommandIo): Promise<number> {
  const make = options.restore === undefined ? create(guest, options) : restore(options.restore, guest, options);
  const saveTo = parseSaveTarget(options.saveTo);
  const showDisplay = parseDisplay(options, saveTo, io);
  const log = stderrLog(options.trace === undefined ? [] : parseTraceKinds(options.trace), io);
  const report = options.report === undefined ? undefined : new OutputFile('report', options.report);
  const profile = openProfile(options);
  const interruption: Interruption = {};
  const ports: readonly PortEndRequest[] = (options.port ?? []).map(parsePortEnd);
  const served: (() => void)[] = [];
  let vm: VirtualMachine | undefined;
  const failed = (error: UserError | undefined): void => {
    interruption.output ??= { error };
    void vm?.stop();
  };
  // Two cannot draw on one terminal.
  const serial = openSerial(options.serial ?? (options.display === 'terminal' ? 'none' : 'stdio'), io, failed);
  const parallel = options.parallel === undefined ? undefined : openFileSink('parallel output', options.parallel, failed);
  try {
    vm = await make({ output: serial, ...(parallel === undefined ? {} : { parallel }), log, onProgress: (line) => void io.stderr.write(`polyvisor: ${line}\n`) });
    for (const port of ports) served.push(await servePort(vm.port(port.name), port));
    const end = await runOnTerminal(vm, serial, showDisplay, saveTo, interruption, io);
    const status = exitStatus(end, interruption);
    explain(end, vm, options, io);
    profile?.write(vm);
    report?.write(`${JSON.stringify({ ...vm.report(), exitStatus: status }, null, 2)}\n`);
    if (interruption.output?.error !== undefined) throw interruption.output.error;
    return status;
  } finally {
    for (const end of served) end();
    if (ports.length > served.length) await vm?.stop();
    serial.close();
    parallel?.close();
  }
}

type Make = (ends: Pick<VirtualMachineOptions, 'output' | 'parallel' | 'log' | 'onProgress'>) => Promise<VirtualMachine>;

function create(guest: string | undefined, options: RunOptions): Make {
  const wanted = readOptions(guest, options);
  return (ends) => VirtualMachine.create({ ...wanted, ...ends });
}

/** What a stored machine has settled already, by the names that the command line has for it. */
const SETTLED = [
  'kernel', 'initrd', 'append', 'firmware', 'nvram', 'machine', 'memory', 'cpus', 'disk', 'net', 'nic', 'share', 'vsock', 'input', 'cdrom', 'floppy', 'boot', 'bootMenu', 'paravirt', 'rng', 'balloon', 'debugExitPort',
] as const satisfies readonly (keyof RunOptions)[];

function restore(file: string, guest: string | undefined, options: RunOptions): Make {
  const given = SETTLED.find((name) => options[name] !== undefined);
  const name = guest !== undefined ? `the guest's name (${guest})` : given !== undefined ? `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}` : options.reboot ? undefined : '--no-reboot';
  if (name !== undefined) throw new UserError(`a stored machine is restored, which is as it was; leave ${name} out`);
  const wanted = readRunOptions(options);
  return (ends) => VirtualMachine.restore(file, { ...wanted, ...ends });
}

function readRunOptions(options: RunOptions): Pick<VirtualMachineOptions, 'engine' | 'overcommit' | 'switchable' | 'recalibrate' | 'timeout' | 'translationCache' | 'keepTranslations' | 'profile' | 'capture'> {
  return {
    ...(options.profile === undefined ? {} : { profile: true }),
    ...(options.capture === undefined ? {} : { capture: options.capture }),
    ...(options.overcommit === undefined ? {} : { overcommit: options.overcommit }),
    ...(options.switchable === undefined ? {} : { switchable: options.switchable }),
    keepTranslations: options.keepTranslations,
    translationCache: parseTranslationCache(options.translationCache),
    ...(options.engine === undefined ? {} : { engine: checkEngine(options.engine) }),
    ...(options.recalibrate === undefined ? {} : { recalibrate: options.recalibrate }),
    ...(options.timeout === undefined ? {} : { timeout: checkTimeout(toNumber(options.timeout), options.timeout) }),
  };
}

/** Everything that can be said about the options alone, before files are touched. */
function readOptions(guest: string | undefined, options: RunOptions): VirtualMachineOptions {
  return {
    ...(guest === undefined ? {} : { guest }),
    ...(options.kernel === undefined ? {} : { kernel: options.kernel }),
    ...(options.initrd === undefined ? {} : { initrd: options.initrd }),
    ...(options.append === undefined ? {} : { append: options.append }),
    ...(options.firmware === undefined ? {} : { firmware: options.firmware }),
    ...(options.nvram === undefined ? {} : { nvram: options.nvram }),
    ...(options.debugExitPort === undefined ? {} : { debugExitPort: parsePort(options.debugExitPort) }),
    ...(options.disk === undefined ? {} : { disks: options.disk.map(parseDisk) }),
    ...(options.net === undefined ? {} : { nets: options.net.map(parseNet) }),
    ...(options.nic === undefined ? {} : { nics: options.nic.map(parseNic) }),
    ...(options.port === undefined ? {} : { ports: options.port.map((port) => parsePortEnd(port).name) }),
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.vsock === undefined ? {} : { vsock: parseVsock(options.vsock) }),
    ...(options.share === undefined ? {} : { shares: options.share.map(parseShare) }),
    ...(options.floppy === undefined ? {} : { floppy: orEmpty(options.floppy) }),
    ...(options.cdrom === undefined ? {} : { cdrom: orEmpty(options.cdrom) }),
    ...(options.boot === undefined ? {} : { bootOrder: options.boot }),
    bootMenu: options.bootMenu === true,
    ...(options.paravirt === undefined ? {} : { paravirt: readSwitch('--paravirt', options.paravirt) }),
    ...(options.rng === undefined ? {} : { rng: options.rng }),
    ...(options.balloon === undefined ? {} : { balloon: options.balloon }),
    ...(options.display === 'none' || options.firmware !== undefined ? {} : { display: true }),
    ...(options.machine === undefined ? {} : { machine: checkMachine(options.machine) }),
    ...(options.memory === undefined ? {} : { memory: parseMemorySize(options.memory) }),
    ...(options.cpus === undefined ? {} : { cpus: checkCpus(options.cpus) }),
    ...readRunOptions(options),
    noReboot: !options.reboot,
  };
}

/** A drive without a medium is asked for by `none`; a file of that name by ./none. */
function orEmpty(file: string): string | null {
  return file === 'none' ? null : file;
}

function readSwitch(name: string, text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new UserError(`${name} "${text}" is not understood; give on or off`);
  return text === 'on';
}

function toNumber(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text);
}

/** From start to end with signals, keyboard and terminal connected; all of them are as before afterwards. */
async function runOnTerminal(vm: VirtualMachine, serial: SerialEnd, showDisplay: ShowDisplay, saveTo: SaveTarget, interruption: Interruption, io: CommandIo): Promise<MachineEnd> {
  const caught = SIGNALS.map((signal) => {
    const handler = (): void => {
      interruption.signal ??= signal;
      void vm.stop();
    };
    io.signals.on(signal, handler);
    return { signal, handler };
  });
  const interactive = serial.interactive && io.stdin.isTTY === true;
  if (interactive) io.stderr.write('polyvisor: Ctrl-A X ends the machine, Ctrl-A H helps\n');
  vm.on('halted', () => void io.stderr.write(`polyvisor: the guest has halted with interrupts off${interactive ? '; Ctrl-A X ends the machine' : ''}\n`));
  const disconnect = serial.interactive ? connectKeyboard(vm, vm.console, saveTo, io) : () => {};
  let hide = (): void => {};
  try {
    hide = showDisplay(vm);
    // The output may have failed while the guest was fetched.
    return await (interruption.output === undefined ? vm.start() : vm.stop());
  } finally {
    disconnect();
    for (const { signal, handler } of caught) io.signals.off(signal, handler);
    hide();
  }
}

/** Says on standard error what the exit status alone does not. */
function explain(end: MachineEnd, vm: VirtualMachine, options: RunOptions, io: CommandIo): void {
  switch (end.kind) {
    case 'died':
      io.stderr.write(deathReport(end, vm.console.text));
      return;
    case 'timeout':
      io.stderr.write(`polyvisor: ended after ${options.timeout} s (--timeout)\n`);
      return;
    case 'reset':
      io.stderr.write('polyvisor: the guest has reset (--no-reboot)\n');
      return;
    case 'poweroff': case 'debug-exit': case 'stopped':
      return;
    default:
      assertNever(end);
  }
}

/** The contract of the command line; a machine that was quit from the keyboard counts as switched off. */
function exitStatus(end: MachineEnd, interruption: Interruption): number {
  switch (end.kind) {
    case 'poweroff': return 0;
    case 'died': return EXIT_DIED;
    case 'reset': return EXIT_RESET;
    case 'timeout': return EXIT_TIMEOUT;
    case 'debug-exit': return ((end.value << 1) | 1) & 0xff;
    case 'stopped':
      if (interruption.output !== undefined) return interruption.output.error === undefined ? EXIT_SIGNAL + constants.signals.SIGPIPE : 1;
      return interruption.signal === undefined ? 0 : EXIT_SIGNAL + constants.signals[interruption.signal];
    default: return assertNever(end);
  }
}

function stderrLog(kinds: readonly TraceKind[], io: CommandIo): Log {
  const wanted = new Set<string>(kinds);
  return {
    warn: (message) => void io.stderr.write(`polyvisor: ${message}\n`),
    tracing: (kind) => wanted.has(kind),
    trace: (kind, message) => {
      if (wanted.has(kind)) io.stderr.write(`${kind}: ${message}\n`);
    },
  };
}
