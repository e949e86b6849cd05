import { UserError } from '../base/errors.ts';
import { VCPU_MAX } from '../memory/layout.ts';

/** How a machine's processors are arranged. Each number at least 1; their product is how many there are. */
export interface ProcessorTopology {
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}

/** How many, which are the cores of one socket then, or how they are arranged, also as a text; what is left out is 1. */
export type CpusOption = number | string | Partial<ProcessorTopology>;

const LEVELS = ['sockets', 'cores', 'threads'] as const;
const WANTED = `give a number from 1 to ${VCPU_MAX}, or for instance sockets=1,cores=2,threads=2`;

export const ONE_PROCESSOR: ProcessorTopology = { sockets: 1, cores: 1, threads: 1 };

export function processorCount({ sockets, cores, threads }: ProcessorTopology): number {
  return sockets * cores * threads;
}

/** `4`, or any of `sockets=`, `cores=`, `threads=` with commas between. */
function parseCpus(text: string): ProcessorTopology {
  if (!text.includes('=')) return check({ ...ONE_PROCESSOR, cores: text.trim() === '' ? Number.NaN : Number(text) }, text);
  const given: { sockets?: number; cores?: number; threads?: number } = {};
  for (const part of text.split(',')) {
    const [, name, number] = /^\s*(\w+)=(\d+)\s*$/.exec(part) ?? [];
    const level = LEVELS.find((known) => known === name);
    if (level === undefined) throw new UserError(`processors "${text}" are not understood at "${part}"; ${WANTED}`);
    if (given[level] !== undefined) throw new UserError(`processors "${text}" give ${level} twice; ${WANTED}`);
    given[level] = Number(number);
  }
  return check({ ...ONE_PROCESSOR, ...given }, text);
}

function check(topology: ProcessorTopology, text: string): ProcessorTopology {
  if (LEVELS.some((level) => !Number.isInteger(topology[level]) || topology[level] < 1)) throw new UserError(`number of processors "${text}" makes no sense; ${WANTED}`);
  const count = processorCount(topology);
  if (count > VCPU_MAX) throw new UserError(`processors "${text}" are ${count}, more than a machine may have; ${WANTED}`);
  return topology;
}

/** Throws UserError. */
export function checkCpus(cpus: CpusOption): ProcessorTopology {
  if (typeof cpus === 'string') return parseCpus(cpus);
  if (typeof cpus === 'number') return check({ ...ONE_PROCESSOR, cores: cpus }, String(cpus));
  const topology = { sockets: cpus.sockets ?? 1, cores: cpus.cores ?? 1, threads: cpus.threads ?? 1 };
  return check(topology, LEVELS.map((level) => `${level}=${topology[level]}`).join());
}

/**
 * The local APICs' identifiers by number of vCPU: thread, core and socket have bits of their own (SDM 3A, 9.9.1), so that there are gaps
 * where a number is no power of two. All are below 255.
 */
export function apicIdsOf({ sockets, cores, threads }: ProcessorTopology): readonly number[] {
  const threadBits = bitsFor(threads);
  const coreBits = bitsFor(cores);
  return Array.from({ length: sockets * cores * threads }, (_, vcpu) => {
    const core = Math.floor(vcpu / threads);
    return (((Math.floor(core / cores) << coreBits) | core % cores) << threadBits) | vcpu % threads;
  });
}

/** The same in the order in which ACPI wants them listed: the first thread of every core before any second one (6.5, 5.2.12.1). */
export function bootOrderOf(topology: ProcessorTopology): readonly number[] {
  const { threads } = topology;
  const ids = apicIdsOf(topology);
  return Array.from({ length: threads }, (_, thread) => ids.filter((__, vcpu) => vcpu % threads === thread)).flat();
}

function bitsFor(count: number): number {
  return 32 - Math.clz32(count - 1);
}
