import { expect, test } from 'vitest';
import { Decoder } from '../../src/isa/x86/decode/decoder.ts';
import { createInstruction } from '../../src/isa/x86/decode/instruction.ts';
import { describeException } from '../../fuzz/cpu/compare.ts';
import type { Case, FuzzInstruction } from '../../fuzz/cpu/executor.ts';
import { InterpreterEngine } from '../../fuzz/cpu/interpreter.ts';
import { holdsTrapsBack } from '../../fuzz/cpu/rows.ts';
import { dataImage } from '../../fuzz/cpu/run.ts';
import { setPlain } from '../../fuzz/cpu/shrink.ts';
import { CpuState, DATA, DATA_BYTES, RIP, fields } from '../../fuzz/cpu/state.ts';
import { regressions } from './regressions.ts';
import type { Regression } from './regressions.ts';

const image = dataImage();
const engines = (['interpreter', 'translator'] as const).map((name) => new InterpreterEngine(image, name));
const decoder = new Decoder();
const instruction = createInstruction();

function fieldOf(name: string): { offset: number; bytes: number } {
  const field = fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`there is no field ${name}`);
  return field;
}

function caseOf({ width, address, code, before, memory }: Regression): Case {
  const state = new CpuState();
  setPlain(state);
  state.setU64(RIP, BigInt(address));
  for (const [name, value] of Object.entries(before)) {
    const { offset, bytes } = fieldOf(name);
    for (let i = 0; i < bytes; i++) state.bytes[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  const instructions = code.map((hex): FuzzInstruction => {
    const bytes = Buffer.from(hex, 'hex');
    expect(decoder.decode(bytes, 0, bytes.length, width, instruction)).toBe('ok');
    return { bytes, rowIndex: instruction.rowIndex };
  });
  return { width, address, instructions, before: state, patches: Object.entries(memory ?? {}).map(([at, hex]) => ({ offset: Number(at) - DATA, bytes: Buffer.from(hex, 'hex') })) };
}

test.each(regressions.flatMap((entry) => engines.map((engine) => [entry.what, engine.name, entry, engine] as const)))('%s (%s)', (_what, _name, regression, engine) => {
  const entry = caseOf(regression);
  const memory = Buffer.from(image.subarray(0, DATA_BYTES));
  for (const { offset, bytes } of entry.patches) memory.set(bytes, offset);
  for (const how of ['step by step', 'in one go'] as const) {
    engine.load(entry, entry.before, memory);
    let raised = false;
    if (how === 'in one go') {
      engine.block();
      // The HLT behind the sequence stops it otherwise.
      raised = regression.raises !== undefined;
    } else for (let steps = entry.instructions.filter((instruction) => !holdsTrapsBack(instruction)).length; steps > 0; steps--) raised = engine.step();
    expect(raised ? describeException(engine.state) : undefined, how).toBe(regression.raises);
    const got = Object.fromEntries(Object.keys(regression.after).map((name) => {
      const { offset, bytes } = fieldOf(name);
      return [name, BigInt(`0x${Buffer.from(engine.state.bytes.subarray(offset, offset + bytes)).reverse().toString('hex')}`)];
    }));
    expect(got, how).toEqual(regression.after);
    for (const [at, hex] of Object.entries(regression.memoryAfter ?? {})) {
      const first = Number(at) - DATA;
      expect(engine.memory.toString('hex', first, first + hex.length / 2), how).toBe(hex);
    }
  }
});
