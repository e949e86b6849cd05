import { disassemble } from '../../src/isa/x86/decode/disassembler.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { describeException } from './compare.ts';
import type { Difference } from './compare.ts';
import type { Case } from './executor.ts';
import { plainOf } from './shrink.ts';
import { DATA, RIP, fields } from './state.ts';
import type { CpuState, Field } from './state.ts';

/** A difference as text: what differs, and an entry for test/fuzz/regressions.ts. */
export function report(entry: Case, difference: Difference): string {
  const listing: string[] = [];
  let at = entry.address;
  for (const { bytes, rowIndex } of entry.instructions) {
    const row = opcodeRows[rowIndex]!;
    listing.push(`  // ${Buffer.from(bytes).toString('hex').padEnd(24)} ${disassemble(bytes, BigInt(at), entry.width).text}    (${row.encoding} ${row.name} ${row.operands.join()})`);
    at += bytes.length;
  }
  const before = fields.filter(({ name, offset, bytes }) => offset !== RIP && entry.before.bytes.compare(plainOf(name, bytes), 0, bytes, offset, offset + bytes) !== 0);
  const after = fields.filter(({ offset, bytes }) => difference.expected.bytes.compare(difference.actual.bytes, offset, offset + bytes, offset, offset + bytes) !== 0);
  const raises = difference.lines.some((line) => line.startsWith('exception')) ? `\n  raises: '${difference.lines[0]!.includes('expected none') ? 'none' : describeException(difference.expected)}',` : '';
  return `${difference.lines.map((line) => `- ${line}`).join('\n')}
{
  what: '',
${listing.join('\n')}
  width: ${entry.width}, address: 0x${entry.address.toString(16)}, code: [${entry.instructions.map(({ bytes }) => `'${Buffer.from(bytes).toString('hex')}'`).join(', ')}],
  before: {${list(entry.before, before)}},
  memory: {${entry.patches.map(({ offset, bytes }) => ` 0x${(DATA + offset).toString(16)}: '${Buffer.from(bytes).toString('hex')}'`).join()} },
  after: {${list(difference.expected, after)}},${raises}
},  // after ${difference.step + 1} steps, ${difference.how === 'step' ? 'one by one' : 'in one go'}`;
}

function list(state: CpuState, names: readonly Field[]): string {
  return names.map(({ name, offset, bytes }) => ` ${name}: 0x${Buffer.from(state.bytes.subarray(offset, offset + bytes)).reverse().toString('hex').replace(/^0+(?=.)/, '')}n`).join();
}
