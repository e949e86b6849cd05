import { opcodeRows } from '../opcodes/table.ts';
import type { OpcodeRow } from '../opcodes/row.ts';
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
}

function immediateKind(row: OpcodeRow): ImmediateKind {
  if (row.name === 'enter') return 'enter';
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

/** Candidates by map * 256 + opcode, in table order. */
const candidates: RowPlan[][] = Array.from({ length: 1024 }, () => []);
opcodeRows.forEach((row, index) => {
  candidates[row.map * 256 + row.opcode]!.push({ row, index, immediate: immediateKind(row), implicitMemory: row.operands.some((operand) => 'XY'.includes(operand[0]!)) || row.name === 'xlat' });
});

/** Decodes by the opcode rows, without garbage. Prefix rules: Intel SDM 2A, chapter 2. */
export class Decoder {
  readonly #features: ReadonlySet<string> | undefined;

  /** Rows whose feature is not in the set decode as if they were not there; without a set all rows count. */
  constructor(features?: ReadonlySet<string>) {
    this.#features = features;
  }

  /** Decodes the instruction at `offset`; at most `available` bytes are looked at. */
  decode(bytes: Uint8Array, offset: number, available: number, codeSize: 16 | 32 | 64, out: Instruction): DecodeStatus {
    const limit = Math.min(available, MAX_LENGTH);
    const short: DecodeStatus = available >= MAX_LENGTH ? 'too-long' : 'truncated';
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
      if (codeSize === 64 && (opcode & 0xf0) === 0x40) {
        rex = opcode;
        continue;
      }
      let prefix = true;
      switch (opcode) {
        case 0x66: operandPrefix = true; break;
        case 0x67: addressPrefix = true; break;
        case 0xf0: lock = true; break;
        case 0xf2: case 0xf3: rep = opcode; break;
        case 0x26: case 0x2e: case 0x36: case 0x3e: if (codeSize !== 64) segment = (opcode >> 3) & 3; break;
        case 0x64: segment = 4; break;
        case 0x65: segment = 5; break;
        default: prefix = false;
      }
      if (!prefix) break;
      rex = 0; // REX counts only right before the opcode
    }
    let map = 0;
    if (opcode === 0x0f) {
      if (at >= limit) return short;
      opcode = bytes[offset + at++]!;
      map = 1;
      if (opcode === 0x38 || opcode === 0x3a) {
        map = opcode === 0x38 ? 2 : 3;
        if (at >= limit) return short;
        opcode = bytes[offset + at++]!;
      }
    }
    const rows = candidates[map * 256 + opcode]!;
    if (rows.length === 0) return 'undefined';
    const modrm = at < limit ? bytes[offset + at]! : -1;
    let found: RowPlan | undefined;
    for (const plan of rows) {
      const row = plan.row;
      if (row.hasModrm) {
        if (modrm < 0) return short;
        if (row.digit >= 0 && row.digit !== ((modrm >> 3) & 7)) continue;
        if ((row.modes & (modrm >= 0xc0 ? 2 : 1)) === 0 && !row.semantics.includes('cr') && !row.semantics.includes('dr')) continue;
        if (row.rm >= 0 && row.rm !== (modrm & 7)) continue;
      }
      // A repeat prefix is mandatory before 66 where both are there.
      if (row.prefix !== 'any') {
        const seen = rep === 0xf3 ? 'f3' : rep === 0xf2 ? 'f2' : operandPrefix ? '66' : 'none';
        if (row.prefix !== seen && !(row.prefix === '66' && operandPrefix && map > 1 && rep === 0)) continue;
      }
      if (row.validity === 'not64' ? codeSize === 64 : row.validity === 'only64' && codeSize !== 64) continue;
      if (row.opcode === 0x90 && row.map === 0 && row.operands.length === 0 && (rex & 1) !== 0) continue;
      if (this.#features !== undefined && row.feature !== '' && !this.#features.has(row.feature)) continue;
      found = plan;
      break;
    }
    if (found === undefined) return 'undefined';
    const row = found.row;
    if (lock && !(row.lockable && row.hasModrm && modrm < 0xc0)) return 'undefined';

    const rexW = (rex & 8) !== 0;
    const prefixIsMandatory = row.prefix === '66';
    out.row = row;
    out.rowIndex = found.index;
    out.codeSize = codeSize;
    out.rex = rex !== 0;
    out.lock = lock;
    out.rep = rep;
    if (codeSize === 64) {
      const small = operandPrefix && !prefixIsMandatory;
      if (row.size64 === 'f64') out.operandSize = 64;
      else if (rexW) out.operandSize = 64;
      else if (small) out.operandSize = 16;
      else out.operandSize = row.size64 === 'd64' ? 64 : 32;
      out.addressSize = addressPrefix ? 32 : 64;
    } else {
      const flip = operandPrefix && !prefixIsMandatory;
      out.operandSize = (codeSize === 32) !== flip ? 32 : 16;
      out.addressSize = (codeSize === 32) !== addressPrefix ? 32 : 16;
    }
    out.opcodeRegister = (opcode & 7) | ((rex & 1) << 3);
    out.isMemory = false;
    out.segmentOverride = segment >= 0;
    out.segment = segment >= 0 ? segment : 3;
    out.base = NO_REGISTER;
    out.index = NO_REGISTER;
    out.scale = 0;
    out.displacement = 0;
    out.immediate = 0;
    out.immediateHigh = 0;
    out.immediate2 = 0;
    out.mod = 3;
    out.reg = 0;
    out.rm = 0;
    if (row.hasModrm) {
      at++;
      out.mod = modrm >> 6;
      out.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
      out.rm = (modrm & 7) | ((rex & 1) << 3);
      // MOV to and from control and debug registers ignores mod (SDM 2B, MOV).
      if (out.mod !== 3 && (row.modes & 1) !== 0) {
        const used = this.#memory(bytes, offset + at, limit - at, modrm, rex, out);
        if (used < 0) return short;
        at += used;
      }
    }
    if (found.implicitMemory) out.isMemory = true;
    const end = this.#immediate(bytes, offset, at, limit, found.immediate, out);
    if (end < 0) return short;
    out.length = end;
    return 'ok';
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
        out.base = [3, 3, 5, 5, 6, 7, 5, 3][rm]!;
        out.index = rm < 4 ? [6, 7, 6, 7][rm]! : NO_REGISTER;
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
    else if (displacementSize === 4) out.displacement = bytes[d]! | (bytes[d + 1]! << 8) | (bytes[d + 2]! << 16) | (bytes[d + 3]! << 24);
    return used + displacementSize;
  }

  /** Returns the instruction's length, or -1. */
  #immediate(bytes: Uint8Array, offset: number, at: number, limit: number, kind: ImmediateKind, out: Instruction): number {
    const size = this.#immediateSize(kind, out);
    if (at + size > limit) return -1;
    const p = offset + at;
    const u16 = (i: number): number => bytes[i]! | (bytes[i + 1]! << 8);
    const u32 = (i: number): number => u16(i) | (u16(i + 2) << 16);
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
        out.immediate = u16(p);
        return at + 2;
      case 'z':
      case 'relz':
        out.immediate = size === 2 ? (u16(p) << 16) >> 16 : u32(p);
        break;
      case 'v':
      case 'moffs':
        out.immediate = size === 2 ? u16(p) : u32(p);
        if (size === 8) out.immediateHigh = u32(p + 4);
        if (kind === 'moffs') out.isMemory = true;
        return at + size;
      case 'far':
        out.immediate = size === 4 ? u16(p) : u32(p);
        out.immediate2 = u16(p + size - 2);
        return at + size;
      case 'enter':
        out.immediate = u16(p);
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
