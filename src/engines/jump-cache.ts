import { JUMP_CACHE_BITS, JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_BYTES } from '../isa/x86/state/layout.ts';
import type { Code } from '../wasm/code.ts';

// Where generated code and its makers find a block's entry in a jump cache (isa/x86/state/layout.ts).

const ENTRY_SHIFT = Math.log2(JUMP_CACHE_ENTRY_BYTES);

/** Leaves the address of the entry for the address in a local (i64) on the stack, where that of the cache is. */
export function jumpCacheEntry(code: Code, rip: number): Code {
  code.get(rip).get(rip).i64Const(BigInt(JUMP_CACHE_BITS)).byte(0x88).byte(0x85).byte(0xa7);
  return code.i32Const(ENTRY_SHIFT).byte(0x74).i32Const((JUMP_CACHE_ENTRIES - 1) << ENTRY_SHIFT).byte(0x71).byte(0x6a);
}

/** Offset of the entry in its cache; `rip`: the lower half of the address. */
export function jumpCacheOffset(rip: number): number {
  return ((rip ^ (rip >>> JUMP_CACHE_BITS)) & (JUMP_CACHE_ENTRIES - 1)) << ENTRY_SHIFT;
}
