import { closeSync, openSync, writeSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { assertNever } from '../base/assert-never.ts';
import { UserError } from '../base/errors.ts';
import type { Log } from '../host/log.ts';
import { VirtualMachine } from '../host-node/virtual-machine.ts';
import { checkEngine, checkPort } from '../machine/configuration.ts';
import type { MachineEnd } from '../machine/machine.ts';
import { deathReport } from './death-report.ts';
import { HELP, KeyFilter, enterRawMode } from './terminal.ts';

/** Options of `polyvisor run` as the command line gives them: texts. */
export interface RunOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly memory: string;
  readonly cpus: string;
  readonly engine: string;
  readonly serial: string;
  readonly reboot: boolean;
  readonly timeout?: string;
  readonly debugExitPort?: string;
  readonly trace?: string;
  readonly report?: string;
}

export const TRACE_KINDS = ['port', 'mmio'] as const;
const EXIT_TIMEOUT = 124;

/** Runs a machine on this terminal; returns the exit status. */
export async function run(guest: string | undefined, options: RunOptions): Promise<number> {
  const seconds = options.timeout === undefined ? undefined : Number(options.timeout);
  if (seconds !== undefined && !(seconds > 0)) throw new UserError(`timeout "${options.timeout}" is no positive number of seconds`);
  if (guest !== undefined && options.kernel !== undefined) throw new UserError(`both the guest ${guest} and --kernel were given; give one of them`);
  if (options.initrd !== undefined && options.kernel === undefined && guest === undefined) throw new UserError('--initrd was given without --kernel; give both');
  const log = createLog(options.trace);
  const serial = openSerial(options.serial);
  const reportFile = options.report === undefined ? undefined : openReport(options.report);

  const vm = await VirtualMachine.create({
    ...(guest === undefined ? {} : { guest }),
    ...(options.kernel === undefined ? {} : { kernel: options.kernel }),
    ...(options.initrd === undefined ? {} : { initrd: options.initrd }),
    ...(options.append === undefined ? {} : { append: options.append }),
    ...(options.debugExitPort === undefined ? {} : { debugExitPort: checkPort(options.debugExitPort) }),
    memory: options.memory,
    cpus: Number(options.cpus),
    engine: checkEngine(options.engine),
    noReboot: !options.reboot,
    onProgress: (line) => process.stderr.write(`${line}\n`),
    log,
  });
  vm.console.onData(serial.write);
  const restore = serial.interactive ? connectKeyboard(vm) : () => {};

  let timedOut = false;
  const timer = seconds === undefined ? undefined : setTimeout(() => {
    timedOut = true;
    void vm.stop();
  }, seconds * 1000);
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => void vm.stop());
  if (!process.stdin.isTTY) process.once('SIGINT', () => void vm.stop());
  let end: MachineEnd;
  try {
    end = await vm.finished;
  } finally {
    clearTimeout(timer);
    restore();
    serial.close();
  }
  if (end.kind === 'died') process.stderr.write(deathReport(end, vm.console.text));
  if (reportFile !== undefined) writeReport(reportFile, options.report!, vm);
  if (timedOut) {
    process.stderr.write(`polyvisor: stopped after ${seconds} s (--timeout)\n`);
    return EXIT_TIMEOUT;
  }
  return exitStatus(end);
}

/** 0 power-off, 2 died, 3 reset under --no-reboot, debug exit as QEMU's isa-debug-exit; a machine that was stopped: 0. */
function exitStatus(end: MachineEnd): number {
  switch (end.kind) {
    case 'poweroff': case 'stopped': return 0;
    case 'died': return 2;
    case 'reset': return 3;
    case 'debug-exit': return ((end.value << 1) | 1) & 0xff;
    default: return assertNever(end);
  }
}

function createLog(trace: string | undefined): Log {
  const kinds = new Set((trace ?? '').split(',').filter((kind) => kind !== ''));
  for (const kind of kinds) {
    if (!(TRACE_KINDS as readonly string[]).includes(kind)) throw new UserError(`trace kind "${kind}" is unknown; give some of ${TRACE_KINDS.join(',')}`);
  }
  return {
    warn: (message) => void process.stderr.write(`polyvisor: ${message}\n`),
    tracing: (kind) => kinds.has(kind),
    trace: (kind, message) => void process.stderr.write(`${kind}: ${message}\n`),
  };
}

interface SerialEnd {
  readonly write: (bytes: Uint8Array) => void;
  readonly interactive: boolean;
  close(): void;
}

function openSerial(where: string): SerialEnd {
  if (where === 'none') return { write: () => {}, interactive: false, close: () => {} };
  if (where === 'stdio') {
    // A reader that goes away ends the output, not the machine's exit status.
    process.stdout.on('error', () => {});
    return { write: (bytes) => void process.stdout.write(bytes), interactive: true, close: () => {} };
  }
  if (!where.startsWith('file:') || where === 'file:') throw new UserError(`serial "${where}" is not understood; give stdio, none or file:PATH`);
  const path = where.slice('file:'.length);
  const file = open(path, 'serial output');
  return { write: (bytes) => void writeSync(file, bytes), interactive: false, close: () => closeSync(file) };
}

function open(path: string, what: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new UserError(`${what} cannot go to ${path} (${(error as NodeJS.ErrnoException).code ?? 'error'}); give a path that can be written`);
  }
}

/** Opened before the run: a path that cannot be written shows at once. */
function openReport(path: string): number {
  return open(path, 'the report');
}

function writeReport(file: number, path: string, vm: VirtualMachine): void {
  try {
    writeFileSync(file, `${JSON.stringify(vm.report(), null, 2)}\n`);
    closeSync(file);
  } catch (error) {
    throw new UserError(`the report cannot be written to ${path} (${(error as NodeJS.ErrnoException).code === 'ENOSPC' ? 'the disk is full' : (error as Error).message}); give a path with room`);
  }
}

/** Standard input to the guest: raw with the Ctrl-A keys on a terminal, unchanged from a pipe. Returns what undoes it. */
function connectKeyboard(vm: VirtualMachine): () => void {
  const input = process.stdin;
  if (!input.isTTY) {
    input.on('data', (bytes: Buffer) => vm.console.write(bytes));
    return () => input.pause();
  }
  const restore = enterRawMode(input);
  const filter = new KeyFilter();
  input.on('data', (bytes: Buffer) => {
    const { data, commands } = filter.feed(bytes);
    if (data.length > 0) vm.console.write(data);
    for (const command of commands) {
      if (command === 'quit') void vm.stop();
      else process.stdout.write(HELP);
    }
  });
  process.stderr.write('[polyvisor] Ctrl-A X ends the machine, Ctrl-A H helps\r\n');
  return restore;
}
