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
];
