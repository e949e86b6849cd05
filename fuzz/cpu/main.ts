// npm run fuzz:cpu: random instruction sequences on an engine and on a reference, state compared after each step.
import { parseArgs } from 'node:util';
import { UserError } from '../../src/base/errors.ts';
import { createEngineReference } from './engine-reference.ts';
import { createHost, hostUnavailable } from './host.ts';
import { InterpreterEngine } from './interpreter.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { report } from './report.ts';
import { engineNames } from './user-mode.ts';
import { eligibleRows, hostFeatures, listExcluded } from './rows.ts';
import { dataImage, fuzz } from './run.ts';
import type { Engine, Reference } from './executor.ts';

const usage = `usage: npm run fuzz:cpu -- [options]
  --cases N        how many sequences (10000)
  --seed S         the same seed gives the same cases (1)
  --first I        number of the first case (0)
  --width 64|32    size of the code (64)
  --engine E       what is tested: interpreter, translator, evaluator (of the IR: slow) or kvm (ring 3 of a guest)
  --against R      what it is held against: host, or one of the engines
  --rows REGEXP    only opcode rows whose encoding, name or feature matches
  --limit K        stop after K kinds of differences (20)
  --list-excluded  print the opcode rows that are not tried, and why`;

function main(): number {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' }, first: { type: 'string', default: '0' }, width: { type: 'string', default: '64' },
      engine: { type: 'string', default: 'interpreter' }, against: { type: 'string', default: 'host' }, rows: { type: 'string', default: '' }, limit: { type: 'string', default: '20' },
      'list-excluded': { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const number = (name: 'cases' | 'seed' | 'first' | 'limit'): number => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < 0) throw new UserError(`--${name} takes a whole number, not ${values[name]}`);
    return value;
  };
  if (values.width !== '64' && values.width !== '32') throw new UserError(`--width is 64 or 32, not ${values.width}`);
  const width = values.width === '64' ? 64 : 32;
  const features = values.against === 'host' || values.against === 'kvm' ? hostFeatures() : undefined;
  if (values['list-excluded']) {
    console.log(listExcluded(width, features));
    return 0;
  }
  const image = dataImage();
  const engine = createEngine('--engine', values.engine, image);
  const reference = createReference(values.against, image);
  // Ring 3 under KVM is stepped through a kernel of ours, which does not keep segments.
  const kvm = [values.engine, values.against].includes('kvm');
  const rows = selectRows(eligibleRows(width, features).filter((row) => !kvm || opcodeRows[row]!.incomparable !== 'segment'), values.rows);
  const started = performance.now();
  let said = started;
  const speed = (cases: number): string => `${Math.round(cases / ((performance.now() - started) / 1000))} cases/s`;
  try {
    const result = fuzz({ width, seed: number('seed'), first: number('first'), cases: number('cases'), rows, reference, engine, limit: number('limit') }, image, ({ cases, findings }) => {
      if (performance.now() - said < 10_000) return;
      said = performance.now();
      console.error(`${cases} cases, ${findings.length} kinds of differences, ${speed(cases)}`);
    });
    for (const finding of result.findings) console.log(`\ncase ${finding.index} (${finding.count} like it):\n${report(finding.entry, finding.difference)}`);
    console.log(`${result.cases} cases of ${rows.length} opcode rows, ${result.steps} steps, ${result.exceptions} exceptions: ${result.findings.length} kinds of differences, ${speed(result.cases)}`);
    return result.findings.length > 0 ? 1 : 0;
  } finally {
    reference.close();
  }
}

function selectRows(rows: readonly number[], pattern: string): readonly number[] {
  if (pattern === '') return rows;
  const matcher = new RegExp(pattern, 'i');
  const selected = rows.filter((row) => matcher.test(opcodeRows[row]!.encoding) || matcher.test(opcodeRows[row]!.name) || matcher.test(opcodeRows[row]!.feature));
  if (selected.length === 0) throw new UserError(`--rows ${pattern} matches no opcode row that can be tried`);
  return selected;
}

function createEngine(option: string, name: string, image: Uint8Array): Engine {
  const known = engineNames.find((candidate) => candidate === name);
  if (known === undefined) throw new UserError(`${option} ${name} is not known: ${[...engineNames, ...(option === '--against' ? ['host'] : [])].join(', ')}`);
  return new InterpreterEngine(image, known);
}

function createReference(name: string, image: Uint8Array): Reference {
  if (name !== 'host') return createEngineReference(createEngine('--against', name, image), image);
  const why = hostUnavailable();
  if (why !== undefined) throw new UserError(`--against host is not possible: ${why}`);
  return createHost(image);
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof UserError) && !(error instanceof TypeError && 'code' in error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
