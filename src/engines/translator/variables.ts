// The guest registers that a region keeps in IR variables, by number: the general ones 0 to 15, then these.

/** Status flags: two values and what they mean (isa/x86/state/flag-kinds.ts). */
export const FLAG_A = 16;
export const FLAG_B = 17;
export const FLAG_KIND = 18;
/** RIP minus the offset in its page; changes only between blocks. */
export const IP_PAGE = 19;
/** Where a block's last instruction goes: condition (i32) or address (i64). */
export const CONDITION = 20;
export const TARGET = 21;

const typesFor = (general: 'i32' | 'i64'): readonly ('i32' | 'i64')[] => [...Array.from({ length: 16 }, () => general), 'i64', 'i64', 'i32', 'i64', 'i32', 'i64'];
const types = { long: typesFor('i64'), short: typesFor('i32') };

/** Type of each variable; general registers are i64 in 64-bit code, else i32. */
export function variableTypes(long: boolean): readonly ('i32' | 'i64')[] {
  return long ? types.long : types.short;
}

/** Sets of variables are bit masks; this one is all of the flags. */
export const FLAGS_MASK = (1 << FLAG_A) | (1 << FLAG_B) | (1 << FLAG_KIND);
