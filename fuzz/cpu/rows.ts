import { readFileSync } from 'node:fs';
import { implementedFeatures, unimplementedSemantics } from '../../src/isa/x86/features.ts';
import { existsIn } from '../../src/isa/x86/opcodes/row.ts';
import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import type { FuzzInstruction } from './executor.ts';

/** What is not for this host to answer, because something underneath does. */
const intercepted: Readonly<Record<string, string>> = {
  syscall: 'enters the host\'s kernel', sysenter: 'enters the host\'s kernel',
  int1: 'hypervisors may not step over it',
  vmcall: 'calls what the host runs on', vmmcall: 'calls what the host runs on',
  sgdt: 'answered by Linux where the host has UMIP', sidt: 'answered by Linux where the host has UMIP', smsw: 'answered by Linux where the host has UMIP',
  sldt: 'answered by Linux where the host has UMIP', str: 'answered by Linux where the host has UMIP',
};
/** Linux's names of features where they are not ours. */
const linuxNames: Readonly<Record<string, string>> = {
  'sse3': 'pni', 'sse4.1': 'sse4_1', 'sse4.2': 'sse4_2', 'cx16': 'cx16', 'sha': 'sha_ni', 'lzcnt': 'abm', 'pclmulqdq': 'pclmulqdq', 'fxsr': 'fxsr', 'monitor': 'monitor', 'cmpxchg16b': 'cx16',
};

/** Features of this host, as /proc/cpuinfo has them. */
export function hostFeatures(): ReadonlySet<string> {
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  return new Set(flags.trim().split(/\s+/));
}

/** Why the row is not tried in code of this width, '' when it is. `host`: the reference's features, undefined where it has all. */
export function exclusion(row: OpcodeRow, width: 32 | 64, host: ReadonlySet<string> | undefined): string {
  if (!existsIn(row, width)) return `not in ${width}-bit code`;
  if (unimplementedSemantics.has(row.semantics)) return 'no semantics yet';
  const why = intercepted[row.name];
  if (why !== undefined) return why;
  if (row.feature === '' || host === undefined) return '';
  const [here, there] = [implementedFeatures.has(row.feature), host.has(linuxNames[row.feature] ?? row.feature)];
  return here === there ? '' : here ? `this host has no ${row.feature}` : `feature ${row.feature} is not announced`;
}

/**
 * Forms of rows that cannot be compared: those that vendors carry out differently (with 66, AMD's processors take 16 bits of
 * operand and address in near branches of 64-bit code (APM 3, 1.2.7), Intel's ignore the prefix (SDM 2A, JMP); AMD's have no far
 * pointers with 64-bit offsets (APM 3, JMP Far), and raise #UD for prefetching a register (APM 3, PREFETCH)), and Linux's system call.
 */
export function isIncomparableForm(row: OpcodeRow, width: 32 | 64, bytes: Uint8Array): boolean {
  const prefixes = prefixesOf(bytes);
  if (row.name === 'int') return bytes.at(-1) === LINUX_CALL;
  if (row.name === 'nop' && row.incomparable === 'vendor') return bytes[prefixes.length + 2]! >= 0xc0;
  if (width !== 64) return false;
  if (row.operands.includes('Mp') && (prefixes.at(-1)! & 0xf8) === REX_W) return true;
  return row.size64 === 'f64' && row.map < 2 && row.prefix === 'any' && prefixes.includes(0x66);
}
const LINUX_CALL = 0x80;
const REX_W = 0x48;

function prefixesOf(bytes: Uint8Array): Uint8Array {
  const end = bytes.findIndex((byte) => ![0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte) && (byte & 0xf0) !== 0x40);
  return bytes.subarray(0, Math.max(end, 0));
}

/** MOV SS and POP SS hold traps back until the instruction behind has been executed (SDM 3A, 6.8.3): a step covers both. */
export function holdsTrapsBack({ bytes, rowIndex }: FuzzInstruction): boolean {
  const { semantics, operands } = opcodeRows[rowIndex]!;
  return semantics === 'popseg' ? operands[0] === 'SS' : semantics === 'movtoseg' && ((bytes[prefixesOf(bytes).length + 1]! >> 3) & 7) === SS;
}
const SS = 2;

/** The instruction may stop midway with its registers moved on: repeated strings, gathers. */
export function repeats({ rowIndex }: FuzzInstruction): boolean {
  const { repeatable, name } = opcodeRows[rowIndex]!;
  return repeatable || name.includes('gather');
}

/** Numbers of the rows that sequences are made of. */
export function eligibleRows(width: 32 | 64, host: ReadonlySet<string> | undefined): number[] {
  return opcodeRows.flatMap((row, i) => (exclusion(row, width, host) === '' ? [i] : []));
}

export function listExcluded(width: 32 | 64, host: ReadonlySet<string> | undefined): string {
  return opcodeRows.map((row) => ({ row, why: exclusion(row, width, host) })).filter(({ why }) => why !== '')
    .map(({ row, why }) => `${row.encoding.padEnd(24)} ${`${row.name} ${row.operands.join()}`.padEnd(28)} ${why}`).join('\n');
}
