// Status flags of translated code into the state's form (isa/x86/state/flag-kinds.ts, layout.ts FLAGS_RESULT).

import { KIND_ADD, KIND_DEC, KIND_INC, KIND_RAW } from "../isa/x86/state/flag-kinds.ts";
import { FLAGS_CARRY, FLAGS_KIND, FLAGS_RESULT } from "../isa/x86/state/layout.ts";

export function settleFlags(cpu: usize, kind: i32, a: i64, b: i64): void {
  store<u32>(cpu, KIND_RAW, FLAGS_KIND);
  if (kind == KIND_RAW) {
    store<i64>(cpu, a, FLAGS_RESULT);
    store<i64>(cpu, b, FLAGS_CARRY);
    return;
  }
  // Operands at the top of 64 bits: carries out of the top and into it are then at one place for all widths.
  const up: i64 = 64 - (8 << ((kind - 1) & 3));
  if (kind >= KIND_INC) {
    const r = a << up;
    const adjust: i64 = kind >= KIND_DEC ? i64((a & 15) == 15) : i64((a & 15) == 0);
    const overflow: i64 = kind >= KIND_DEC ? i64(r == (i64.MAX_VALUE >> up) << up) : i64(r == i64.MIN_VALUE);
    store<i64>(cpu, r >> up, FLAGS_RESULT);
    store<i64>(cpu, (b << 63) | ((b ^ overflow) << 62) | (adjust << 3), FLAGS_CARRY);
    return;
  }
  const add = kind >= KIND_ADD;
  const r = (add ? a + b : a - b) << up >> up;
  const x = add ? a : ~a;
  const carries = add ? (x & b) | ((x | b) & ~r) : (x & b) | ((x | b) & r);
  store<i64>(cpu, r, FLAGS_RESULT);
  store<i64>(cpu, ((carries << up) & <i64>0xc000000000000000) | (carries & 8), FLAGS_CARRY);
}
