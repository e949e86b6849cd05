// iperf3 in the guest against iperf3 on the host, over a TAP interface, and between two guests, on our translator and on QEMU's TCG
// in the same run: the same Debian, the same model of card. A command for root, never a timed test.
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { debianSystem } from '../guest/debian-image.ts';
import type { DebianSystem } from '../guest/debian-image.ts';
import { UserError } from '../src/base/errors.ts';
import { ShellGuest } from './disk/shell-guest.ts';
import { CLI } from './guests/engines.ts';
import { median } from './guests/table.ts';

const ENGINES = ['translator', 'interpreter', 'qemu'] as const;
type Engine = (typeof ENGINES)[number];
const CARDS = { virtio: 'virtio-net-pci', e1000: 'e1000' } as const;
type Card = keyof typeof CARDS;
const DIRECTIONS = [['guest sends', ''], ['guest receives', '-R']] as const;
const BETWEEN = 'between two guests';
const NAMES = [...DIRECTIONS.map(([name]) => name), BETWEEN];

const TAP = 'pvbench0';
const HOST = '10.78.0.1';
const GUESTS = ['10.78.0.2', '10.78.0.3'] as const;
const MACS = ['52:54:00:78:00:02', '52:54:00:78:00:03'] as const;
const MEMORY = '512M';

/** Where a guest's cable goes, in the words of our command line and of QEMU's. */
interface Cable {
  readonly ours: string;
  readonly qemu: string;
}
const TAP_CABLE: Cable = { ours: `tap:${TAP}`, qemu: `tap,id=net,ifname=${TAP},script=no,downscript=no,vhost=off` };

/** The two ends of a cable between guests, QEMU's by a socket in a folder. */
function cableBetween(folder: string): readonly [Cable, Cable] {
  const end = (server: boolean): Cable => ({ ours: `hub:bench${process.pid}`, qemu: `stream,id=net,server=${server ? 'on' : 'off'},addr.type=unix,addr.path=${join(folder, 'cable')}` });
  return [end(true), end(false)];
}

/** `number`: of the guest, 0 or 1. */
function start(engine: Engine, card: Card, { kernel, initrd, image, ...system }: DebianSystem, number: 0 | 1, cable: Cable): ShellGuest {
  const append = `${system.append} quiet init=/bin/sh`;
  const mac = MACS[number];
  if (engine !== 'qemu') {
    return new ShellGuest(process.execPath, [
      CLI, 'run', '--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', MEMORY, '--engine', engine, '--disk', `${image.replaceAll(',', ',,')},readonly`, '--net', cable.ours, '--nic', `${card},mac=${mac}`,
    ]);
  }
  return new ShellGuest('qemu-system-x86_64', [
    '-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', MEMORY, '-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot', '-kernel', kernel, '-initrd', initrd, '-append', append,
    '-drive', `file=${image.replaceAll(',', ',,')},format=raw,if=virtio,readonly=on`, '-netdev', cable.qemu, '-device', `${CARDS[card]},netdev=net,mac=${mac}`,
  ]);
}

interface Figure {
  readonly megabits: number;
  /** Processor time of the engine for each second. */
  readonly cpu: number;
}

/** Its card gets its address. */
async function connect(guest: ShellGuest, card: Card, address: string): Promise<void> {
  await guest.waitFor(/# /);
  await guest.run('stty -echo; PS1=; mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /tmp; cd /tmp; export PATH=$PATH:/sbin:/usr/sbin');
  await guest.run(`modprobe ${card === 'virtio' ? 'virtio_net' : card}; sleep 1; cd /sys/class/net; ip link set lo up; for i in e*; do ip link set $i up && ip addr add ${address}/24 dev $i; done; cd /tmp`);
}

/** What the guest's iperf3 says; processor time is that of `all`. */
async function iperf(guest: ShellGuest, all: readonly ShellGuest[], to: string, option: string, seconds: number): Promise<Figure> {
  const run = (time: number): Promise<string> => guest.run(`iperf3 -c ${to} -f m -t ${time} ${option}`);
  await run(2); // hot code is translated
  const cpu = (): number => all.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  const before = cpu();
  const output = await run(seconds);
  const megabits = /([\d.]+) Mbits\/sec\s+receiver/.exec(output)?.[1];
  if (megabits === undefined) throw new Error(`iperf3 says: ${output}`);
  return { megabits: Number(megabits), cpu: (cpu() - before) / seconds };
}

/** One boot, both directions. */
async function measure(engine: Engine, card: Card, system: DebianSystem, seconds: number): Promise<Map<string, Figure>> {
  const guest = start(engine, card, system, 0, TAP_CABLE);
  try {
    await connect(guest, card, GUESTS[0]);
    await guest.run(`ping -c 3 -W 5 ${HOST}`);
    const figures = new Map<string, Figure>();
    for (const [name, option] of DIRECTIONS) figures.set(name, await iperf(guest, [guest], HOST, option, seconds));
    return figures;
  } finally {
    await guest.end();
  }
}

/** The first guest sends to the second. */
async function measureBetween(engine: Engine, card: Card, system: DebianSystem, seconds: number): Promise<Figure> {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-bench-'));
  const guests: ShellGuest[] = [];
  try {
    const cables = cableBetween(folder);
    for (const number of [0, 1] as const) {
      const guest = start(engine, card, system, number, cables[number]);
      guests.push(guest);
      await connect(guest, card, GUESTS[number]);
    }
    const [first, second] = guests as [ShellGuest, ShellGuest];
    await second.run('iperf3 -s -D');
    await first.run(`ping -c 3 -W 5 ${GUESTS[1]}`);
    return await iperf(first, guests, GUESTS[1], '', seconds);
  } finally {
    for (const guest of guests) await guest.end();
    rmSync(folder, { recursive: true });
  }
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);

function makeTap(): ChildProcess {
  try {
    for (const command of [`tuntap add dev ${TAP} mode tap`, `addr add ${HOST}/24 dev ${TAP}`, `link set ${TAP} up`]) execFileSync('ip', command.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new UserError(`no TAP interface can be made (${String((error as { stderr?: unknown }).stderr ?? error).trim()}); be root, and install iproute2`);
  }
  return spawn('iperf3', ['-s', '-B', HOST], { stdio: 'ignore' });
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { engines: { ...text, default: 'translator,qemu' }, card: { ...text, default: 'virtio' }, repeat: { ...text, default: '3' }, seconds: { ...text, default: '5' } } });
  const engines = ENGINES.filter((engine) => values.engines.split(',').includes(engine));
  const { card } = values;
  if (card !== 'virtio' && card !== 'e1000') throw new UserError(`--card ${card} is unknown; give one of ${Object.keys(CARDS).join(', ')}`);
  if (engines.length === 0) throw new UserError(`nothing is left to measure; engines are ${ENGINES.join(', ')}`);
  const system = await debianSystem(log);
  const server = makeTap();
  try {
    const found = new Map<string, number[]>();
    for (let round = 0; round < Number(values.repeat); round++) {
      for (const engine of engines) {
        const figures = await measure(engine, card, system, Number(values.seconds));
        figures.set(BETWEEN, await measureBetween(engine, card, system, Number(values.seconds)));
        for (const [name, { megabits, cpu }] of figures) {
          log(`${engine} ${round + 1}: ${name} ${megabits} Mbit/s, processor ${(100 * cpu).toFixed(0)} %`);
          found.set(`${engine} ${name}`, [...(found.get(`${engine} ${name}`) ?? []), megabits]);
        }
      }
    }
    console.log(`${`${card}, medians, Mbit/s`.padEnd(26)}${engines.map((engine) => engine.padStart(14)).join('')}`);
    for (const name of NAMES) console.log(`${name.padEnd(26)}${engines.map((engine) => median(found.get(`${engine} ${name}`) ?? []).toFixed(0).padStart(14)).join('')}`);
  } finally {
    server.kill();
    execFileSync('ip', ['link', 'delete', TAP]);
  }
}

main().catch((error: unknown) => {
  log(error instanceof UserError ? `bench: ${error.message}` : String((error as Error).stack));
  process.exitCode = 1;
});
