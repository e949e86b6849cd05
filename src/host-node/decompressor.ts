import { spawnSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import type { Compression, Decompressor, Lz4Block } from '../host/decompressor.ts';
import { ofLinux } from './koffi.ts';

/** Programs of the host that unpack from standard input to standard output. */
const PROGRAMS: Partial<Readonly<Record<Compression, readonly [program: string, ...options: string[]]>>> = {
  xz: ['xz', '--decompress', '--stdout'],
  zstd: ['zstd', '--decompress', '--stdout', '--quiet'],
};

/** Three times as quick as our own, of which a kernel needs a tenth of a second; nearly every Linux has it, for its package manager or systemd. */
const liblz4 = ofLinux((koffi): Lz4Block => {
  const decompress = koffi.load('liblz4.so.1').func('int LZ4_decompress_safe(void *packed, void *target, int bytes, int room)');
  return (packed, target) => decompress(packed, target, packed.length, target.length);
});

/** gzip by Node itself; XZ and Zstandard by the programs of that name, LZ4 by the library, where the host has them. */
export const nodeDecompressor: Decompressor = {
  decompress(format, packed, size) {
    const contents = format === 'gzip' ? gunzip(packed, size) : run(PROGRAMS[format], packed, size);
    return contents?.length === size ? contents : undefined;
  },
  get lz4Block() {
    return liblz4();
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
