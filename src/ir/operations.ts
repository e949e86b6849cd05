/**
 * The IR's operations, declared once: name, parameter types, result type, effects. Builder, verifier, printer,
 * lowering and evaluator derive from this table. The numeric operations are WebAssembly's own, by name and meaning
 * (WebAssembly 2.0, sections 4.3 and 5.4), so that lowering one is writing its opcode.
 */
export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** What an operation does besides computing its result. 'pure' ones may be moved, merged and dropped. */
export type Effect = 'pure' | 'reads-state' | 'writes-state' | 'reads-memory' | 'writes-memory' | 'call' | 'variable' | 'control' | 'transfer';

export interface Operation {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly result: ValueType | 'none';
  readonly effect: Effect;
  /** May make a fault pending and leave the block. */
  readonly mayFault: boolean;
  /** Opcode bytes of a numeric operation (0xfd-prefixed ones as LEB128), undefined for the others. */
  readonly wasm: readonly number[] | undefined;
  /** The operation has a lane number as its immediate. */
  readonly lane: boolean;
}

const list: Operation[] = [];
const byName = new Map<string, number>();

function declare(name: string, params: readonly ValueType[], result: ValueType | 'none', effect: Effect, extra: { mayFault?: boolean; wasm?: readonly number[]; lane?: boolean } = {}): void {
  byName.set(name, list.length);
  list.push({ name, params, result, effect, mayFault: extra.mayFault ?? false, wasm: extra.wasm, lane: extra.lane ?? false });
}

const types: Record<string, ValueType> = { i: 'i32', I: 'i64', f: 'f32', d: 'f64', v: 'v128' };

/** `name opcode signature` triples; the signature's last letter is the result. */
function numeric(prefix: string, text: string): void {
  for (const entry of text.trim().split(/\s*[,\n]\s*/)) {
    if (entry === '') continue;
    const [name, code, signature, lane] = entry.split(' ') as [string, string, string, string?];
    const params = [...signature.slice(0, -1)].map((letter) => types[letter]!);
    const result = types[signature.slice(-1)]!;
    const opcode = Number.parseInt(code, 16);
    const wasm = prefix === 'v128' ? [0xfd, ...leb(opcode)] : prefix === 'misc' ? [0xfc, opcode] : [opcode];
    declare(name, params, result, 'pure', { wasm, lane: lane === 'lane' });
  }
}

function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, value >> 7];
}

for (const [p, t] of [['i32', 'i'], ['i64', 'I']] as const) {
  const compare = t === 'i' ? 0x45 : 0x50;
  declare(`${p}.eqz`, [p], 'i32', 'pure', { wasm: [compare] });
  ['eq', 'ne', 'lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'le_u', 'ge_s', 'ge_u'].forEach((name, i) =>
    declare(`${p}.${name}`, [p, p], 'i32', 'pure', { wasm: [compare + 1 + i] }));
  const unary = t === 'i' ? 0x67 : 0x79;
  ['clz', 'ctz', 'popcnt'].forEach((name, i) => declare(`${p}.${name}`, [p], p, 'pure', { wasm: [unary + i] }));
  // Division traps in wasm: whoever emits it has checked the divisor.
  ['add', 'sub', 'mul', 'div_s', 'div_u', 'rem_s', 'rem_u', 'and', 'or', 'xor', 'shl', 'shr_s', 'shr_u', 'rotl', 'rotr'].forEach((name, i) =>
    declare(`${p}.${name}`, [p, p], p, 'pure', { wasm: [unary + 3 + i] }));
}
for (const [p, compare, unary] of [['f32', 0x5b, 0x8b], ['f64', 0x61, 0x99]] as const) {
  ['eq', 'ne', 'lt', 'gt', 'le', 'ge'].forEach((name, i) => declare(`${p}.${name}`, [p, p], 'i32', 'pure', { wasm: [compare + i] }));
  ['abs', 'neg', 'ceil', 'floor', 'trunc', 'nearest', 'sqrt'].forEach((name, i) => declare(`${p}.${name}`, [p], p, 'pure', { wasm: [unary + i] }));
  ['add', 'sub', 'mul', 'div', 'min', 'max', 'copysign'].forEach((name, i) => declare(`${p}.${name}`, [p, p], p, 'pure', { wasm: [unary + 7 + i] }));
}
numeric('', `i32.wrap_i64 a7 Ii, i64.extend_i32_s ac iI, i64.extend_i32_u ad iI
i32.extend8_s c0 ii, i32.extend16_s c1 ii, i64.extend8_s c2 II, i64.extend16_s c3 II, i64.extend32_s c4 II
f32.convert_i32_s b2 if, f32.convert_i32_u b3 if, f32.convert_i64_s b4 If, f32.convert_i64_u b5 If, f32.demote_f64 b6 df
f64.convert_i32_s b7 id, f64.convert_i32_u b8 id, f64.convert_i64_s b9 Id, f64.convert_i64_u ba Id, f64.promote_f32 bb fd
i32.reinterpret_f32 bc fi, i64.reinterpret_f64 bd dI, f32.reinterpret_i32 be if, f64.reinterpret_i64 bf Id`);
numeric('misc', `i32.trunc_sat_f32_s 0 fi, i32.trunc_sat_f64_s 2 di, i64.trunc_sat_f32_s 4 fI, i64.trunc_sat_f64_s 6 dI`);
numeric('v128', `i8x16.swizzle e vvv, i8x16.splat f iv, i16x8.splat 10 iv, i32x4.splat 11 iv, i64x2.splat 12 Iv, f32x4.splat 13 fv, f64x2.splat 14 dv
i8x16.extract_lane_s 15 vi lane, i8x16.extract_lane_u 16 vi lane, i8x16.replace_lane 17 viv lane
i16x8.extract_lane_s 18 vi lane, i16x8.extract_lane_u 19 vi lane, i16x8.replace_lane 1a viv lane
i32x4.extract_lane 1b vi lane, i32x4.replace_lane 1c viv lane, i64x2.extract_lane 1d vI lane, i64x2.replace_lane 1e vIv lane
f32x4.extract_lane 1f vf lane, f32x4.replace_lane 20 vfv lane, f64x2.extract_lane 21 vd lane, f64x2.replace_lane 22 vdv lane
i8x16.eq 23 vvv, i8x16.ne 24 vvv, i8x16.lt_s 25 vvv, i8x16.lt_u 26 vvv, i8x16.gt_s 27 vvv, i8x16.gt_u 28 vvv, i8x16.le_s 29 vvv, i8x16.le_u 2a vvv, i8x16.ge_s 2b vvv, i8x16.ge_u 2c vvv
i16x8.eq 2d vvv, i16x8.ne 2e vvv, i16x8.lt_s 2f vvv, i16x8.lt_u 30 vvv, i16x8.gt_s 31 vvv, i16x8.gt_u 32 vvv, i16x8.le_s 33 vvv, i16x8.le_u 34 vvv, i16x8.ge_s 35 vvv, i16x8.ge_u 36 vvv
i32x4.eq 37 vvv, i32x4.ne 38 vvv, i32x4.lt_s 39 vvv, i32x4.lt_u 3a vvv, i32x4.gt_s 3b vvv, i32x4.gt_u 3c vvv, i32x4.le_s 3d vvv, i32x4.le_u 3e vvv, i32x4.ge_s 3f vvv, i32x4.ge_u 40 vvv
f32x4.eq 41 vvv, f32x4.ne 42 vvv, f32x4.lt 43 vvv, f32x4.gt 44 vvv, f32x4.le 45 vvv, f32x4.ge 46 vvv
f64x2.eq 47 vvv, f64x2.ne 48 vvv, f64x2.lt 49 vvv, f64x2.gt 4a vvv, f64x2.le 4b vvv, f64x2.ge 4c vvv
v128.not 4d vv, v128.and 4e vvv, v128.andnot 4f vvv, v128.or 50 vvv, v128.xor 51 vvv, v128.bitselect 52 vvvv, v128.any_true 53 vi
f32x4.demote_f64x2_zero 5e vv, f64x2.promote_low_f32x4 5f vv
i8x16.abs 60 vv, i8x16.neg 61 vv, i8x16.popcnt 62 vv, i8x16.all_true 63 vi, i8x16.bitmask 64 vi, i8x16.narrow_i16x8_s 65 vvv, i8x16.narrow_i16x8_u 66 vvv
i8x16.shl 6b viv, i8x16.shr_s 6c viv, i8x16.shr_u 6d viv, i8x16.add 6e vvv, i8x16.add_sat_s 6f vvv, i8x16.add_sat_u 70 vvv, i8x16.sub 71 vvv, i8x16.sub_sat_s 72 vvv, i8x16.sub_sat_u 73 vvv
i8x16.min_s 76 vvv, i8x16.min_u 77 vvv, i8x16.max_s 78 vvv, i8x16.max_u 79 vvv, i8x16.avgr_u 7b vvv
i16x8.extadd_pairwise_i8x16_s 7c vv, i16x8.extadd_pairwise_i8x16_u 7d vv, i32x4.extadd_pairwise_i16x8_s 7e vv, i32x4.extadd_pairwise_i16x8_u 7f vv
i16x8.abs 80 vv, i16x8.neg 81 vv, i16x8.q15mulr_sat_s 82 vvv, i16x8.all_true 83 vi, i16x8.bitmask 84 vi, i16x8.narrow_i32x4_s 85 vvv, i16x8.narrow_i32x4_u 86 vvv
i16x8.extend_low_i8x16_s 87 vv, i16x8.extend_high_i8x16_s 88 vv, i16x8.extend_low_i8x16_u 89 vv, i16x8.extend_high_i8x16_u 8a vv
i16x8.shl 8b viv, i16x8.shr_s 8c viv, i16x8.shr_u 8d viv, i16x8.add 8e vvv, i16x8.add_sat_s 8f vvv, i16x8.add_sat_u 90 vvv, i16x8.sub 91 vvv, i16x8.sub_sat_s 92 vvv, i16x8.sub_sat_u 93 vvv
i16x8.mul 95 vvv, i16x8.min_s 96 vvv, i16x8.min_u 97 vvv, i16x8.max_s 98 vvv, i16x8.max_u 99 vvv, i16x8.avgr_u 9b vvv
i16x8.extmul_low_i8x16_s 9c vvv, i16x8.extmul_high_i8x16_s 9d vvv, i16x8.extmul_low_i8x16_u 9e vvv, i16x8.extmul_high_i8x16_u 9f vvv
i32x4.abs a0 vv, i32x4.neg a1 vv, i32x4.all_true a3 vi, i32x4.bitmask a4 vi
i32x4.extend_low_i16x8_s a7 vv, i32x4.extend_high_i16x8_s a8 vv, i32x4.extend_low_i16x8_u a9 vv, i32x4.extend_high_i16x8_u aa vv
i32x4.shl ab viv, i32x4.shr_s ac viv, i32x4.shr_u ad viv, i32x4.add ae vvv, i32x4.sub b1 vvv, i32x4.mul b5 vvv
i32x4.min_s b6 vvv, i32x4.min_u b7 vvv, i32x4.max_s b8 vvv, i32x4.max_u b9 vvv, i32x4.dot_i16x8_s ba vvv
i32x4.extmul_low_i16x8_s bc vvv, i32x4.extmul_high_i16x8_s bd vvv, i32x4.extmul_low_i16x8_u be vvv, i32x4.extmul_high_i16x8_u bf vvv
i64x2.abs c0 vv, i64x2.neg c1 vv, i64x2.all_true c3 vi, i64x2.bitmask c4 vi
i64x2.extend_low_i32x4_s c7 vv, i64x2.extend_high_i32x4_s c8 vv, i64x2.extend_low_i32x4_u c9 vv, i64x2.extend_high_i32x4_u ca vv
i64x2.shl cb viv, i64x2.shr_s cc viv, i64x2.shr_u cd viv, i64x2.add ce vvv, i64x2.sub d1 vvv, i64x2.mul d5 vvv
i64x2.eq d6 vvv, i64x2.ne d7 vvv, i64x2.lt_s d8 vvv, i64x2.gt_s d9 vvv, i64x2.le_s da vvv, i64x2.ge_s db vvv
i64x2.extmul_low_i32x4_s dc vvv, i64x2.extmul_high_i32x4_s dd vvv, i64x2.extmul_low_i32x4_u de vvv, i64x2.extmul_high_i32x4_u df vvv
f32x4.abs e0 vv, f32x4.neg e1 vv, f32x4.sqrt e3 vv, f32x4.add e4 vvv, f32x4.sub e5 vvv, f32x4.mul e6 vvv, f32x4.div e7 vvv, f32x4.pmin ea vvv, f32x4.pmax eb vvv
f64x2.abs ec vv, f64x2.neg ed vv, f64x2.sqrt ef vv, f64x2.add f0 vvv, f64x2.sub f1 vvv, f64x2.mul f2 vvv, f64x2.div f3 vvv, f64x2.pmin f6 vvv, f64x2.pmax f7 vvv
f32x4.ceil 67 vv, f32x4.floor 68 vv, f32x4.trunc 69 vv, f32x4.nearest 6a vv, f64x2.ceil 74 vv, f64x2.floor 75 vv, f64x2.trunc 7a vv, f64x2.nearest 94 vv
i32x4.trunc_sat_f32x4_s f8 vv, f32x4.convert_i32x4_s fa vv, i32x4.trunc_sat_f64x2_s_zero fc vv, f64x2.convert_low_i32x4_s fe vv`);
// Lane pattern (16 bytes) in the constant table.
declare('i8x16.shuffle', ['v128', 'v128'], 'v128', 'pure', { wasm: [0xfd, 0x0d] });

/** Constants: the value is in the immediate (v128: index in the constant table). */
for (const type of ['i32', 'i64', 'v128'] as const) declare(`const.${type}`, [], type, 'pure');
/** select(a, b, condition): a when the condition is not 0. */
/** A constant that is known only when the code is put into a module; the immediate says which. */
declare('linked.i32', [], 'i32', 'pure');
for (const type of ['i32', 'i64', 'f32', 'f64', 'v128'] as const) declare(`select.${type}`, [type, type, 'i32'], type, 'pure');

/**
 * Guest processor state. The immediate is the byte offset in the vCPU block, plus the operand where there is one
 * (`.at`: an offset known only when the instruction runs, as in the interpreter).
 */
for (const [suffix, type] of [['8u', 'i32'], ['8s', 'i32'], ['16u', 'i32'], ['16s', 'i32'], ['32', 'i32'], ['64', 'i64'], ['f32', 'f32'], ['f64', 'f64'], ['v128', 'v128']] as const) {
  declare(`state.load${suffix}`, [], type, 'reads-state');
  declare(`state.load${suffix}.at`, ['i32'], type, 'reads-state');
}
for (const [suffix, type] of [['8', 'i32'], ['16', 'i32'], ['32', 'i32'], ['64', 'i64'], ['f32', 'f32'], ['f64', 'f64'], ['v128', 'v128']] as const) {
  declare(`state.store${suffix}`, [type], 'none', 'writes-state');
  declare(`state.store${suffix}.at`, ['i32', type], 'none', 'writes-state');
}
/** Fields of the decoded record that runs (interpreter only); the immediate is the offset in the record. */
declare('field.8u', [], 'i32', 'pure');
declare('field.16u', [], 'i32', 'pure');
declare('field.32', [], 'i32', 'pure');
declare('field.64', [], 'i64', 'pure');

/**
 * Guest memory by linear address, through the software TLB. `.write`-loads check the right to write as well. A 16-byte
 * load's immediate is 32 where it begins an access of 32 bytes, which is allowed or not as a whole.
 */
for (const [suffix, type] of [['8', 'i32'], ['16', 'i32'], ['32', 'i32'], ['64', 'i64'], ['v128', 'v128']] as const) {
  declare(`memory.load${suffix}`, ['i64'], type, 'reads-memory', { mayFault: true });
  if (suffix !== 'v128') declare(`memory.load${suffix}.write`, ['i64'], type, 'reads-memory', { mayFault: true });
  declare(`memory.store${suffix}`, ['i64', type], 'none', 'writes-memory', { mayFault: true });
}

/**
 * Read-modify-write of guest memory that no other processor sees halves of: the result is the value before. The address may be
 * misaligned; which accesses it is atomic to then is the memory's affair.
 */
export const atomicOperations = ['add', 'sub', 'and', 'or', 'xor', 'xchg'] as const;
export type AtomicOperation = (typeof atomicOperations)[number];
for (const [suffix, type] of [['8', 'i32'], ['16', 'i32'], ['32', 'i32'], ['64', 'i64']] as const) {
  for (const name of atomicOperations) declare(`atomic.${name}${suffix}`, ['i64', type], type, 'writes-memory', { mayFault: true });
  // Address, what must be there (zero-extended), what is written then.
  declare(`atomic.cmpxchg${suffix}`, ['i64', type, type], type, 'writes-memory', { mayFault: true });
}
/** Accesses before it are seen by other processors before those behind it. */
declare('fence', [], 'none', 'writes-memory');

/** Call of a runtime routine: immediate = index in the routine list, arguments in the argument pool. */
declare('call.none', [], 'none', 'call', { mayFault: true });
for (const type of ['i32', 'i64', 'f64', 'v128'] as const) declare(`call.${type}`, [], type, 'call', { mayFault: true });

/** Variables carry values out of control flow; the immediate is the variable's number. */
for (const type of ['i32', 'i64', 'f32', 'f64', 'v128'] as const) {
  declare(`variable.get.${type}`, [], type, 'variable');
  declare(`variable.set.${type}`, [type], 'none', 'variable');
}

/** Structured control flow of the guest's own conditions; an `if` whose immediate is 1 hardly ever holds. */
declare('if', ['i32'], 'none', 'control');
declare('else', [], 'none', 'control');
declare('end', [], 'none', 'control');
declare('loop', [], 'none', 'control');
/** Goes back to the start of the innermost loop when the condition is not 0. */
declare('again', ['i32'], 'none', 'control');
/** Leaves the block with the given code; execution goes on where the code says. */
declare('leave', ['i32'], 'none', 'control');
/** Leaves when the code is not 0. */
declare('leave.nonzero', ['i32'], 'none', 'control');
/**
 * Terminals: go to the next instruction; to the direct branch's target (always, or on a condition; the immediate is the
 * width that the instruction pointer is cut to); to an address.
 */
declare('next', [], 'none', 'transfer');
declare('jump.relative', [], 'none', 'transfer');
declare('jump.relative.if', ['i32'], 'none', 'transfer');
declare('jump.indirect', ['i64'], 'none', 'transfer');
/**
 * What the translator puts between instructions, whose registers are variables: where an instruction begins (the
 * immediate packs its place); the state is made complete for a routine that looks at registers, or the variables are taken
 * from it again; and the way out when the running code was overwritten.
 */
declare('position', [], 'none', 'transfer');
declare('spill', [], 'none', 'transfer');
declare('reload', [], 'none', 'transfer');
declare('leave.stale', [], 'none', 'transfer');

export const operations: readonly Operation[] = list;

/** Number of an operation by name; throws on a name that is not in the table (a bug of ours). */
export function operationNumber(name: string): number {
  const number = byName.get(name);
  if (number === undefined) throw new Error(`IR has no operation ${name}`);
  return number;
}
