#!/usr/bin/env node
import { readFileSync, realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Command, CommanderError } from 'commander';
import { UserError } from '../base/errors.ts';
import { catalogue } from '../host-node/guests/catalogue.ts';
import { disassembleFile } from './disassemble.ts';
import { TRACE_KINDS, run } from './run.ts';
import type { RunOptions } from './run.ts';

function version(): string {
  for (const path of ['../../../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}

function buildProgram(finish: (status: number) => void): Command {
  const program = new Command('polyvisor');
  program.description('Runs unmodified x86 operating systems in a virtual machine.').version(version()).exitOverride().showSuggestionAfterError(true);
  program.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'polyvisor: ').replace(/\n\(Did you mean (.*)\?\)/, '; did you mean $1?')) });
  program.command('run', { isDefault: false })
    .description('run a machine on this terminal until the guest powers off')
    .argument('[guest]', 'a guest of the catalogue (see: polyvisor guests); default linux')
    .option('--kernel <file>', 'kernel to boot: bzImage, ELF with a PVH note, or multiboot')
    .option('--initrd <file>', 'initial RAM disk')
    .option('--append <text>', 'kernel command line')
    .option('--memory <size>', 'guest memory, for instance 512M or 2G', '512M')
    .option('--cpus <n>', 'number of processors', '1')
    .option('--engine <name>', 'auto, interpreter, translator, kvm or hybrid', 'auto')
    .option('--serial <where>', 'the serial line: stdio, none or file:PATH', 'stdio')
    .option('--no-reboot', 'end with status 3 when the guest resets')
    .option('--timeout <seconds>', 'end with status 124 after this time')
    .option('--debug-exit-port <port>', 'a write to this port ends with status (value << 1) | 1')
    .option('--trace <kinds>', `write events to standard error: ${TRACE_KINDS.join(',')}`)
    .option('--report <file>', 'write figures about the run as JSON')
    .addHelpText('after', '\nExit status: 0 the guest powered off, 1 wrong use, 2 the guest died, 3 it reset under --no-reboot,\n124 timeout, (value << 1) | 1 for the debug exit port.')
    .action(async (guest: string | undefined, options: RunOptions) => finish(await run(guest, options)));
  program.command('guests')
    .description('list the guests of the catalogue')
    .action(() => {
      for (const entry of catalogue) process.stdout.write(`${entry.name.padEnd(12)} ${entry.summary}\n`);
      finish(0);
    });
  program.command('disassemble')
    .description('disassemble a file of raw machine code')
    .argument('<file>', 'the file; - for standard input')
    .option('--bits <n>', 'code size: 16, 32 or 64', '64')
    .option('--address <n>', 'address of the first byte', '0')
    .action((file: string, options: { bits: string; address: string }) => {
      process.stdout.write(disassembleFile(file, options));
      finish(0);
    });
  for (const command of program.commands) command.exitOverride().configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'polyvisor: ').replace(/\n\(Did you mean (.*)\?\)/, '; did you mean $1?')) });
  return program;
}

/** The command line; returns the exit status. A mistake of the user's is one line on standard error and status 1. */
export async function main(args: readonly string[]): Promise<number> {
  let status = 0;
  try {
    await buildProgram((value) => (status = value)).parseAsync([...args], { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    if (error instanceof UserError) {
      process.stderr.write(`polyvisor: ${error.message}\n`);
      return 1;
    }
    throw error;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  const status = await main(process.argv.slice(2));
  // Output still on its way to a pipe is written before the process ends.
  process.stdout.write('', () => process.exit(status));
}
