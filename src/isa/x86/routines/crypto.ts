import type { RoutineTable } from './routine.ts';

/** src/runtime/aes.ts and sha.ts. */
export const cryptoRoutines = {
  /** state, round key, 1 in the last round. */
  aesEncrypt: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'pure' },
  aesDecrypt: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'pure' },
  aesInverseMix: { params: ['v128'], result: 'v128', kind: 'pure' },
  /** key, round constant. */
  aesKeyAssist: { params: ['v128', 'i32'], result: 'v128', kind: 'pure' },
  /** a, b, imm8. */
  carrylessMultiply: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'pure' },
  /** destination, source; imm8, or two words of message and constant. */
  sha1Rounds: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'pure' },
  sha1NextE: { params: ['v128', 'v128'], result: 'v128', kind: 'pure' },
  sha1Message: { params: ['v128', 'v128'], result: 'v128', kind: 'pure' },
  sha256Rounds: { params: ['v128', 'v128', 'i64'], result: 'v128', kind: 'pure' },
  sha256Message1: { params: ['v128', 'v128'], result: 'v128', kind: 'pure' },
  sha256Message2: { params: ['v128', 'v128'], result: 'v128', kind: 'pure' },
} as const satisfies RoutineTable;
