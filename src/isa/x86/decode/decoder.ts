import { acceptsPrefix, existsIn, specificity } from '../opcodes/row.ts';
import type { OpcodeRow, PrefixClass } from '../opcodes/row.ts';
import { opcodeRows } from '../opcodes/table.ts';
import { BASE_RIP, NO_REGISTER } from './instruction.ts';
import type { Instruction } from './instruction.ts';

/**
 * 'truncated': the bytes given end within the instruction. 'undefined': #UD. An instruction of more than 15 bytes is
 * 'too-long' (#GP).
 */
export type DecodeStatus = 'ok' | 'truncated' | 'undefined' | 'too-long';

const MAX_LENGTH = 15;

/** How the bytes behind the opcode of a row are read. */
type ImmediateKind = 'none' | 'u8' | 's8' | 'u16' | 'z' | 'v' | 'rel8' | 'relz' | 'moffs' | 'far' | 'enter';

interface RowPlan {
  readonly row: OpcodeRow;
  readonly index: number;
  readonly immediate: ImmediateKind;
  /** Memory operand without ModRM: string source (DS, may be overridden) or destination (ES). */
  readonly implicitMemory: boolean;
  /** Masks that take REX.R and REX.B away where the field names a segment, MMX or x87 register (SDM 2A, 2.2.1.2). */
  readonly regMask: number;
  readonly rmMask: number;
  /** VEX.vvvv names an operand; else it must be 1111b. */
  readonly usesVvvv: boolean;
  /** The index is a vector register (VSIB, SDM 2A, 2.3.12). */
  readonly vsib: boolean;
}

function immediateKind(row: OpcodeRow): ImmediateKind {
  if (row.name === 'enter') return 'enter';
  if (row.operands.some((operand) => /^L[dq]/.test(operand))) return 'u8';
  for (const operand of row.operands) {
    switch (operand) {
      case 'Ib': return 'u8';
      case 'Ibs': return 's8';
      case 'Iw': return 'u16';
      case 'Iz': return 'z';
      case 'Iv': return 'v';
      case 'Jb': return 'rel8';
      case 'Jz': return 'relz';
      case 'Ob': case 'Ov': return 'moffs';
      case 'Ap': return 'far';
    }
  }
  return 'none';
}

/** VEX rows have maps of their own behind the others. */
const VEX_MAPS = 1024;
/** Rows by map * 256 + opcode, the most specific first. */
const rowsOfOpcode: RowPlan[][] = Array.from({ length: 2 * VEX_MAPS }, () => []);
opcodeRows.forEach((row, index) => {
  const uses = (letters: string): boolean => row.operands.some((operand) => letters.includes(operand[0]!) && /^[A-Z][a-z]+$/.test(operand));
  const plan: RowPlan = {
    row,
    index,
    immediate: immediateKind(row),
    implicitMemory: uses('XY') || row.name === 'xlat',
    regMask: uses('SP') ? 7 : 15,
    rmMask: uses('QN') || row.operands.includes('STi') ? 7 : 15,
    usesVvvv: uses('BH'),
    vsib: row.operands.some((operand) => operand === 'Mdv' || operand === 'Mqv'),
  };
  for (let i = 0; i < (row.opcodeRegister ? 8 : 1); i++) rowsOfOpcode[(row.vex ? VEX_MAPS : 0) + row.map * 256 + row.opcode + i]!.push(plan);
});
for (const plans of rowsOfOpcode) plans.sort((a, b) => specificity(b.row) - specificity(a.row));

const prefixClasses: readonly PrefixClass[] = ['none', '66', 'f3', 'f2'];

/** What follows one opcode under one choosing prefix. */
interface Choice {
  readonly hasModrm: boolean;
  /** By ModRM (see `modrmPlace`), or without ModRM by REX.B; then the same again for REX.W, and all of it for VEX.L. undefined: #UD. */
  readonly plans: readonly (RowPlan | undefined)[];
}

/** Places of a Choice with ModRM: 8 memory forms by reg, then 64 register forms by reg and rm. */
const MODRM_PLACES = 72;

/** What a byte is as a prefix in 16- and 32-bit code: see the constants. REX is treated apart. */
const PREFIX_OPERAND = 1;
const PREFIX_ADDRESS = 2;
const PREFIX_LOCK = 3;
const PREFIX_REPEAT = 4;
const PREFIX_SEGMENT = 5;
const prefixKind = new Uint8Array(256);
prefixKind[0x66] = PREFIX_OPERAND;
prefixKind[0x67] = PREFIX_ADDRESS;
prefixKind[0xf0] = PREFIX_LOCK;
prefixKind[0xf2] = prefixKind[0xf3] = PREFIX_REPEAT;
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) prefixKind[byte] = PREFIX_SEGMENT;

function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

function readI32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Registers of the 16-bit addressing forms (SDM 2A, table 2-1). */
const base16 = [3, 3, 5, 5, 6, 7, 5, 3];
const index16 = [6, 7, 6, 7, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER];

/** Decodes by the opcode rows, without garbage. Prefix rules: Intel SDM 2A, chapter 2. */
export class Decoder {
  readonly #features: ReadonlySet<string> | undefined;
  /** By (64-bit code, map, opcode, prefix class); made when first asked for. null: no row at all. */
  readonly #choices: (Choice | null | undefined)[] = new Array<undefined>(2 * 2 * VEX_MAPS * 4).fill(undefined);

  /** Rows whose feature is not in the set decode as if they were not there; without a set all rows count. */
  constructor(features?: ReadonlySet<string>) {
    this.#features = features;
  }

  /**
   * Decodes the instruction at `offset`; at most `available` bytes are looked at. `out` is complete when the result is
   * 'ok' and meaningless otherwise. The bytes may lie in shared memory; each is read once.
   */
  decode(bytes: Uint8Array, offset: number, available: number, codeSize: 16 | 32 | 64, out: Instruction): DecodeStatus {
    const limit = available < MAX_LENGTH ? available : MAX_LENGTH;
    const short: DecodeStatus = available >= MAX_LENGTH ? 'too-long' : 'truncated';
    const long = codeSize === 64;
    let at = 0;
    let operandPrefix = false;
    let addressPrefix = false;
    let rep = 0;
    let lock = false;
    let segment = -1;
    let rex = 0;
    let opcode = 0;
    for (;;) {
      if (at >= limit) return short;
      opcode = bytes[offset + at++]!;
      const kind = prefixKind[opcode]!;
      if (kind === 0) {
        if (!long || (opcode & 0xf0) !== 0x40) break;
        rex = opcode;
        continue;
      }
      rex = 0; // REX counts only right before the opcode
      if (kind === PREFIX_OPERAND) operandPrefix = true;
      else if (kind === PREFIX_ADDRESS) addressPrefix = true;
      else if (kind === PREFIX_LOCK) lock = true;
      else if (kind === PREFIX_REPEAT) rep = opcode;
      else if (opcode >= 0x64) segment = opcode - 0x60;
      else if (!long) segment = (opcode >> 3) & 3; // in 64-bit code ES, CS, SS, DS overrides do nothing, not even undo FS or GS
    }
    let place = opcode;
    let prefixClass = rep !== 0 ? (rep === 0xf3 ? 2 : 3) : operandPrefix ? 1 : 0;
    let vvvv = 0;
    let vexL = false;
    if (opcode === 0xc4 || opcode === 0xc5) {
      // Outside 64-bit code a memory operand makes it LES or LDS.
      if (at >= limit) return short;
      let payload = bytes[offset + at]!;
      if (long || payload >= 0xc0) {
        if (prefixClass !== 0 || operandPrefix || lock || rex !== 0) return 'undefined';
        at++;
        rex = (payload & 0x80) === 0 ? 4 : 0;
        let map = 1;
        if (opcode === 0xc4) {
          rex |= (~payload >> 5) & 3;
          map = payload & 31;
          if (map < 1 || map > 3) return 'undefined';
          if (at >= limit) return short;
          payload = bytes[offset + at++]!;
          rex |= (payload & 0x80) >> 4;
        }
        vvvv = (~payload >> 3) & 15;
        vexL = (payload & 4) !== 0;
        prefixClass = payload & 3;
        if (!long) {
          // B and the top bit of vvvv count in 64-bit code only.
          rex &= 8;
          vvvv &= 7;
        }
        if (at >= limit) return short;
        opcode = bytes[offset + at++]!;
        place = VEX_MAPS + map * 256 + opcode;
      }
    } else if (opcode === 0x0f) {
      if (at >= limit) return short;
      opcode = bytes[offset + at++]!;
      place = 256 + opcode;
      if (opcode === 0x38 || opcode === 0x3a) {
        place = opcode === 0x38 ? 512 : 768;
        if (at >= limit) return short;
        opcode = bytes[offset + at++]!;
        place += opcode;
      }
    }
    const vex = place >= VEX_MAPS;
    const key = ((long ? 2 * VEX_MAPS : 0) + place) * 4 + prefixClass;
    let choice = this.#choices[key];
    if (choice === undefined) choice = this.#choices[key] = this.#makeChoice(long, place, prefixClasses[prefixClass]!);
    if (choice === null) return 'undefined';
    const rexW = (rex & 8) !== 0;
    let modrm = 0;
    let plan: RowPlan | undefined;
    if (choice.hasModrm) {
      if (at >= limit) return short;
      modrm = bytes[offset + at++]!;
      plan = choice.plans[(modrm < 0xc0 ? modrm >> 3 & 7 : modrm - 0xb8) + (rexW ? MODRM_PLACES : 0) + (vexL ? 2 * MODRM_PLACES : 0)];
    } else plan = choice.plans[(rex & 1) + (rexW ? 2 : 0) + (vexL ? 4 : 0)];
    if (plan === undefined) return 'undefined';
    const row = plan.row;
    // Every row that may be locked has ModRM.
    if (lock && !(row.lockable && modrm < 0xc0)) return 'undefined';
    if (vex && vvvv !== 0 && !plan.usesVvvv) return 'undefined';

    out.row = row;
    out.rowIndex = plan.index;
    out.codeSize = codeSize;
    out.rex = rex !== 0;
    out.vvvv = vvvv;
    out.lock = lock;
    out.rep = row.repeatable ? rep : 0;
    // As a mandatory prefix 66 does not change the size, and REX.W beats it.
    const small = operandPrefix && row.prefix !== '66';
    if (long) {
      if (rexW || row.size64 === 'f64') out.operandSize = 64;
      else if (small) out.operandSize = 16;
      else out.operandSize = row.size64 === 'd64' ? 64 : 32;
      out.addressSize = addressPrefix ? 32 : 64;
    } else {
      out.operandSize = vex || (codeSize === 32) !== small ? 32 : 16;
      out.addressSize = (codeSize === 32) !== addressPrefix ? 32 : 16;
    }
    out.opcodeRegister = (opcode & 7) | ((rex & 1) << 3);
    out.isMemory = plan.implicitMemory;
    out.segmentOverride = segment >= 0;
    out.segment = segment >= 0 ? segment : 3;
    out.base = NO_REGISTER;
    out.index = NO_REGISTER;
    out.scale = 0;
    out.displacement = 0;
    out.displacement32At = 0;
    out.immediate32At = 0;
    out.immediate = 0;
    out.immediateHigh = 0;
    out.immediate2 = 0;
    if (row.hasModrm) {
      out.mod = modrm >> 6;
      out.reg = ((modrm >> 3 & 7) | ((rex & 4) << 1)) & plan.regMask;
      out.rm = ((modrm & 7) | ((rex & 1) << 3)) & plan.rmMask;
      if (modrm < 0xc0 && !row.ignoresMod) {
        const used = this.#memory(bytes, offset + at, limit - at, modrm, rex, out);
        if (used < 0) return short;
        if (plan.vsib) {
          if ((modrm & 7) !== 4 || out.addressSize === 16) return 'undefined';
          const sib = bytes[offset + at]!;
          out.immediate = (sib >> 3 & 7) | ((rex & 2) << 2) | (sib >> 6 << 4);
          out.index = NO_REGISTER;
          out.scale = 0;
        }
        at += used;
        if (out.displacement32At !== 0) out.displacement32At -= offset;
      }
    } else {
      out.mod = 3;
      out.reg = 0;
      out.rm = 0;
    }
    if (plan.immediate !== 'none') {
      at = this.#immediate(bytes, offset, at, limit, plan.immediate, out);
      if (at < 0) return short;
    }
    out.length = at;
    return 'ok';
  }

  /** Chooses a row for each ModRM under one prefix: the first, most specific one that fits. */
  #makeChoice(long: boolean, place: number, prefix: PrefixClass): Choice | null {
    const rows = rowsOfOpcode[place]!.filter(({ row }) => acceptsPrefix(row, prefix) && existsIn(row, long ? 64 : 32)
      && (this.#features === undefined || row.feature === '' || this.#features.has(row.feature)));
    if (rows.length === 0) return null;
    const hasModrm = rows[0]!.row.hasModrm;
    const places = hasModrm ? MODRM_PLACES : 2;
    const plans = Array.from({ length: places * (rows[0]!.row.vex ? 4 : 2) }, (_, i) => {
      const rexW = Math.floor(i / places) % 2 === 1 ? '1' : '0';
      const vexL = i >= places * 2 ? '1' : '0';
      const at = i % places;
      return rows.find(({ row }) => {
        if (row.rexW !== 'any' && row.rexW !== rexW) return false;
        if (row.vexL !== 'any' && row.vexL !== vexL) return false;
        // NOP and PAUSE with REX.B are XCHG with R8.
        if (!hasModrm) return !(row.map === 0 && row.opcode === 0x90 && !row.opcodeRegister && at === 1);
        const isMemory = at < 8;
        const reg = isMemory ? at : (at - 8) >> 3;
        if (row.digit >= 0 && row.digit !== reg) return false;
        if ((row.modes & (isMemory ? 1 : 2)) === 0 && !row.ignoresMod) return false;
        return row.rm < 0 || row.rm === (at & 7);
      });
    });
    return { hasModrm, plans };
  }

  /** ModRM memory forms (SDM 2A, tables 2-1 to 2-3). Returns the bytes used behind ModRM, or -1. */
  #memory(bytes: Uint8Array, at: number, left: number, modrm: number, rex: number, out: Instruction): number {
    const mod = modrm >> 6;
    const rm = modrm & 7;
    out.isMemory = true;
    let used = 0;
    let displacementSize = 0;
    if (out.addressSize === 16) {
      if (mod === 0 && rm === 6) displacementSize = 2;
      else {
        out.base = base16[rm]!;
        out.index = index16[rm]!;
        displacementSize = mod;
        if (!out.segmentOverride && (rm === 2 || rm === 3 || rm === 6)) out.segment = 2;
      }
    } else {
      displacementSize = mod === 1 ? 1 : mod === 2 ? 4 : 0;
      if (rm === 4) {
        if (left < 1) return -1;
        const sib = bytes[at]!;
        used = 1;
        const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
        if (index !== 4) {
          out.index = index;
          out.scale = sib >> 6;
        }
        if ((sib & 7) === 5 && mod === 0) displacementSize = 4;
        else out.base = (sib & 7) | ((rex & 1) << 3);
      } else if (rm === 5 && mod === 0) {
        displacementSize = 4;
        if (out.codeSize === 64) out.base = BASE_RIP;
      } else out.base = rm | ((rex & 1) << 3);
      if (!out.segmentOverride && (out.base === 4 || out.base === 5)) out.segment = 2;
    }
    if (left < used + displacementSize) return -1;
    const d = at + used;
    if (displacementSize === 1) out.displacement = (bytes[d]! << 24) >> 24;
    else if (displacementSize === 2) out.displacement = ((bytes[d]! | (bytes[d + 1]! << 8)) << 16) >> 16;
    else if (displacementSize === 4) {
      out.displacement32At = d;
      out.displacement = bytes[d]! | (bytes[d + 1]! << 8) | (bytes[d + 2]! << 16) | (bytes[d + 3]! << 24);
    }
    return used + displacementSize;
  }

  /** Returns the instruction's length, or -1. */
  #immediate(bytes: Uint8Array, offset: number, at: number, limit: number, kind: ImmediateKind, out: Instruction): number {
    const size = this.#immediateSize(kind, out);
    if (at + size > limit) return -1;
    const p = offset + at;
    switch (kind) {
      case 'none':
        return at;
      case 'u8':
        out.immediate = bytes[p]!;
        return at + 1;
      case 's8':
      case 'rel8':
        out.immediate = (bytes[p]! << 24) >> 24;
        break;
      case 'u16':
        out.immediate = readU16(bytes, p);
        return at + 2;
      case 'z':
        if (size === 4) out.immediate32At = at;
        out.immediate = size === 2 ? (readU16(bytes, p) << 16) >> 16 : readI32(bytes, p);
        break;
      case 'relz':
        out.immediate = size === 2 ? (readU16(bytes, p) << 16) >> 16 : readI32(bytes, p);
        break;
      case 'v':
      case 'moffs':
        if (size >= 4) out.immediate32At = at;
        out.immediate = size === 2 ? readU16(bytes, p) : readI32(bytes, p);
        if (size === 8) out.immediateHigh = readI32(bytes, p + 4);
        if (kind === 'moffs') out.isMemory = true;
        return at + size;
      case 'far':
        out.immediate = size === 4 ? readU16(bytes, p) : readI32(bytes, p);
        out.immediate2 = readU16(bytes, p + size - 2);
        return at + size;
      case 'enter':
        out.immediate = readU16(bytes, p);
        out.immediate2 = bytes[p + 2]!;
        return at + 3;
    }
    out.immediateHigh = out.immediate >> 31;
    return at + size;
  }

  #immediateSize(kind: ImmediateKind, out: Instruction): number {
    switch (kind) {
      case 'none': return 0;
      case 'u8': case 's8': case 'rel8': return 1;
      case 'u16': return 2;
      // Near branches of 64-bit code take 32-bit displacements (SDM 2A, JMP).
      case 'z': case 'relz': return out.operandSize === 16 ? 2 : 4;
      case 'v': return out.operandSize === 64 ? 8 : out.operandSize / 8;
      case 'moffs': return out.addressSize / 8;
      case 'far': return out.operandSize === 16 ? 4 : 6;
      case 'enter': return 3;
    }
  }
}
