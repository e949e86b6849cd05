// V8 copies into and out of shared memory by words only where both sides lie at the same place within a word, else byte by byte,
// eight times slower. Such bytes go over storage of its own that lies right for the shared side: unshared copies do not care.

const WORD = 8;
/** Bytes up to which the detour does not pay. */
const FEW = 256;
const DETOUR_BYTES = 16384;
const detour = new Uint8Array(WORD + DETOUR_BYTES);

const agree = (a: number, b: number): boolean => ((a - b) & (WORD - 1)) === 0;

/** Copies `count` bytes from `from` on out of `shared`, which begins at a word, to the target's place `at`. */
export function copyFromShared(shared: Uint8Array, from: number, target: Uint8Array, at: number, count: number): void {
  if (count <= FEW || agree(from, target.byteOffset + at)) {
    target.set(shared.subarray(from, from + count), at);
    return;
  }
  const phase = from & (WORD - 1);
  for (let done = 0; done < count; done += DETOUR_BYTES) {
    const part = Math.min(DETOUR_BYTES, count - done);
    detour.set(shared.subarray(from + done, from + done + part), phase);
    target.set(detour.subarray(phase, phase + part), at + done);
  }
}

/** Copies all of the source to the place `to` in `shared`, which begins at a word. */
export function copyToShared(source: Uint8Array, shared: Uint8Array, to: number): void {
  if (source.length <= FEW || agree(to, source.byteOffset)) {
    shared.set(source, to);
    return;
  }
  const phase = to & (WORD - 1);
  for (let done = 0; done < source.length; done += DETOUR_BYTES) {
    const part = Math.min(DETOUR_BYTES, source.length - done);
    detour.set(source.subarray(done, done + part), phase);
    shared.set(detour.subarray(phase, phase + part), to + done);
  }
}
