import { describe, expect, test } from 'vitest';
import { CR4, FAULT_PENDING, FAULT_VECTOR, MXCSR, VECTOR_UD, VECTOR_XM } from '../isa/x86/state/layout.ts';
import { instantiateRuntimeFile, nativeUnavailable, randomWords, runNative } from '../../test/support/native.ts';

// Every operation on pairs of edge values and random ones, against the host processor: results and MXCSR to the bit.

type Lane = 'f32' | 'f64' | 'i32' | 'i64';
interface Operation {
  readonly name: string;
  /** Kind and operation of testing/sse-vectors.ts. */
  readonly kind: number;
  readonly operation: number;
  /** x: xmm destination; g: general register; f: EFLAGS. */
  readonly result: 'x' | 'g' | 'f';
  readonly asm: string;
  readonly lane: Lane;
}

const operations: Operation[] = [];
const names = ['add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max'];
for (const [kind, suffix, lane] of [[0, 'sd', 'f64'], [1, 'ss', 'f32'], [2, 'pd', 'f64'], [3, 'ps', 'f32']] as const) {
  names.forEach((name, operation) => operations.push({ name: name + suffix, kind, operation, result: 'x', asm: `${name}${suffix} %1, %0`, lane }));
  for (let predicate = 0; predicate < 8; predicate++) {
    operations.push({ name: `cmp${suffix} ${predicate}`, kind, operation: 8 + predicate, result: 'x', asm: `cmp${suffix} $${predicate}, %1, %0`, lane });
  }
}
const more: [string, number, number, 'x' | 'g' | 'f', string, Lane][] = [
  ['addsubpd', 2, 7, 'x', 'addsubpd %1, %0', 'f64'], ['addsubps', 3, 7, 'x', 'addsubps %1, %0', 'f32'],
  ['comisd', 4, 1, 'f', 'comisd %1, %0', 'f64'], ['ucomisd', 4, 0, 'f', 'ucomisd %1, %0', 'f64'],
  ['comiss', 5, 1, 'f', 'comiss %1, %0', 'f32'], ['ucomiss', 5, 0, 'f', 'ucomiss %1, %0', 'f32'],
  ['cvtsd2si', 6, 0, 'g', 'cvtsd2si %1, %k0', 'f64'], ['cvttsd2si', 6, 1, 'g', 'cvttsd2si %1, %k0', 'f64'],
  ['cvtsd2siq', 7, 0, 'g', 'cvtsd2siq %1, %q0', 'f64'], ['cvttsd2siq', 7, 1, 'g', 'cvttsd2siq %1, %q0', 'f64'],
  ['cvtss2si', 8, 0, 'g', 'cvtss2si %1, %k0', 'f32'], ['cvttss2si', 8, 1, 'g', 'cvttss2si %1, %k0', 'f32'],
  ['cvtss2siq', 9, 0, 'g', 'cvtss2siq %1, %q0', 'f32'], ['cvttss2siq', 9, 1, 'g', 'cvttss2siq %1, %q0', 'f32'],
  ['cvtsi2sd', 10, 0, 'x', 'cvtsi2sdl %1, %0', 'i32'], ['cvtsi2sdq', 10, 1, 'x', 'cvtsi2sdq %1, %0', 'i64'],
  ['cvtsi2ss', 11, 0, 'x', 'cvtsi2ssl %1, %0', 'i32'], ['cvtsi2ssq', 11, 1, 'x', 'cvtsi2ssq %1, %0', 'i64'],
  ['cvtss2sd', 12, 0, 'x', 'cvtss2sd %1, %0', 'f32'], ['cvtsd2ss', 13, 0, 'x', 'cvtsd2ss %1, %0', 'f64'],
  ['cvtdq2ps', 16, 0, 'x', 'cvtdq2ps %1, %0', 'i32'], ['cvtps2dq', 17, 0, 'x', 'cvtps2dq %1, %0', 'f32'], ['cvttps2dq', 17, 1, 'x', 'cvttps2dq %1, %0', 'f32'],
  ['cvtpd2dq', 18, 0, 'x', 'cvtpd2dq %1, %0', 'f64'], ['cvttpd2dq', 18, 1, 'x', 'cvttpd2dq %1, %0', 'f64'],
  ['cvtps2pd', 19, 0, 'x', 'cvtps2pd %1, %0', 'f32'], ['cvtpd2ps', 20, 0, 'x', 'cvtpd2ps %1, %0', 'f64'],
  ['cvtpi2ps', 21, 0, 'x', 'cvtpi2ps %1, %0; emms', 'i32'],
  ['cvtps2pi', 22, 0, 'x', 'cvtps2pi %1, %%mm0; movq2dq %%mm0, %%xmm9; emms; movsd %%xmm9, %0', 'f32'],
  ['cvttps2pi', 22, 1, 'x', 'cvttps2pi %1, %%mm0; movq2dq %%mm0, %%xmm9; emms; movsd %%xmm9, %0', 'f32'],
  ...[0, 1, 2, 3, 4, 12].flatMap((imm): typeof more => [
    [`roundsd ${imm}`, 14, imm, 'x', `roundsd $${imm}, %1, %0`, 'f64'], [`roundss ${imm}`, 15, imm, 'x', `roundss $${imm}, %1, %0`, 'f32'],
    [`roundpd ${imm}`, 23, imm, 'x', `roundpd $${imm}, %1, %0`, 'f64'], [`roundps ${imm}`, 24, imm, 'x', `roundps $${imm}, %1, %0`, 'f32'],
  ]),
  ...[0xff, 0x71, 0x35, 0xf2].map((imm): (typeof more)[number] => [`dpps ${imm}`, 25, imm, 'x', `dpps $${imm}, %1, %0`, 'f32']),
  ...[0x33, 0x12, 0x21].map((imm): (typeof more)[number] => [`dppd ${imm}`, 26, imm, 'x', `dppd $${imm}, %1, %0`, 'f64']),
];
operations.push(...more.map(([name, kind, operation, result, asm, lane]) => ({ name, kind, operation, result, asm, lane })));

const program = `
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <setjmp.h>
#include <ucontext.h>
typedef int v4 __attribute__((vector_size(16)));
struct in { uint32_t id, mxcsr; unsigned char a[16], b[16]; };
struct out { unsigned char r[16]; uint32_t mxcsr, fault; };
static sigjmp_buf back; static volatile uint32_t caught;
static void onfpe(int s, siginfo_t *i, void *c) { caught = ((ucontext_t *)c)->uc_mcontext.fpregs->mxcsr; siglongjmp(back, 1); }
int main(void) {
  struct sigaction sa; memset(&sa, 0, sizeof sa); sa.sa_sigaction = onfpe; sa.sa_flags = SA_SIGINFO | SA_NODEFER; sigaction(SIGFPE, &sa, 0);
  static struct in in; static struct out out; uint32_t normal = 0x1f80;
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    static v4 x, y; static uint64_t g; static uint32_t after;
    memcpy(&x, in.a, 16); memcpy(&y, in.b, 16); g = 0;
    memset(&out, 0, sizeof out);
    if (sigsetjmp(back, 1) == 0) {
      register v4 d __asm__("xmm0") = x; register v4 s __asm__("xmm1") = y;
      switch (in.id) {
${operations.map((operation, id) => {
  const source = operation.kind === 10 || operation.kind === 11 || operation.kind === 21 ? '"m"(y)' : '"x"(s)';
  const after = 'memset(&x, 0, 16); memcpy(&x, &g, 8); break;';
  const start = '"ldmxcsr %[control]; ';
  const operands = '[after] "m"(after), [control] "m"(in.mxcsr), [normal] "m"(normal)';
  if (operation.result === 'x') return `case ${id}: __asm__ volatile(${start}${operation.asm}; stmxcsr %[after]; ldmxcsr %[normal]" : "+x"(d) : ${source}, ${operands} : "xmm9", "memory"); x = d; break;`;
  if (operation.result === 'g') return `case ${id}: __asm__ volatile(${start}${operation.asm}; stmxcsr %[after]; ldmxcsr %[normal]" : "+r"(g) : ${source}, ${operands} : "memory"); ${after}`;
  return `case ${id}: __asm__ volatile(${start}${operation.asm.replace('%1', '%2')}; pushfq; popq %[flags]; stmxcsr %[after]; ldmxcsr %[normal]" : "+x"(d), [flags] "=&r"(g) : ${source}, ${operands} : "memory", "cc"); g &= 0x8d5; ${after}`;
}).join('\n')}
      }
      memcpy(out.r, &x, 16); out.mxcsr = after;
    } else { out.fault = 1; out.mxcsr = caught; }
    fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}`;

const f64Edges = [
  0x0000000000000000n, 0x0000000000000001n, 0x000fffffffffffffn, 0x0008000000000000n, 0x0010000000000000n, 0x0010000000000001n, 0x3ff0000000000000n, 0x3fefffffffffffffn, 0x3ff0000000000001n,
  0x4000000000000000n, 0x3fe0000000000000n, 0x3fdfffffffffffffn, 0x3ff8000000000000n, 0x4004000000000000n, 0x400921fb54442d18n, 0x7fefffffffffffffn, 0x7fe0000000000000n, 0x7ff0000000000000n,
  0x7ff8000000000000n, 0x7ff8000000000123n, 0x7ff0000000000001n, 0x7ff4000000000abcn, 0x41dfffffffc00000n, 0x41dfffffffe00000n, 0x41e0000000000000n, 0x43e0000000000000n, 0x43dfffffffffffffn,
  0x4330000000000001n, 0x432fffffffffffffn, 0x1ff0000000000000n, 0x2000000000000001n, 0x5ff0000000000000n, 0x380fffffe0000001n, 0x380fffffffffffffn, 0x36a0000000000000n, 0x3690000000000000n, 0x47efffffe0000000n, 0x47effffff0000000n,
];
const f32Edges = [
  0x00000000n, 0x00000001n, 0x007fffffn, 0x00400000n, 0x00800000n, 0x00800001n, 0x3f800000n, 0x3f7fffffn, 0x3f800001n, 0x40000000n, 0x3f000000n, 0x3effffffn, 0x3fc00000n, 0x40200000n, 0x40490fdbn,
  0x7f7fffffn, 0x7f000000n, 0x7f800000n, 0x7fc00000n, 0x7fc00123n, 0x7f800001n, 0x7fa00abcn, 0x4effffffn, 0x4f000000n, 0x5f000000n, 0x5effffffn, 0x4b000001n, 0x4affffffn, 0x1f800000n, 0x20000001n, 0x5f800001n,
];
const integerEdges = [0n, 1n, -1n, 0x7fffffffn, -0x80000000n, 0x1000001n, 0x1ffffffn, 0x3000001n, 0x7fffffffffffffffn, -0x8000000000000000n, 0x20000000000001n, 0x7ffffffffffffc00n, 0x7ffffffffffffe01n];
const signed = (values: readonly bigint[], bits: bigint): bigint[] => values.flatMap((value) => [value, value | (1n << (bits - 1n))]);

/** Control words: rounding modes, DAZ and FTZ, exceptions unmasked one by one. */
const controls = [0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x1fc0, 0x9f80, 0x9fc0, 0xbfc0, 0xff80, 0x1f00, 0x1e80, 0x1d80, 0x1b80, 0x1780, 0x0f80, 0x8f80, 0x0000];

interface Vector {
  readonly id: number;
  readonly mxcsr: number;
  readonly a: readonly [bigint, bigint];
  readonly b: readonly [bigint, bigint];
}

function vectors(): Vector[] {
  const random = randomWords(0x1234_5678_9abc_def1n);
  const pick = (values: readonly bigint[]): bigint => values[Number(random() % BigInt(values.length))]!;
  const f64 = signed(f64Edges, 64n);
  const f32 = signed(f32Edges, 32n);
  const lane32 = (): bigint => (random() % 3n === 0n ? BigInt.asUintN(32, random()) : pick(f32));
  const near = (value: bigint, shift: bigint): bigint => value ^ ((random() % 33n - 16n) << shift);
  const word = (lane: Lane): bigint => {
    if (lane === 'f64') {
      const choice = random() % 4n;
      if (choice === 0n) return random();
      // Exponents near one another, so that sums cancel and products meet the limits.
      return choice === 1n ? BigInt.asUintN(64, near(pick(f64), 52n) ^ (random() >> 40n)) : pick(f64);
    }
    if (lane === 'f32') return lane32() | (lane32() << 32n);
    if (lane === 'i64') return BigInt.asUintN(64, random() % 2n === 0n ? pick(integerEdges) : BigInt.asIntN(64, random()) >> (random() % 64n));
    return BigInt.asUintN(32, random() >> (random() % 32n)) | (BigInt.asUintN(32, pick(integerEdges)) << 32n);
  };
  const list: Vector[] = [];
  operations.forEach((operation, id) => {
    const scalar = operation.kind < 2 || operation.kind === 4 || operation.kind === 5;
    if (scalar && !operation.name.startsWith('cmp')) {
      const edges = operation.lane === 'f64' ? f64 : f32;
      for (const a of edges) for (const b of edges) list.push({ id, mxcsr: controls[list.length % controls.length]!, a: [a, 0n], b: [b, 0n] });
    }
    for (let i = 0; i < 600; i++) {
      list.push({ id, mxcsr: controls[i % controls.length]!, a: [word(operation.lane), word(operation.lane)], b: [word(operation.lane), word(operation.lane)] });
    }
  });
  return list;
}

const CPU = 0x100000;
const A = 0x8000;
const B = 0x8010;
const OUT = 0x8020;
const { exports, memory } = instantiateRuntimeFile('testing/sse-vectors.ts');
const runVector = exports['runVector'] as unknown as (...args: number[]) => void;

function run(vector: Vector): { result: [bigint, bigint]; mxcsr: number; fault: number } {
  const view = new DataView(memory.buffer);
  const operation = operations[vector.id]!;
  view.setUint32(CPU + MXCSR, vector.mxcsr, true);
  view.setUint32(CPU + CR4, 0x600, true);
  view.setUint32(CPU + FAULT_PENDING, 0, true);
  [vector.a[0], vector.a[1], vector.b[0], vector.b[1]].forEach((value, i) => view.setBigUint64(A + i * 8, value, true));
  view.setBigUint64(OUT, operation.result === 'x' ? vector.a[0] : 0n, true);
  view.setBigUint64(OUT + 8, operation.result === 'x' ? vector.a[1] : 0n, true);
  runVector(CPU, operation.kind, operation.operation, A, B, OUT);
  const fault = view.getUint32(CPU + FAULT_PENDING, true);
  return {
    result: [view.getBigUint64(OUT, true), view.getBigUint64(OUT + 8, true)],
    mxcsr: view.getUint32(CPU + MXCSR, true),
    fault: fault === 0 ? 0 : view.getUint32(CPU + FAULT_VECTOR, true),
  };
}

const hex = (values: readonly bigint[]): string => values.map((value) => value.toString(16).padStart(16, '0')).join(' ');
const missing = nativeUnavailable();

describe.skipIf(missing !== undefined)(`SSE routines against the host processor${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  test('results, MXCSR and faults agree', () => {
    const list = vectors();
    const input = new DataView(new ArrayBuffer(list.length * 40));
    list.forEach((vector, i) => {
      input.setUint32(i * 40, vector.id, true);
      input.setUint32(i * 40 + 4, vector.mxcsr, true);
      [vector.a[0], vector.a[1], vector.b[0], vector.b[1]].forEach((value, j) => input.setBigUint64(i * 40 + 8 + j * 8, value, true));
    });
    const output = runNative(program, new Uint8Array(input.buffer));
    expect(output.length).toBe(list.length * 24);
    const wrong = new Map<string, string[]>();
    list.forEach((vector, i) => {
      const expected = { result: [output.readBigUInt64LE(i * 24), output.readBigUInt64LE(i * 24 + 8)] as [bigint, bigint], mxcsr: output.readUInt32LE(i * 24 + 16), fault: output.readUInt32LE(i * 24 + 20) };
      const got = run(vector);
      const same = got.mxcsr === expected.mxcsr && (got.fault !== 0) === (expected.fault !== 0) && (got.fault !== 0 || hex(got.result) === hex(expected.result));
      if (same) return;
      const operation = operations[vector.id]!;
      const text = `mxcsr ${vector.mxcsr.toString(16)} a ${hex(vector.a)} b ${hex(vector.b)}: got ${hex(got.result)} ${got.mxcsr.toString(16)} ${got.fault}, processor ${hex(expected.result)} ${expected.mxcsr.toString(16)} ${expected.fault}`;
      wrong.set(operation.name, [...(wrong.get(operation.name) ?? []), text]);
    });
    expect([...wrong].map(([name, texts]) => `${name}: ${texts.length}\n  ${texts.slice(0, 3).join('\n  ')}`).join('\n')).toBe('');
  });
});

describe('SSE routines', () => {
  test('an unmasked exception is #XM, or #UD without CR4.OSXMMEXCPT', () => {
    const id = operations.findIndex((operation) => operation.name === 'divsd');
    const vector: Vector = { id, mxcsr: 0x1d80, a: [0x3ff0000000000000n, 0n], b: [0n, 0n] };
    expect(run(vector)).toMatchObject({ mxcsr: 0x1d84, fault: VECTOR_XM });
    const view = new DataView(memory.buffer);
    view.setUint32(CPU + FAULT_PENDING, 0, true);
    view.setUint32(CPU + MXCSR, 0x1d80, true);
    view.setUint32(CPU + CR4, 0x200, true);
    runVector(CPU, 0, 3, A, B, OUT);
    expect(view.getUint32(CPU + FAULT_VECTOR, true)).toBe(VECTOR_UD);
  });
});
