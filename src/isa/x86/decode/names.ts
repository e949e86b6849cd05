import type { Instruction } from './instruction.ts';

// Names as GNU objdump prints them in Intel syntax.

export const segmentNames = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const low8 = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const high8 = ['ah', 'ch', 'dh', 'bh'];
const names16 = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];

/** General register of 16, 32 or 64 bits. */
export function registerName(n: number, width: number): string {
  if (n >= 8) return `r${n}${width === 16 ? 'w' : width === 32 ? 'd' : ''}`;
  return width === 16 ? names16[n]! : `${width === 32 ? 'e' : 'r'}${names16[n]!}`;
}

export function byteRegister(n: number, rex: boolean): string {
  if (n >= 8) return `r${n}b`;
  return !rex && n >= 4 ? high8[n - 4]! : low8[n]!;
}

const sizes: Readonly<Record<number, string>> = { 0: '', 1: 'BYTE', 2: 'WORD', 4: 'DWORD', 6: 'FWORD', 8: 'QWORD', 10: 'TBYTE', 16: 'XMMWORD', 32: 'YMMWORD' };

export function sizeName(bytes: number): string {
  const name = sizes[bytes] ?? '';
  return name === '' ? '' : `${name} PTR `;
}

/** One name for each operand size: 16, 32, 64 bits. */
const bySize: Readonly<Record<string, readonly [string, string, string]>> = {
  cbw: ['cbw', 'cwde', 'cdqe'],
  cwd: ['cwd', 'cdq', 'cqo'],
};
/** A suffix tells an operand size that is not the mode's own; of pushes, only where no register shows it. */
const suffixed = new Set(['pusha', 'popa', 'pushf', 'popf', 'iret', 'ret', 'retf', 'leave', 'enter', 'push', 'pop', 'fldenv', 'fnstenv', 'fnsave', 'frstor']);
const suffixedNear = new Set(['call', 'jmp']);
const tables = new Set(['sgdt', 'sidt', 'lgdt', 'lidt']);
const fastReturns = new Set(['sysret', 'sysexit']);
const saves = new Set(['fxsave', 'fxrstor', 'xsave', 'xrstor', 'xsaveopt', 'xsavec', 'xsaves', 'xrstors']);
const plain: Readonly<Record<string, string>> = {
  movsb: 'movs', cmpsb: 'cmps', stosb: 'stos', lodsb: 'lods', scasb: 'scas', insb: 'ins', outsb: 'outs', callf: 'call', jmpf: 'jmp',
};
/** Predicates of CMPPS and its like that have names of their own (SDM 2A, table 3-2). */
const predicates = [
  'eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord', 'eq_uq', 'nge', 'ngt', 'false', 'neq_oq', 'ge', 'gt', 'true',
  'eq_os', 'lt_oq', 'le_oq', 'unord_s', 'neq_us', 'nlt_uq', 'nle_uq', 'ord_s', 'eq_us', 'nge_uq', 'ngt_uq', 'false_os', 'neq_os', 'ge_oq', 'gt_oq', 'true_us',
];
const halves: Readonly<Record<number, string>> = { 0x02: 'pclmullqhqdq', 0x03: 'pclmulhqhqdq', 0x00: 'pclmullqlqdq', 0x01: 'pclmulhqlqdq', 0x10: 'pclmullqhqdq', 0x11: 'pclmulhqhqdq' };

function suffixOf(size: number): string {
  return size === 16 ? 'w' : size === 32 ? 'd' : 'q';
}

/** The immediate is part of the printed name. */
export function immediateInName(i: Instruction): boolean {
  if (/^v?cmp[ps][sd]$/.test(i.row.name) && i.row.feature !== '') return i.immediate < (i.row.vex ? 32 : 8);
  return /^v?pclmulqdq$/.test(i.row.name) && halves[i.immediate] !== undefined;
}

/** The mnemonic as it is printed: sizes that the operands do not show are in the name. */
export function printedName(i: Instruction): string {
  const { row, operandSize, codeSize } = i;
  const { operands } = row;
  const name = plain[row.name] ?? row.name;
  const sized = bySize[row.name];
  if (sized !== undefined) return sized[operandSize === 16 ? 0 : operandSize === 32 ? 1 : 2];
  if (name === 'jcxz') return i.addressSize === 16 ? 'jcxz' : i.addressSize === 32 ? 'jecxz' : 'jrcxz';
  if (immediateInName(i)) {
    const vex = row.vex ? 'v' : '';
    return name.endsWith('pclmulqdq') ? `${vex}${halves[i.immediate]!}` : `${vex}cmp${predicates[i.immediate]!}${name.slice(-2)}`;
  }
  if (saves.has(name) && operandSize === 64) return `${name}64`;
  if (fastReturns.has(name) && codeSize === 64) return `${name}${operandSize === 64 ? 'q' : 'd'}`;
  if (tables.has(name) && codeSize !== 64) return `${name}${suffixOf(operandSize)}`;
  if (operandSize === 64 && codeSize === 64) {
    if ((name === 'movd' || name === 'vmovd' || name === 'pextrd' || name === 'pinsrd') && operands.includes('Ey')) return `${name.slice(0, -1)}q`;
    if (/^v?pcmpestr[im]$/.test(name)) return `${name}q`;
    if (name === 'mov' && operands[1] === 'Iv') return 'movabs';
  }
  if (i.addressSize === 64 && operands.some((operand) => operand.startsWith('O'))) return 'movabs';
  const usual = codeSize === 64 ? (row.size64 === 'normal' ? 32 : 64) : codeSize;
  if (operandSize !== usual && (suffixed.has(name) || (suffixedNear.has(name) && operands[0] === 'Jz')) && !/^[EZ]v/.test(operands[0] ?? '') && !(name.startsWith('f') && operandSize === 64)) return `${name}${suffixOf(operandSize)}`;
  return name;
}

const branches = /^(j|call|ret|loop)/;

/** LOCK, repetition, and prefixes without effect, which are shown so that no byte goes unmentioned silently. */
export function prefixWords(i: Instruction, bytes: Uint8Array): string[] {
  const { row } = i;
  const words: string[] = [];
  let repeat = 0;
  let segment = '';
  for (let at = 0; at < i.length; at++) {
    const byte = bytes[at]!;
    if (byte === 0xf2 || byte === 0xf3) repeat = byte;
    else if (byte === 0x26 || byte === 0x2e || byte === 0x36 || byte === 0x3e) segment = segmentNames[(byte >> 3) & 3]!;
    else if (byte === 0x64 || byte === 0x65) segment = segmentNames[byte - 0x60]!;
    else if (byte !== 0x66 && byte !== 0x67 && byte !== 0xf0 && !(i.codeSize === 64 && (byte & 0xf0) === 0x40)) break;
  }
  if (i.lock) words.push('lock');
  if (row.repeatable && i.rep !== 0) words.push(i.rep === 0xf2 ? 'repnz' : row.semantics === 'cmps' || row.semantics === 'scas' ? 'repz' : 'rep');
  else if (repeat === 0xf3 && row.prefix !== 'f3') words.push('repz');
  else if (repeat === 0xf2 && row.prefix !== 'f2') words.push(branches.test(row.name) ? 'bnd' : 'repnz');
  if (segment !== '' && (!i.isMemory || !i.segmentOverride)) words.push(segment);
  return words;
}
