import { expect, test } from 'vitest';
import { createEngineReference } from '../../fuzz/cpu/engine-reference.ts';
import { InterpreterEngine } from '../../fuzz/cpu/interpreter.ts';
import { createHost, hostUnavailable } from '../../fuzz/cpu/host.ts';
import { eligibleRows, hostFeatures } from '../../fuzz/cpu/rows.ts';
import { dataImage, fuzz } from '../../fuzz/cpu/run.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { kvmIsMissing, openKvm } from '../support/kvm.ts';

const CASES = 25;
/** Arithmetic between registers and with memory: what every KVM gets right. */
const rows = eligibleRows(64, hostFeatures()).filter((row) => /^(add|adc|sub|and|xor|imul|shl|ror|popcnt|paddd|addsd|mulps|lea)$/.test(opcodeRows[row]!.name));

test.skipIf(hostUnavailable() !== undefined || kvmIsMissing())('random sequences do in ring 3 under KVM what they do in a process of the host', () => {
  const image = dataImage();
  const reference = createHost(image);
  try {
    const result = fuzz({ width: 64, seed: 11, first: 0, cases: CASES, rows, reference, engine: new InterpreterEngine(image, 'kvm'), limit: 5 }, image);
    expect(result.findings.map((finding) => finding.difference.lines)).toEqual([]);
    expect(result.steps).toBeGreaterThan(CASES);
  } finally {
    reference.close();
  }
});

test.skipIf(kvmIsMissing())('KVM is a reference for the interpreter', () => {
  const { finding } = openKvm() as Exclude<ReturnType<typeof openKvm>, string>;
  const image = dataImage();
  const result = fuzz({ width: 64, seed: 12, first: 0, cases: CASES, rows, reference: createEngineReference(new InterpreterEngine(image, 'kvm'), image), engine: new InterpreterEngine(image), limit: 5 }, image);
  // A KVM without virtualization in hardware gives #UD for some #GP (fuzz/cpu/open.ts).
  const known = finding.ring0 < 5e7 ? ['exception: expected #6, got #13'] : [];
  expect(result.findings.flatMap(({ difference }) => difference.lines).filter((line) => !known.includes(line))).toEqual([]);
  expect(result.steps).toBeGreaterThan(CASES);
});
