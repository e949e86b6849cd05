import { VECTOR } from '../state/layout.ts';
import type { SemanticsTable } from './context.ts';
import { binary, shuffle } from './vector.ts';
import type { Lanes } from './vector.ts';

// AES-NI, PCLMULQDQ and SHA (SDM 1, 12.13 to 12.15): the steps are routines, but for exclusive-ors.

export const cryptoLanes: Readonly<Record<string, Lanes>> = {
  aesenc: (x, a, c) => x.call('aesEncrypt', [a, c, x.b.i32(0)]),
  aesenclast: (x, a, c) => x.call('aesEncrypt', [a, c, x.b.i32(1)]),
  aesdec: (x, a, c) => x.call('aesDecrypt', [a, c, x.b.i32(0)]),
  aesdeclast: (x, a, c) => x.call('aesDecrypt', [a, c, x.b.i32(1)]),
  aesimc: (x, _, c) => x.call('aesInverseMix', [c]),
  aeskeygenassist: (x, _, c) => x.call('aesKeyAssist', [c, x.immediate(8)]),
  pclmulqdq: (x, a, c) => x.call('carrylessMultiply', [a, c, x.immediate(8)]),
};

/** Never VEX-encoded. */
const shaLanes: Readonly<Record<string, Lanes>> = {
  sha1rnds4: (x, a, c) => x.call('sha1Rounds', [a, c, x.immediate(8)]),
  sha1nexte: (x, a, c) => x.call('sha1NextE', [a, c]),
  // Words 2, 1, 0 of the first operand and word 3 of the second, against those two places before.
  sha1msg1: (x, a, c) => x.b.op('v128.xor', [a, shuffle([24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5, 6, 7])(x, a, c)]),
  sha1msg2: (x, a, c) => x.call('sha1Message', [a, c]),
  sha256rnds2: (x, a, c) => x.call('sha256Rounds', [a, c, x.b.loadState('64', VECTOR)]),
  sha256msg1: (x, a, c) => x.call('sha256Message1', [a, c]),
  sha256msg2: (x, a, c) => x.call('sha256Message2', [a, c]),
};

export const crypto: SemanticsTable = Object.fromEntries(Object.entries({ ...cryptoLanes, ...shaLanes }).map(([name, operation]) => [name, binary(operation)]));
