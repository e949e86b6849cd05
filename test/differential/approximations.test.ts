import { expect, test } from 'vitest';
import { createEngine } from './engine.ts';
import { WINDOW_BYTES } from './native.ts';

// RCPPS and RSQRTPS differ between processors: the bounds and special values of the manual (SDM 2B) instead of the host's.

const engine = createEngine();

/** Runs 0F opcode /r with XMM0 as destination and XMM1 as source; results as bits. */
function run(opcode: number, bits: readonly number[]): { bits: Uint32Array; mxcsr: number } {
  const xmm = new Uint8Array(256);
  xmm.set(new Uint8Array(Uint32Array.from(bits).buffer), 16);
  const before = { gpr: new BigUint64Array(16), flags: 0x202, mxcsr: 0x1f80, xmm, high: new Uint8Array(256), x87: new Uint8Array(81), window: new Uint8Array(WINDOW_BYTES), exception: '' as const };
  const after = engine.run({ code: Uint8Array.of(0x0f, opcode, 0xc1), mode: 64, before });
  expect(after.exception).toBe('');
  return { bits: new Uint32Array(after.xmm.slice(0, 16).buffer), mxcsr: after.mxcsr };
}
const toFloat = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0]!;

test.each([[0x53, 'RCPPS', (x: number) => 1 / x], [0x52, 'RSQRTPS', (x: number) => 1 / Math.sqrt(x)]] as const)('%i %s: relative error', (opcode, _, exact) => {
  // Every exponent whose reciprocal is normal, mantissas spread over the binade.
  for (let exponent = 1; exponent < 253; exponent++) {
    const inputs = [0, 1, 2, 3].map((i) => ((exponent << 23) | ((exponent * 0x2545f5 + i * 0x1fedcb) & 0x7fffff)) >>> 0);
    const { bits, mxcsr } = run(opcode, inputs);
    inputs.forEach((input, i) => {
      const expected = exact(toFloat(input));
      expect(Math.abs(toFloat(bits[i]!) - expected) / expected).toBeLessThanOrEqual(1.5 * 2 ** -12);
    });
    expect(mxcsr).toBe(0x1f80);
  }
});

test('special values', () => {
  // Zeros and denormals, infinities, NaNs, results too small.
  expect([...run(0x53, [0, 0x80000000, 1, 0x807fffff]).bits]).toEqual([0x7f800000, 0xff800000, 0x7f800000, 0xff800000]);
  expect([...run(0x53, [0x7f800000, 0xff800000, 0x7f812345, 0xffc54321]).bits]).toEqual([0, 0x80000000, 0x7fc12345, 0xffc54321]);
  expect([...run(0x53, [0x7f7fffff, 0xff7fffff, 0x3f800000, 0xc0000000]).bits]).toEqual([0, 0x80000000, 0x3f800000, 0xbf000000]);
  expect([...run(0x52, [0, 0x80000000, 1, 0x80000001]).bits]).toEqual([0x7f800000, 0xff800000, 0x7f800000, 0xff800000]);
  expect([...run(0x52, [0x7f800000, 0xff800000, 0xbf800000, 0xff812345]).bits]).toEqual([0, 0xffc00000, 0xffc00000, 0xffc12345]);
});
