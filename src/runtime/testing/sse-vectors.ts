// Entry of a module for sse.test.ts only: routines with v128 operands cannot be called from JavaScript, so operands
// and results pass through memory. The ids are those of sse.test.ts.

import { sseDotF32x4, sseDotF64x2, sseF32x2ToF64x2, sseF32x2ToI32x2, sseF32x4, sseF32x4ToI32x4, sseF64x2, sseF64x2ToF32x2, sseF64x2ToI32x2, sseI32x2ToF32x2, sseI32x4ToF32x4, sseRoundF32x4, sseRoundF64x2 } from "../sse-packed.ts";
import {
  sseCompareF32, sseCompareF64, sseF32, sseF32ToF64, sseF32ToI32, sseF32ToI64, sseF64, sseF64ToF32, sseF64ToI32, sseF64ToI64, sseI64ToF32, sseI64ToF64, sseRoundF32, sseRoundF64,
} from "../sse.ts";

/** Runs one operation on the 16 bytes at `a` and `b`; the result replaces those at `out`. */
export function runVector(cpu: usize, kind: i32, operation: i32, a: usize, b: usize, out: usize): void {
  const x = v128.load(a);
  const y = v128.load(b);
  switch (kind) {
    case 0: store<i64>(out, sseF64(cpu, operation, load<i64>(a), load<i64>(b))); break;
    case 1: store<i32>(out, sseF32(cpu, operation, load<i32>(a), load<i32>(b))); break;
    case 2: v128.store(out, sseF64x2(cpu, operation, x, y)); break;
    case 3: v128.store(out, sseF32x4(cpu, operation, x, y)); break;
    case 4: store<i64>(out, sseCompareF64(cpu, load<i64>(a), load<i64>(b), operation)); break;
    case 5: store<i64>(out, sseCompareF32(cpu, load<i32>(a), load<i32>(b), operation)); break;
    case 6: store<i64>(out, <u32>sseF64ToI32(cpu, load<i64>(b), operation)); break;
    case 7: store<i64>(out, sseF64ToI64(cpu, load<i64>(b), operation)); break;
    case 8: store<i64>(out, <u32>sseF32ToI32(cpu, load<i32>(b), operation)); break;
    case 9: store<i64>(out, sseF32ToI64(cpu, load<i32>(b), operation)); break;
    case 10: store<i64>(out, sseI64ToF64(cpu, operation != 0 ? load<i64>(b) : <i64>load<i32>(b))); break;
    case 11: store<i32>(out, sseI64ToF32(cpu, operation != 0 ? load<i64>(b) : <i64>load<i32>(b))); break;
    case 12: store<i64>(out, sseF32ToF64(cpu, load<i32>(b))); break;
    case 13: store<i32>(out, sseF64ToF32(cpu, load<i64>(b))); break;
    case 14: store<i64>(out, sseRoundF64(cpu, load<i64>(b), operation)); break;
    case 15: store<i32>(out, sseRoundF32(cpu, load<i32>(b), operation)); break;
    case 16: v128.store(out, sseI32x4ToF32x4(cpu, y)); break;
    case 17: v128.store(out, sseF32x4ToI32x4(cpu, y, operation)); break;
    case 18: v128.store(out, sseF64x2ToI32x2(cpu, y, operation)); break;
    case 19: v128.store(out, sseF32x2ToF64x2(cpu, load<i64>(b))); break;
    case 20: v128.store(out, sseF64x2ToF32x2(cpu, y)); break;
    case 21: store<i64>(out, sseI32x2ToF32x2(cpu, load<i64>(b))); break;
    case 22: store<i64>(out, sseF32x2ToI32x2(cpu, load<i64>(b), operation)); break;
    case 23: v128.store(out, sseRoundF64x2(cpu, y, operation)); break;
    case 24: v128.store(out, sseRoundF32x4(cpu, y, operation)); break;
    case 25: v128.store(out, sseDotF32x4(cpu, x, y, operation)); break;
    case 26: v128.store(out, sseDotF64x2(cpu, x, y, operation)); break;
    default: unreachable();
  }
}
