import { ofLinux } from './koffi.ts';

// mallopt(3), glibc's malloc.h.
const M_ARENA_MAX = -8;

const mallopt = ofLinux((koffi) => koffi.load(null).func('int mallopt(int parameter, int value)'));

/**
 * One heap for the C library's malloc, for all threads. It would give V8's compiling threads one each, which keep what their largest compilation
 * took: 6 to 10 MiB in all behind the benchmark's programs, at the same speed. It concerns the whole process, so it is for programs, before
 * they make threads: not for a library that is a guest in a process. Other C libraries than glibc have one heap, or no such call.
 */
export function useOneMallocArena(): void {
  mallopt()?.(M_ARENA_MAX, 1);
}
