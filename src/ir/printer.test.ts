import { expect, test } from 'vitest';
import { Builder } from './builder.ts';
import { Ir } from './ir.ts';
import { printIr } from './printer.ts';

test('prints one instruction a line, indented by control structure', () => {
  const ir = new Ir();
  const b = new Builder(ir);
  const variable = b.variable('i32');
  const sum = b.add(b.loadState('32', 8), b.i32(-1));
  b.if(sum, () => b.set(variable, sum), () => b.leave(3));
  b.loop(() => b.call({ index: 2, params: ['i32'], result: 'i32' }, [b.get(variable)]));
  b.op('i16x8.extract_lane_u', [b.v128(Array.from({ length: 16 }, (_, i) => i))], 7);
  b.op('jump.relative', [], 64);
  const text = `v0: i32
%0 = state.load32 [8]
%1 = const.i32 -1
%2 = i32.add %0 %1
if %2
  variable.set.i32 v0 %2
else
  %6 = const.i32 3
  leave %6
end
loop
  %10 = variable.get.i32 v0
  %11 = call.i32 #2 %10
  again %11
end
%14 = const.v128 0x000102030405060708090a0b0c0d0e0f
%15 = i16x8.extract_lane_u .7 %14
jump.relative 64
`;
  expect(printIr(ir)).toBe(text);
  expect(printIr(ir, { routine: (index) => `routine${index}` })).toBe(text.replace('#2', 'routine2'));
});
