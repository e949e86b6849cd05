import { spawnSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import type { Compression, Decompressor } from '../host/decompressor.ts';

/** Programs of the host that unpack from standard input to standard output. */
const PROGRAMS: Partial<Readonly<Record<Compression, readonly [program: string, ...options: string[]]>>> = {
  xz: ['xz', '--decompress', '--stdout'],
  zstd: ['zstd', '--decompress', '--stdout', '--quiet'],
};

/** gzip by Node itself; XZ and Zstandard by the programs of that name, where the host has them. */
export const nodeDecompressor: Decompressor = {
  decompress(format, packed, size) {
    const contents = format === 'gzip' ? gunzip(packed, size) : run(PROGRAMS[format], packed, size);
    return contents?.length === size ? contents : undefined;
  },
};

function gunzip(packed: Uint8Array, size: number): Uint8Array | undefined {
  try {
    return gunzipSync(packed, { maxOutputLength: size });
  } catch {
    return undefined;
  }
}

function run(program: readonly [string, ...string[]] | undefined, packed: Uint8Array, size: number): Uint8Array | undefined {
  if (program === undefined) return undefined;
  const [name, ...options] = program;
  const done = spawnSync(name, options, { input: packed, maxBuffer: size + 1, stdio: ['pipe', 'pipe', 'ignore'] });
  return done.status === 0 ? done.stdout : undefined;
}
