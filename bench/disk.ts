// Disks under fio in the guest, on our translator and on QEMU's TCG, engine by engine in the same run: the same Debian
// and raw image, whose pages the host has in memory. A command, never a timed test.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
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
const BUSES = ['virtio', 'ahci', 'nvme'] as const;
type Bus = (typeof BUSES)[number];

interface Job {
  readonly name: string;
  readonly options: string;
  readonly writes?: boolean;
  readonly unit: 'MiB/s' | 'IO/s';
}
const JOBS: readonly Job[] = [
  { name: 'sequential read', options: '--rw=read --bs=1M --iodepth=4', unit: 'MiB/s' },
  { name: 'sequential read 64k', options: '--rw=read --bs=64k --iodepth=4', unit: 'MiB/s' },
  { name: 'buffered read', options: '--rw=read --bs=128k --direct=0 --ioengine=psync', unit: 'MiB/s' },
  { name: 'random read, depth 1', options: '--rw=randread --bs=4k --iodepth=1', unit: 'IO/s' },
  { name: 'random read, depth 32', options: '--rw=randread --bs=4k --iodepth=32', unit: 'IO/s' },
  { name: 'sequential write', options: '--rw=write --bs=1M --iodepth=4', writes: true, unit: 'MiB/s' },
  { name: 'random write, depth 32', options: '--rw=randwrite --bs=4k --iodepth=32', writes: true, unit: 'IO/s' },
];
const DISK_MIB = 512;
const MEMORY = '512M';

function start(engine: Engine, bus: Bus, { kernel, initrd, image, ...system }: DebianSystem, data: string): ShellGuest {
  const append = `${system.append} quiet init=/bin/sh`;
  if (engine !== 'qemu') {
    const disk = (path: string): string => `${path.replaceAll(',', ',,')},if=${bus}`;
    return new ShellGuest(process.execPath, [CLI, 'run', '--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', MEMORY, '--engine', engine, '--disk', `${disk(image)},readonly`, '--disk', disk(data)]);
  }
  const device = { virtio: 'virtio-blk-pci', ahci: 'ide-hd', nvme: 'nvme' }[bus];
  const disk = (path: string, id: number, more: string): string[] => [
    '-drive', `file=${path.replaceAll(',', ',,')},format=raw,if=none,id=d${id},cache=writeback${more}`,
    '-device', `${device},drive=d${id}${bus === 'nvme' ? `,serial=n${id}` : ''}${bus === 'ahci' ? `,bus=ahci.${id}` : ''}`,
  ];
  return new ShellGuest('qemu-system-x86_64', [
    '-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', MEMORY, '-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot', '-kernel', kernel, '-initrd', initrd, '-append', append,
    ...(bus === 'ahci' ? ['-device', 'ahci,id=ahci'] : []), ...disk(image, 0, ',readonly=on'), ...disk(data, 1, ''),
  ]);
}

interface Figure {
  readonly value: number;
  /** Processor time of the engine for each second of the job. */
  readonly cpu: number;
}

/** One boot, all jobs. */
async function measure(engine: Engine, bus: Bus, system: DebianSystem, data: string, jobs: readonly Job[], seconds: number): Promise<Map<string, Figure>> {
  const guest = start(engine, bus, system, data);
  try {
    await guest.waitFor(/# /);
    await guest.run('stty -echo; PS1=; mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /tmp; cd /tmp');
    const device = { virtio: 'vdb', ahci: 'sdb', nvme: 'nvme1n1' }[bus];
    const fio = async (job: Job, time: number): Promise<string> => {
      const output = await guest.run(`fio --name=job --thread --filename=/dev/${device} ${job.options.includes('--direct=0') ? '' : '--direct=1 --ioengine=libaio '}${job.options} --time_based --runtime=${time} --size=${DISK_MIB}M --norandommap --output-format=terse --terse-version=3`);
      const line = output.split(/\r?\n/).find((text) => text.startsWith('3;fio'));
      if (line === undefined) throw new Error(`fio says: ${output}`);
      return line;
    };
    const figures = new Map<string, Figure>();
    for (const job of jobs) {
      await fio(job, 1); // hot code is translated
      const before = guest.cpuSeconds;
      const fields = (await fio(job, seconds)).split(';');
      const cpu = (guest.cpuSeconds - before) / seconds;
      // fio's HOWTO, "Terse output": bandwidth (KiB/s) and operations a second of reads, then of writes.
      const [bandwidth, operations] = (job.writes === true ? [47, 48] : [6, 7]).map((at) => Number(fields[at]));
      figures.set(job.name, { value: job.unit === 'MiB/s' ? bandwidth! / 1024 : operations!, cpu });
    }
    return figures;
  } finally {
    await guest.end();
  }
}

/** A file without holes, of contents that differ, wholly in the host's memory. */
function makeData(path: string): void {
  const chunk = new Uint8Array(1 << 20);
  const file = openSync(path, 'w+');
  for (let i = 0; i < DISK_MIB; i++) writeSync(file, chunk.map((_, at) => (at * 31 + i) >> 3));
  for (let i = 0; i < DISK_MIB; i++) readSync(file, chunk, 0, chunk.length, i << 20);
  closeSync(file);
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { engines: { ...text, default: 'translator,qemu' }, bus: { ...text, default: 'virtio' }, only: text, repeat: { ...text, default: '3' }, seconds: { ...text, default: '4' } } });
  const engines = ENGINES.filter((engine) => values.engines.split(',').includes(engine));
  const bus = BUSES.find((name) => name === values.bus);
  if (bus === undefined) throw new UserError(`--bus ${values.bus} is unknown; give one of ${BUSES.join(', ')}`);
  const jobs = JOBS.filter(({ name }) => values.only === undefined || name.includes(values.only));
  if (engines.length === 0 || jobs.length === 0) throw new UserError(`nothing is left to measure; engines are ${ENGINES.join(', ')}, jobs are ${JOBS.map(({ name }) => name).join('; ')}`);
  const system = await debianSystem(log);
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-fio-'));
  try {
    const data = join(folder, 'data.img');
    makeData(data);
    execFileSync('sh', ['-c', 'cat "$0" > /dev/null', system.image]);
    const found = new Map<string, Figure[]>();
    for (let round = 0; round < Number(values.repeat); round++) {
      for (const engine of engines) {
        for (const [name, figure] of await measure(engine, bus, system, data, jobs, Number(values.seconds))) {
          log(`${engine} ${round + 1}: ${name} ${figure.value.toFixed(0)}, processor ${(100 * figure.cpu).toFixed(0)} %`);
          found.set(`${engine} ${name}`, [...(found.get(`${engine} ${name}`) ?? []), figure]);
        }
      }
    }
    const value = (engine: Engine, job: Job): number => median((found.get(`${engine} ${job.name}`) ?? []).map((figure) => figure.value));
    const ours = engines.find((engine) => engine !== 'qemu');
    const compared = ours !== undefined && engines.includes('qemu');
    console.log(`${`${bus}, medians`.padEnd(24)}${engines.map((engine) => engine.padStart(14)).join('')}${compared ? `${ours}/qemu`.padStart(18) : ''}`);
    for (const job of jobs) {
      const cells = engines.map((engine) => `${value(engine, job).toFixed(0)} ${job.unit}`.padStart(14));
      console.log(`${job.name.padEnd(24)}${cells.join('')}${compared ? (value(ours, job) / value('qemu', job)).toFixed(2).padStart(18) : ''}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  log(error instanceof UserError ? `bench: ${error.message}` : String((error as Error).stack));
  process.exitCode = 1;
});
