import { Command, CommanderError } from 'commander';
import { UserError } from '../base/errors.ts';
import { catalogue } from '../host-node/guests/catalogue.ts';
import { packageVersion } from '../host-node/version.ts';
import { ENGINE_NAMES, MACHINE_NAMES } from '../machine/configuration.ts';
import { DISK_INTERFACES } from '../machine/drives.ts';
import { NIC_MODELS } from '../machine/nics.ts';
import { TRACE_KINDS } from '../machine/trace.ts';
import { disassembleFile } from './disassemble.ts';
import type { DisassembleOptions } from './disassemble.ts';
import { processIo } from './io.ts';
import { doctor } from './doctor.ts';
import type { CommandIo } from './io.ts';
import { run } from './run.ts';
import type { RunOptions } from './run.ts';
import { KEYS_HELP } from './terminal-keys.ts';

const WRONG_USE = 1;

const RUN_NOTES = `
Keys, on a terminal:
${KEYS_HELP.map((line) => `  ${line}`).join('\n')}

Disks:
  FILE                  a raw image, which no other machine may use meanwhile
  FILE,ram              what the guest writes is kept in memory and forgotten, the file stays as it is
  ram:SIZE              an empty disk in memory
  concat:FILE,FILE      several images one behind the other
  stripe:FILE,FILE      pieces in turn on each, of 64 KiB or ,chunk=SIZE
  mirror:FILE,FILE      the same on each; FILE.mirror beside each says whether it is up to date
  Behind each: ,if=${DISK_INTERFACES.join(' ,if=')} and ,readonly. A comma in a file's name is written twice.

Networks:
  tap:NAME              a TAP interface of the host, which another program has made
  hub:NAME              a hub of that name, which all machines of this user on this host share
  none                  a card (--nic) without a cable
  Each gets a card, the first network the first --nic; cards: ${NIC_MODELS.join(', ')}, behind it ,mac=52:54:00:12:34:56.

Shared folders:
  DIR:TAG               Linux mounts it by: mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt
  Links are the guest's to follow: nothing outside of DIR can be reached. Files belong to the user of this process.

Sockets (vsock), as Firecracker has them:
  A program of the host connects to SOCKET, writes "CONNECT PORT" and a newline, and reads "OK" and a number in a line.
  What the guest connects to on port PORT of the host (address 2) is the Unix socket SOCKET_PORT.

Exit status:
  0    the guest powered off
  1    wrong use: a bad option or file
  2    the guest died; registers and last words are on standard error
  3    the guest reset under --no-reboot
  124  the time of --timeout is over
  (value << 1) | 1 when the guest wrote value to the debug exit port

Examples:
  polyvisor run
  polyvisor run linux-i386 --memory 256M
  polyvisor run --kernel vmlinuz --initrd initrd.gz --append "console=ttyS0 quiet"`;

function several(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function buildProgram(io: CommandIo, finish: (status: number) => void): Command {
  const program = new Command('polyvisor')
    .description('Runs unmodified x86 operating systems in a virtual machine.')
    .version(packageVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    // Subcommands inherit both. Errors are written by `main`, in one line.
    .exitOverride()
    .configureOutput({ writeOut: (text) => void io.stdout.write(text), writeErr: (text) => void io.stderr.write(text), outputError: () => {} });
  program.command('run')
    .summary('run a machine on this terminal')
    .description('Runs a machine on this terminal until its guest powers off.')
    .argument('[guest]', 'a guest of the catalogue (see "polyvisor guests"); linux when neither it nor --kernel is given')
    .option('--kernel <file>', 'kernel to boot: Linux bzImage, ELF with a PVH note, or multiboot 1 ELF')
    .option('--initrd <file>', 'initial RAM disk')
    .option('--append <text>', 'kernel command line (with --kernel by default console=ttyS0; with a guest, added to its own)')
    .option('--firmware <file>', 'start in firmware, which boots from disks: seabios or ovmf (UEFI; both fetched as guests are), or a ROM image')
    .option('--nvram <file>', 'with UEFI firmware, the file that keeps its variables; made when it is not there')
    .option('--machine <name>', `the board: ${MACHINE_NAMES.join(' or ')} (default pc; microvm boots kernels directly, faster, and has virtio disks only)`)
    .option('--memory <size>', 'guest memory: bytes, or with K, M or G (default 512M)')
    .option('--cpus <n>', 'number of processors, or sockets=,cores=,threads= (left out: 1), each executed by a thread of its own (default 1; more on the engines translator, interpreter and kvm)')
    .option('--overcommit', 'with --cpus, more processors than the host has')
    .option('--disk <file>', 'a disk (see below); may be given several times', several)
    .option('--net <network>', 'a network card plugged into tap:NAME, hub:NAME or none (see below); may be given several times', several)
    .option('--nic <model>', `the model of the card: ${NIC_MODELS.join(', ')} (default virtio); MODEL,mac=ADDRESS; may be given several times`, several)
    .option('--capture <file>', 'write what passes the network cards into a pcapng file')
    .option('--share <dir>', 'a folder that the guest may mount: DIR:TAG[,readonly] (see below); may be given several times', several)
    .option('--port <end>', 'a named port of the virtio console (/dev/virtio-ports/NAME in Linux): NAME=unix:PATH; may be given several times', several)
    .option('--vsock <where>', 'sockets between guest and host: cid=NUMBER,path=SOCKET (see below)')
    .option('--cdrom <file>', 'a CD-ROM image in an IDE drive; none: the drive is empty')
    .option('--floppy <file>', 'a floppy disk image, of 360 KB to 2.88 MB; none: the drive is empty')
    .option('--boot <order>', 'with --firmware, where it looks for something to boot: up to three letters out of c (hard disk), d (CD-ROM), a (floppy disk), n (network, by iPXE), what is left out comes last; default: cad, with UEFI as its variables say')
    .option('--boot-menu', 'with --firmware, let it ask for a key that leads to a menu')
    .option('--restore <file>', 'go on with a machine that was saved; it is as it was, engine, console and display may be chosen')
    .option('--save-to <file>', 'where Ctrl-A S saves the machine: FILE[,compress] (default polyvisor.save)')
    .option('--paravirt <on|off>', "whether the guest is offered KVM's paravirtual interface: its clock and, with several processors, what saves them messages (default on)")
    .option('--rng', 'a virtio entropy device')
    .option('--balloon', 'a virtio balloon: memory that the guest does not use goes back to the host')
    .option('--input', 'a virtio keyboard and tablet')
    .option('--engine <name>', `what executes the guest: ${ENGINE_NAMES.join(', ')} (default auto)`)
    .option('--switchable', 'the processor has only what all engines of this host have, so that the machine can change to any of them (Ctrl-A E)')
    .option('--recalibrate', 'with engine auto, measure this host again instead of taking what was found once')
    .option('--translation-cache <size>', 'memory that translated code may take; what was used least recently goes first', '128M')
    .option('--no-keep-translations', 'translate anew what an earlier run has translated, and keep nothing for later ones')
    .option('--serial <where>', 'where the serial console goes: stdio, none or file:PATH (default: stdio, none with --display terminal)')
    .option('--parallel <file>', 'a parallel port; what is printed there goes into the file')
    .option('--display <where>', 'where the screen is shown: none, terminal (text, so with firmware only) or png:FILE; Linux wants console=tty0 in --append', 'none')
    .option('--no-reboot', 'end with status 3 when the guest resets, instead of starting it again')
    .option('--timeout <seconds>', 'end with status 124 after this time')
    .option('--debug-exit-port <port>', 'I/O port whose writes end the machine, for instance 0xf4')
    .option('--trace <kinds>', `show events on standard error: ${TRACE_KINDS.join(', ')}, separated by commas, or all`)
    .option('--profile <file>', 'write what the guest spent its time on, and <file>.folded for flame graphs')
    .option('--profile-map <file>', "with --profile, names of the kernel's code: its System.map or /proc/kallsyms")
    .option('--report <file>', 'write figures about the run as JSON')
    .addHelpText('after', RUN_NOTES)
    .action(async (guest: string | undefined, options: RunOptions) => finish(await run(guest, options, io)));
  program.command('doctor')
    .summary('say what can run guests on this host')
    .description('Shows which engines work on this host, how fast, what "auto" chooses, and what would help. Exit status 0 if a guest can run.')
    .option('--recalibrate', 'measure again instead of showing what was found once')
    .action((options: { readonly recalibrate?: boolean }) => finish(doctor(options, io)));
  program.command('guests')
    .summary('list the guests of the catalogue')
    .description('Lists the guests that "polyvisor run" can get by itself.')
    .action(() => {
      const width = Math.max(...catalogue.map((entry) => entry.name.length)) + 2;
      for (const entry of catalogue) io.stdout.write(`${entry.name.padEnd(width)}${entry.summary}\n`);
    });
  program.command('disassemble')
    .summary('disassemble x86 machine code')
    .description('Disassembles the code sections of an ELF file, or a file of raw machine code, in Intel syntax.')
    .argument('<file>', 'the file; - for standard input')
    .option('--bits <n>', 'code size: 16, 32 or 64 (by default what an ELF file says, else 64)')
    .option('--address <n>', 'address of the first byte of raw machine code (default 0)')
    .action((file: string, options: DisassembleOptions) => disassembleFile(file, options, io));
  return program;
}

/** The command line; returns the exit status. A mistake of the user's is one line on standard error and status 1. */
export async function main(args: readonly string[], io: CommandIo = processIo()): Promise<number> {
  let status = 0;
  const program = buildProgram(io, (value) => (status = value));
  try {
    await program.parseAsync([...args], { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return usageError(error, args, program, io);
    if (!(error instanceof UserError)) throw error;
    io.stderr.write(`polyvisor: ${oneLine(error.message)}\n`);
    return WRONG_USE;
  }
}

function usageError(error: CommanderError, args: readonly string[], program: Command, io: CommandIo): number {
  if (error.exitCode === 0) return 0; // help or version was asked for
  if (error.code === 'commander.help') return WRONG_USE; // no command at all: the help has been shown
  const named = program.commands.find((command) => command.name() === args[0]);
  const help = named === undefined ? 'polyvisor --help' : `polyvisor ${named.name()} --help`;
  io.stderr.write(`polyvisor: ${oneLine(error.message.replace(/^error: /, '').replace(/\.$/, ''))}; "${help}" shows what is possible\n`);
  return WRONG_USE;
}

/** File names and other texts of the user's may hold anything. */
function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, ' ').replace(/[\x00-\x1f\x7f]/g, '?');
}
