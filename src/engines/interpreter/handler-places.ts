/** Handlers that stand for no instruction: their places at the start of the function table. */
export const HANDLER_INVALID = 0;
/** Goes on at the address after the block's last instruction. */
export const HANDLER_CONTINUE = 1;
/** The record's code has changed. */
export const HANDLER_STALE = 2;
/** Raises #UD, and #GP(0) for an instruction that is too long. */
export const HANDLER_UNDEFINED = 3;
export const HANDLER_TOO_LONG = 4;
/** Stands before a block's first instruction where a translator asks for it: counts REC_IMMEDIATE (u32) down to 0. */
export const HANDLER_COUNT = 5;
export const FIRST_HANDLER = 6;

/** In REC_LINK: the target must be looked up each time. 0: not known yet. Else the target's record. */
export const LINK_NEVER = 1;
