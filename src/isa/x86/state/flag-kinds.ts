// Status flags as translated code keeps them: a kind and two values, from which settleFlags makes FLAGS_RESULT and
// FLAGS_CARRY when somebody asks. Plain numeric constants, shared with src/runtime. Of the kinds SUB to DEC there are
// four each, for operands of 8, 16, 32 and 64 bits; operands are zero-extended.

/** The values are FLAGS_RESULT and FLAGS_CARRY themselves. */
export const KIND_RAW = 0;
/** a - b. */
export const KIND_SUB = 1;
/** a + b. */
export const KIND_ADD = 5;
/** a = the result of adding 1 (subtracting 1), b = CF, which stays. */
export const KIND_INC = 9;
export const KIND_DEC = 13;
