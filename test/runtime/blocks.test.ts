import { beforeEach, expect, test } from 'vitest';
import { BUDGET, CPL, LEAVE_JUMP, MODE, MODE_CODE32, MODE_LONG, RIP, SEGMENTS, SEGMENT_BYTES, SEG_CS, SEG_LIMIT } from '../../src/isa/x86/state/layout.ts';
import { RuntimeFixture } from '../support/runtime.ts';

const CODE = SEGMENTS + SEG_CS * SEGMENT_BYTES;
let m: RuntimeFixture;

beforeEach(() => {
  m = new RuntimeFixture();
  m.mode({ cr0: 0x11n, long: true });
  m.setU64(CODE, 0n);
  m.setU32(CODE + SEG_LIMIT, 0xffffffff);
  m.setU32(BUDGET, 1000);
  m.setU64(RIP, 0x2000n);
  expect(m.call('fetchBlock')).not.toBe(0);
});

test('execution goes on without the driver while the jump cache is that of the mode', () => {
  expect(m.call('mayResume')).toBe(0);
});

test('another code size, code segment limit or privilege has the driver find the block', () => {
  const compatible = MODE_CODE32 | MODE_LONG;
  m.setU32(MODE, compatible);
  expect(m.call('mayResume')).toBe(LEAVE_JUMP);
  expect(m.call('fetchBlock')).not.toBe(0);
  expect(m.call('mayResume')).toBe(0);
  m.setU32(CODE + SEG_LIMIT, 0xfffff);
  expect(m.call('mayResume')).toBe(LEAVE_JUMP);
  expect(m.call('fetchBlock')).not.toBe(0);
  m.setU32(CPL, 3);
  expect(m.call('mayResume')).toBe(LEAVE_JUMP);
});
