/**
 * One row of the opcode tables, in the manual's notation (Intel SDM 2A, 3.1.1 and 2D, A.2).
 *
 * Encoding: mandatory prefix (NP, 66, F2, F3), REX.W / REX.W0, opcode bytes, then /r, /0../7 (with `m` or `r` behind
 * it when only the memory or only the register form counts), +r (register in the opcode's low bits), or a fixed ModRM
 * byte behind the opcode as in `0F 01 C8`, `D8 C0+i`.
 */
export interface OpcodeRow {
  readonly encoding: string;
  readonly name: string;
  readonly operands: readonly string[];
  /** Id of the semantics, the mnemonic unless given. */
  readonly semantics: string;
  /** Default operand size in 64-bit code: 'd64' 64 bits (66 gives 16), 'f64' always 64. */
  readonly size64: 'normal' | 'd64' | 'f64';
  readonly validity: 'all' | 'not64' | 'only64';
  readonly lockable: boolean;
  /** F2 and F3 repeat the instruction. */
  readonly repeatable: boolean;
  /** CPUID feature that announces the row, '' for the base set. */
  readonly feature: string;
  /** Status flags that the manual leaves undefined, letters of `oszapc`. */
  readonly undefinedFlags: string;

  // Derived from the encoding.
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  readonly prefix: 'any' | 'none' | '66' | 'f2' | 'f3';
  readonly rexW: 'any' | '0' | '1';
  readonly hasModrm: boolean;
  /** ModRM.reg that the row is for, or -1. */
  readonly digit: number;
  /** Bit 0: memory forms, bit 1: register forms. */
  readonly modes: number;
  /** ModRM.rm that the row is for (fixed ModRM byte), or -1. */
  readonly rm: number;
  readonly opcodeRegister: boolean;
}

/** `encoding | name operands | options`: options are words: lock rep d64 f64 i64 o64 f=FEATURE u=FLAGS s=SEMANTICS. */
export function parseRow(line: string): OpcodeRow[] {
  const [encodingText, nameText, optionText] = line.split('|').map((part) => part.trim()) as [string, string, string?];
  const [name, operandText] = nameText.split(/\s+/) as [string, string?];
  const operands = operandText === undefined ? [] : operandText.split(',');
  const options = new Set((optionText ?? '').split(/\s+/).filter((word) => word !== ''));
  const valued = (key: string): string => [...options].find((word) => word.startsWith(`${key}=`))?.slice(2) ?? '';

  const bytes: number[] = [];
  let prefix: OpcodeRow['prefix'] = 'any';
  let rexW: OpcodeRow['rexW'] = 'any';
  let digit = -1;
  let modes = 3;
  let hasModrm = false;
  let opcodeRegister = false;
  let stackRegister = false;
  encodingText.split(/\s+/).forEach((token, index) => {
    if (token === 'NP') prefix = 'none';
    else if (index === 0 && token === '66') prefix = '66';
    else if (index === 0 && token === 'F2' && encodingText.includes(' ')) prefix = 'f2';
    else if (index === 0 && token === 'F3' && encodingText.includes(' ')) prefix = 'f3';
    else if (token === 'REX.W') rexW = '1';
    else if (token === 'REX.W0') rexW = '0';
    else if (token === '/r' || token === '/rm' || token === '/rr') {
      hasModrm = true;
      if (token === '/rm') modes = 1;
      else if (token === '/rr') modes = 2;
    }
    else if (/^\/[0-7][mr]?$/.test(token)) {
      hasModrm = true;
      digit = Number(token[1]);
      if (token[2] === 'm') modes = 1;
      else if (token[2] === 'r') modes = 2;
    } else if (/^[0-9A-F]{2}\+r$/.test(token)) {
      opcodeRegister = true;
      bytes.push(Number.parseInt(token, 16));
    } else if (/^[0-9A-F]{2}\+i$/.test(token)) {
      stackRegister = true;
      bytes.push(Number.parseInt(token, 16));
    } else if (/^[0-9A-F]{2}$/.test(token)) bytes.push(Number.parseInt(token, 16));
    else throw new Error(`opcode row "${line}": what is ${token}?`);
  });
  let map: OpcodeRow['map'] = 0;
  if (bytes[0] === 0x0f && bytes.length > 1) {
    bytes.shift();
    map = 1;
    const escape = bytes[0] as number;
    if (bytes.length > 1 && (escape === 0x38 || escape === 0x3a)) {
      bytes.shift();
      map = escape === 0x38 ? 2 : 3;
    }
  }
  const opcode = bytes.shift()!;
  let rm = -1;
  if (bytes.length > 0) {
    const modrm = bytes.shift()!;
    hasModrm = true;
    modes = 2;
    digit = (modrm >> 3) & 7;
    rm = stackRegister ? -1 : modrm & 7;
  }
  if (operands.some((operand) => 'M'.includes(operand[0]!))) modes = 1;
  if (operands.some((operand) => /^[URN][a-z]/.test(operand))) modes = 2;
  const row: OpcodeRow = {
    encoding: encodingText,
    name,
    operands,
    semantics: valued('s') || name,
    size64: options.has('d64') ? 'd64' : options.has('f64') ? 'f64' : 'normal',
    validity: options.has('i64') ? 'not64' : options.has('o64') ? 'only64' : 'all',
    lockable: options.has('lock'),
    repeatable: options.has('rep'),
    feature: valued('f'),
    undefinedFlags: valued('u'),
    map,
    opcode,
    prefix,
    rexW,
    hasModrm,
    digit,
    modes,
    rm,
    opcodeRegister,
  };
  if (!opcodeRegister) return [row];
  return Array.from({ length: 8 }, (_, i) => ({ ...row, opcode: opcode + i }));
}

export function parseTable(text: string): OpcodeRow[] {
  return text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')).flatMap(parseRow);
}
