/** Width of the guest's kernel and programs. */
export type Width = 64 | 32;

/** A program of bench/guest, compiled for each width. */
export interface CompiledProgram {
  readonly kind: 'compiled';
  readonly name: string;
  readonly measures: string;
}

/** A program of the distribution, with the shared libraries it needs. */
export interface PackagedProgram {
  readonly kind: 'packaged';
  readonly name: string;
  readonly measures: string;
  readonly packages: readonly string[];
  /** Paths inside the packages that are copied as they are, folders with what they hold. */
  readonly files: readonly string[];
  /** Program and arguments; `/data/...` are files of `data.ts`. */
  readonly command: (width: Width) => readonly string[];
}

export type GuestProgram = CompiledProgram | PackagedProgram;

const compiled = (name: string, measures: string): CompiledProgram => ({ kind: 'compiled', name, measures });

export const programs: readonly GuestProgram[] = [
  compiled('loops', 'integer loops: a sieve, Collatz sequences, a matrix product'),
  compiled('recursion', 'recursion: Fibonacci, Ackermann, queens, Hanoi'),
  compiled('sort', 'sorting: qsort with a callback, heap sort, merge sort of strings'),
  compiled('float-scalar', 'scalar SSE2 arithmetic, single and double: planets, Mandelbrot, a spectral norm'),
  compiled('float-vector', 'packed SSE2 arithmetic: single, double, integers'),
  compiled('x87', '80-bit arithmetic: polynomials, a matrix product, Newton roots'),
  compiled('hash', 'SHA-256, CRC-32, a hash table'),
  compiled('muldiv64', '64-bit multiply and divide: powers modulo a prime, common divisors, printing, high products'),
  compiled('memcopy', 'memory copies: memcpy, memmove, memset, memcmp, strlen, REP MOVS and STOS'),
  compiled('indirect', 'indirect calls and jumps: bytecode by switch and by table, methods of objects'),
  compiled('syscalls', 'system calls: getppid, umask, read, write, seek, stat; signals'),
  compiled('faults', 'page faults: fresh memory, write protection caught by a handler'),
  compiled('forkexec', 'fork with copied pages, exec, wait'),
  compiled('pipes', 'blocks of 16 bytes to 64 KiB through two pipes and three processes'),
  compiled('switches', 'context switches: a byte to and fro between processes, a baton round threads by futex'),
  { kind: 'packaged', name: 'gzip', measures: 'gzip compresses 3 MB of text', packages: ['gzip'], files: [], command: () => ['/bin/gzip', '-nc', '/data/text'] },
  {
    kind: 'packaged', name: 'sqlite', measures: 'SQLite in memory: inserts, indexes, joins, grouping, text functions, a rollback',
    packages: ['sqlite3', 'libsqlite3-0', 'libreadline8', 'libtinfo6', 'zlib1g'], files: [],
    command: () => ['/usr/bin/sqlite3', '-batch', '-init', '/data/work.sql', ':memory:', '.quit'],
  },
  {
    kind: 'packaged', name: 'python', measures: 'CPython 3.11: objects, dictionaries, strings, exceptions, generators, big integers',
    packages: ['python3.11-minimal', 'libpython3.11-minimal', 'libexpat1', 'zlib1g'], files: ['usr/lib/python3.11'],
    command: () => ['/usr/bin/python3.11', '-B', '-S', '/data/work.py'],
  },
  {
    kind: 'packaged', name: 'compiler', measures: "GCC 12's cc1 -O1 compiles 200 lines of C",
    packages: ['cpp-12', 'libisl23', 'libmpc3', 'libmpfr6', 'libgmp10', 'libzstd1', 'zlib1g'], files: [],
    command: (width) => [`/usr/lib/gcc/${width === 64 ? 'x86_64' : 'i686'}-linux-gnu/12/cc1`, '-quiet', '-ffreestanding', '-O1', '/data/work.c', '-o', '-'],
  },
];
