/**
 * One row of the opcode tables, in the manual's notation (Intel SDM 2A, 3.1.1 and 2D, A.2).
 *
 * Encoding: first NP (none of 66, F2, F3 may be there), NFx (66 may, F2 and F3 may not) or a mandatory prefix (66, F2,
 * F3); REX.W / REX.W0 where the row depends on it; opcode bytes; then /r, /0../7 (with `m` or `r` behind it when
 * only the memory or only the register form counts), +r (register in the opcode's low bits), or a fixed ModRM
 * byte behind the opcode as in `0F 01 C8`, `D8 C0+i`. VEX rows: `VEX.128.66.0F38.W0 F7 /r`, with 128, 256 or LIG, then NP,
 * 66, F3 or F2, the map, and W0, W1 or WIG.
 *
 * Operands: appendix A's, one letter for the place and the rest for the size, and names of fixed registers. Besides:
 * Z register in the opcode, STi stack register in ModRM.rm, Ibs immediate byte sign-extended, Edb and Edw
 * 32-bit register but 8 or 16 bits of memory, Mt 80 bits, Md to Mx with the access's size, xmm0 the implicit one.
 * Of VEX rows: B and H registers in vvvv, L one in the immediate's upper half, sizes dq 16 and qq 32 bytes.
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
  /** LOCK may stand before its memory form; `locks`: which is locked without it as well (SDM 3A, 9.1.2.1). */
  readonly lockable: boolean;
  readonly locks: boolean;
  /** F2 and F3 repeat the instruction. */
  readonly repeatable: boolean;
  /** CPUID feature that announces the row, '' for the base set. */
  readonly feature: string;
  /** Status flags that the manual leaves undefined, letters of `oszapc`. */
  readonly undefinedFlags: string;
  /** x87 condition codes in which processors differ, digits of `0123`. */
  readonly undefinedConditions: string;
  /**
   * Why user code of one processor is no measure to the bit for another, '' where it is: 'system' calls the host's kernel,
   * 'segment' depends on its descriptors, 'table' on its tables and control registers, 'clock', 'identity', 'random', 'virtual'
   * on its hypervisor; 'vendor': processors differ; 'approximate': results are only near; 'pointers': images hold the last x87
   * instruction's address, which some processors do not keep. The fuzzer tries some of them nevertheless (fuzz/cpu/rows.ts).
   */
  readonly incomparable: string;

  // Derived from the encoding.
  readonly map: 0 | 1 | 2 | 3;
  /** With `opcodeRegister` the first of eight. */
  readonly opcode: number;
  /** 'any': 66, F2 and F3 do not choose the row; 'none' is NP, 'size' NFx. */
  readonly prefix: 'any' | 'none' | 'size' | '66' | 'f2' | 'f3';
  readonly rexW: 'any' | '0' | '1';
  readonly hasModrm: boolean;
  /** ModRM.reg that the row is for, or -1. */
  readonly digit: number;
  /** Bit 0: memory forms, bit 1: register forms. */
  readonly modes: number;
  /** MOV to and from control and debug registers: ModRM.rm is a register whatever mod says. */
  readonly ignoresMod: boolean;
  /** ModRM.rm that the row is for (fixed ModRM byte), or -1. */
  readonly rm: number;
  readonly opcodeRegister: boolean;
  readonly vex: boolean;
  /** VEX.L that the row is for. */
  readonly vexL: 'any' | '0' | '1';
}

/** `encoding | name operands | options`: options are words: lock locks rep d64 f64 i64 o64 f=FEATURE u=FLAGS s=SEMANTICS k=CONDITIONS x=INCOMPARABLE. */
export function parseRow(line: string): OpcodeRow {
  const [encodingText, nameText, optionText] = line.split('|').map((part) => part.trim()) as [string, string, string?];
  const [name, operandText] = nameText.split(/\s+/) as [string, string?];
  const operands = operandText === undefined ? [] : operandText.split(',');
  const words = (optionText ?? '').split(/\s+/).filter((word) => word !== '');
  for (const word of words) if (!/^(lock|locks|rep|d64|f64|i64|o64|[fuskx]=.+)$/.test(word)) throw new Error(`opcode row "${line}": what is ${word}?`);
  const has = (word: string): boolean => words.includes(word);
  const valued = (key: string): string => words.find((word) => word.startsWith(`${key}=`))?.slice(2) ?? '';

  const bytes: number[] = [];
  let prefix: OpcodeRow['prefix'] = 'any';
  let rexW: OpcodeRow['rexW'] = 'any';
  let digit = -1;
  let modes = 3;
  let hasModrm = false;
  let opcodeRegister = false;
  let stackRegister = false;
  const vex = encodingText.startsWith('VEX.');
  let vexL: OpcodeRow['vexL'] = 'any';
  let map: OpcodeRow['map'] = 0;
  const tokens = encodingText.split(/\s+/);
  tokens.forEach((token, index) => {
    if (vex && index === 0) {
      const fields = /^VEX\.(128|256|LIG)\.(NP|66|F3|F2)\.(0F|0F38|0F3A)\.(W0|W1|WIG)$/.exec(token);
      if (fields === null) throw new Error(`opcode row "${line}": what is ${token}?`);
      vexL = fields[1] === '128' ? '0' : fields[1] === '256' ? '1' : 'any';
      prefix = fields[2] === 'NP' ? 'none' : fields[2]!.toLowerCase() as '66' | 'f2' | 'f3';
      map = fields[3] === '0F' ? 1 : fields[3] === '0F38' ? 2 : 3;
      rexW = fields[4] === 'WIG' ? 'any' : fields[4] === 'W1' ? '1' : '0';
    } else if (token === 'NP') prefix = 'none';
    else if (token === 'NFx') prefix = 'size';
    else if (index === 0 && tokens.length > 1 && (token === '66' || token === 'F2' || token === 'F3')) prefix = token.toLowerCase() as '66' | 'f2' | 'f3';
    else if (token === 'REX.W') rexW = '1';
    else if (token === 'REX.W0') rexW = '0';
    else if (/^\/[r0-7][mr]?$/.test(token)) {
      hasModrm = true;
      if (token[1] !== 'r') digit = Number(token[1]);
      if (token[2] === 'm') modes = 1;
      else if (token[2] === 'r') modes = 2;
    } else if (/^[0-9A-F]{2}(\+[ri])?$/.test(token)) {
      bytes.push(Number.parseInt(token, 16));
      opcodeRegister ||= token.endsWith('+r');
      stackRegister ||= token.endsWith('+i');
    } else throw new Error(`opcode row "${line}": what is ${token}?`);
  });
  if (bytes[0] === 0x0f && bytes.length > 1) {
    bytes.shift();
    map = 1;
    const escape = bytes.length > 1 ? bytes[0] as number : 0;
    if (escape === 0x38 || escape === 0x3a) {
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
  if (operands.some((operand) => operand.startsWith('M'))) modes = 1;
  if (operands.some((operand) => /^[URN][a-z]/.test(operand))) modes = 2;
  return {
    encoding: encodingText,
    name,
    operands,
    semantics: valued('s') || name,
    size64: has('d64') ? 'd64' : has('f64') ? 'f64' : 'normal',
    validity: has('i64') ? 'not64' : has('o64') ? 'only64' : 'all',
    lockable: has('lock') || has('locks'),
    locks: has('locks'),
    repeatable: has('rep'),
    feature: valued('f'),
    undefinedFlags: valued('u'),
    undefinedConditions: valued('k'),
    incomparable: valued('x'),
    map,
    opcode,
    prefix,
    rexW,
    hasModrm,
    digit,
    modes,
    ignoresMod: operands.some((operand) => operand === 'Cd' || operand === 'Dd'),
    rm,
    opcodeRegister,
    vex,
    vexL,
  };
}

export function parseTable(text: string): OpcodeRow[] {
  return text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')).map(parseRow);
}

/**
 * Where two rows fit the same bytes the one with the higher number counts: a mandatory prefix before none, a fixed ModRM
 * byte before a digit before /r, one form before both, REX.W before either, a full opcode before a register range.
 */
export function specificity(row: OpcodeRow): number {
  const prefix = row.prefix === 'any' ? 0 : row.prefix === 'size' ? 1 : 2;
  const modrm = row.rm >= 0 ? 3 : row.digit >= 0 ? 2 : row.hasModrm ? 1 : 0;
  return ((prefix * 4 + modrm) * 2 + (row.modes === 3 ? 0 : 1)) * 4 + (row.rexW === 'any' ? 0 : 2) + (row.opcodeRegister ? 0 : 1);
}

/** The prefix that chooses between rows: F2 and F3 come before 66 (SDM 2A, 2.1.2). */
export type PrefixClass = 'none' | '66' | 'f2' | 'f3';

/** The row counts for this choosing prefix. */
export function acceptsPrefix(row: OpcodeRow, prefix: PrefixClass): boolean {
  if (row.prefix === 'any') return true;
  if (row.prefix === 'size') return prefix === 'none' || prefix === '66';
  return row.prefix === prefix;
}

/** The row exists in code of this size. */
export function existsIn(row: OpcodeRow, codeSize: 16 | 32 | 64): boolean {
  return row.validity === 'all' || (row.validity === 'only64') === (codeSize === 64);
}
