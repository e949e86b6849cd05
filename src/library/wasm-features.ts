/** A module with a vector constant, a tail call and shared memory: what generated code needs beyond WebAssembly 1.0. */
const PROBE = Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // header
  1, 4, 1, 0x60, 0, 0, // type: [] -> []
  3, 2, 1, 0, // one function of it
  5, 4, 1, 3, 1, 1, // memory: shared, 1 page
  10, 25, 1, 23, 0, 0xfd, 12, ...new Array<number>(16).fill(0), 0x1a, 0x12, 0, 0x0b, // v128.const 0; drop; return_call 0
);

/** Why generated code cannot run in this JavaScript engine, which the answer calls `host`; undefined: it can. */
export function wasmProblem(host: string): string | undefined {
  try {
    void new WebAssembly.Module(PROBE);
    return undefined;
  } catch (error) {
    return `${host} lacks WebAssembly tail calls, vectors or shared memory (${(error as Error).message})`;
  }
}
