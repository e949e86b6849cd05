import type { Builder, Callee } from '../../../ir/builder.ts';
import type { Value } from '../../../ir/ir.ts';
import type { AtomicOperation } from '../../../ir/operations.ts';
import type { Routine } from '../routines/routine.ts';
import { BUDGET, CPL, GPR, LEAVE_FAULT, LEAVE_NEXT, RSP, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FAST_READ, SEG_FAST_WRITE, SEG_SELECTOR, SEG_SS, STACK_MASK, VECTOR, VECTOR_BYTES, VECTOR_GP } from '../state/layout.ts';
import { Flags } from './flags.ts';
import type { Width } from './flags.ts';
import type { X87Stack } from './x87-stack.ts';

/** The instruction's shape: all that its semantics may decide on with a TypeScript `if`. */
export interface Shape {
  /** Operands in the manual's notation, e.g. ['Ev', 'Gv']. */
  readonly operands: readonly string[];
  /** Effective operand size in bits: 16, 32 or 64. */
  readonly size: 16 | 32 | 64;
  /** 64-bit code. */
  readonly long: boolean;
  /** ModRM names memory (or the operand is memory by its nature). */
  readonly memory: boolean;
  readonly rep: 'none' | 'rep' | 'repne';
  /** The access to memory is locked: its read and its write are one. */
  readonly locked: boolean;
}

/** MOV between the accumulator and an address that is the instruction's immediate. */
export function isMoffs(operands: readonly string[]): boolean {
  return operands.some((operand) => operand[0] === 'O');
}

/** Which register field of the instruction: ModRM.reg or the opcode's register, ModRM.rm, VEX.vvvv. */
export type RegisterSlot = 'reg' | 'rm' | 'vvvv';

/** Names the runtime's routines to the builder. */
export interface RoutineDirectory {
  find(name: string): { readonly callee: Callee; readonly routine: Routine };
}

const fixedRegisters: Readonly<Record<string, readonly [number, Width | 'v']>> = {
  AL: [0, 8], CL: [1, 8], DL: [2, 8], BL: [3, 8], AX: [0, 16], DX: [2, 16], eAX: [0, 'v'], rAX: [0, 'v'], EAX: [0, 32], RAX: [0, 64],
};

/**
 * What an instruction's semantics are written against. Operands are opaque: the interpreter build takes them from the
 * decoded record, the translator knows them. Values of up to 32 bits are i32, zero-extended; of 64 bits i64.
 * Order in every semantics function: read, compute, commit, flags (DESIGN D2.2).
 */
export abstract class Context {
  readonly b: Builder;
  readonly shape: Shape;
  readonly flags: Flags;
  readonly #routines: RoutineDirectory;
  readonly #kept = new Map<string, { readonly value: Value; readonly scope: number }>();
  /** Set once a terminal was emitted; otherwise execution goes on with the next instruction. */
  terminated = false;

  constructor(builder: Builder, shape: Shape, routines: RoutineDirectory, flags = new Flags(builder)) {
    this.b = builder;
    this.shape = shape;
    this.flags = flags;
    this.#routines = routines;
  }

  // How this engine gets at the instruction's fields.
  protected abstract loadRegister(slot: RegisterSlot, suffix: '8u' | '16u' | '32' | '64' | 'v128', offset: number): Value;
  protected abstract storeRegister(slot: RegisterSlot, suffix: '8' | '16' | '32' | '64' | 'v128', offset: number, value: Value): void;
  /** Number in a register field that names no general register: segment, control or debug register, x87 ST(i). */
  abstract registerNumber(slot: RegisterSlot): Value;
  /** The immediate, sign- or zero-extended as the row says, as i32 or i64. */
  abstract immediate32(): Value;
  abstract immediate64(): Value;
  /** Second immediate (ENTER's level, a far pointer's selector) as i32. */
  abstract secondImmediate(): Value;
  /** Effective address without the segment: i64 in 64-bit code, else i32. */
  protected abstract buildEffectiveAddress(): Value;
  /** State offset of the memory operand's segment register (ZERO slot when its base does not count) as i32. */
  protected abstract segmentOffset(): Value;
  /** RIP of the next instruction as i64, masked as the mode asks. */
  abstract nextIp(): Value;
  /** RIP of this instruction as i64. */
  abstract currentIp(): Value;
  /** Address size in bits as i32 (16, 32, 64). */
  abstract addressSize(): Value;
  
  get size(): 16 | 32 | 64 { return this.shape.size; }
  get long(): boolean { return this.shape.long; }
  get memory(): boolean { return this.shape.memory; }
  get locked(): boolean { return this.shape.locked; }

  /** Width of operand i in bits, by its size letter. */
  width(i: number): Width {
    const notation = this.#notation(i);
    const fixed = fixedRegisters[notation];
    if (fixed !== undefined) return fixed[1] === 'v' ? this.size : fixed[1];
    return this.widthOf(notation);
  }
  protected widthOf(notation: string): Width {
    switch (notation.slice(1)) {
      case 'b': case 'bs': return 8;
      case 'w': return 16;
      case 'd': case 'ss': case 'ssdq': return 32;
      case 'q': case 'sd': case 'sddq': return 64;
      case 'v': return this.size;
      case 'z': return this.size === 16 ? 16 : 32;
      case 'y': return this.size === 64 ? 64 : 32;
      default: throw new Error(`operand ${notation} has no scalar width`);
    }
  }
  #notation(i: number): string {
    const notation = this.shape.operands[i];
    if (notation === undefined) throw new Error(`no operand ${i} in ${this.shape.operands.join()}`);
    return notation;
  }
  /** Operand i is memory in this form. */
  isMemory(i: number): boolean {
    const letter = this.#notation(i)[0]!;
    return letter === 'M' || letter === 'O' || (this.memory && (letter === 'E' || letter === 'W' || letter === 'Q'));
  }
  /** Operand i exists. */
  has(i: number): boolean {
    return i < this.shape.operands.length;
  }
  #slot(i: number): RegisterSlot {
    const letter = this.#notation(i)[0]!;
    if ('EWQRUNM'.includes(letter)) return 'rm';
    if ('GVPSCDZ'.includes(letter)) return 'reg';
    if ('BH'.includes(letter)) return 'vvvv';
    throw new Error(`operand ${this.#notation(i)} is in no register field`);
  }

  /** Reads scalar operand i: general register, memory or immediate. `width` overrides the operand's own. */
  read(i: number, width: Width = this.width(i)): Value {
    const notation = this.#notation(i);
    if (notation === '1') return this.b.i32(1);
    const fixed = fixedRegisters[notation];
    if (fixed !== undefined) return this.gpr(fixed[0], width);
    if (notation[0] === 'I') return this.immediate(width);
    if (this.isMemory(i)) return this.load(this.address('read', width / 8), width);
    return this.loadRegister(this.#slot(i), width === 8 ? '8u' : width === 16 ? '16u' : width === 32 ? '32' : '64', 0);
  }
  /** As read, but memory is checked for writing too: a later `write` of the same operand cannot fault. */
  readForWrite(i: number, width: Width = this.width(i)): Value {
    return this.isMemory(i) ? this.b.op(`memory.load${width}.write`, [this.address('write', width / 8)]) : this.read(i, width);
  }
  /** Writes scalar operand i. A 32-bit register write clears the upper half, as in 64-bit mode. */
  write(i: number, value: Value, width: Width = this.width(i)): void {
    const fixed = fixedRegisters[this.#notation(i)];
    if (fixed !== undefined) return this.setGpr(fixed[0], width, value);
    if (this.isMemory(i)) return this.store(this.address('write', width / 8), width, value);
    if (width === 32) this.storeRegister(this.#slot(i), '64', 0, this.b.extendU(value));
    else this.storeRegister(this.#slot(i), `${width}` as '8' | '16' | '64', 0, value);
  }
  /** The immediate, as a value of this width (i32 below 64 bits, low bits only). */
  immediate(width: Width): Value {
    if (width === 64) return this.immediate64();
    return width === 32 ? this.immediate32() : this.b.andConst(this.immediate32(), width === 8 ? 0xff : 0xffff);
  }

  /** Vector or MMX-in-vector operand i, 128 bits. `aligned`: memory off a 16-byte boundary is #GP(0). */
  readVector(i: number, aligned: boolean): Value {
    if (!this.isMemory(i)) return this.loadRegister(this.#slot(i), 'v128', 0);
    const address = this.address('read', 16);
    if (aligned) this.requireAlignment(address, 16);
    return this.b.op('memory.loadv128', [address]);
  }
  writeVector(i: number, value: Value, aligned: boolean): void {
    if (!this.isMemory(i)) return this.storeRegister(this.#slot(i), 'v128', 0, value);
    const address = this.address('write', 16);
    if (aligned) this.requireAlignment(address, 16);
    this.b.op('memory.storev128', [address, value]);
  }
  // VEX-encoded instructions: their vector operands are dq (XMM) or qq (YMM), which a context takes as halves of 128 bits.
  /** The instruction is VEX-encoded and has vector operands: nothing is kept above what it writes. */
  get vex(): boolean {
    return this.shape.operands.some((operand) => /(dq|qq)$/.test(operand));
  }
  /** Halves of 128 bits in the result. */
  get halves(): 1 | 2 {
    return this.shape.operands[0]?.endsWith('qq') === true ? 2 : 1;
  }
  /** Number of the last operand that is a source in register or memory. */
  get lastSource(): number {
    const { operands } = this.shape;
    return operands.length - (/^(I|L|xmm0)/.test(operands.at(-1)!) ? 2 : 1);
  }
  /** Vector operand i in its one or two halves. `aligned`: memory off the operand's natural boundary is #GP(0). */
  readHalves(i: number, aligned: boolean = !this.vex): Value[] {
    const bytes = this.#notation(i).endsWith('qq') ? 32 : 16;
    const places = bytes === 32 ? [0, 16] : [0];
    if (!this.isMemory(i)) return places.map((place) => this.#loadVector(i, place));
    if (bytes === 16) return [this.readVector(i, aligned)];
    const address = this.address('read', bytes);
    if (aligned) this.requireAlignment(address, bytes);
    return places.map((place) => this.b.op('memory.loadv128', [place === 0 ? address : this.b.addConst(address, place)], place === 0 ? bytes : 0));
  }
  /** The register of an L operand is in the immediate, bits 7:4; outside 64-bit code bit 7 does not count. */
  #loadVector(i: number, place: number): Value {
    if (this.#notation(i)[0] !== 'L') return this.loadRegister(this.#slot(i), 'v128', place);
    const { b } = this;
    const number = b.andConst(b.shrUConst(this.immediate(8), 4), this.long ? 15 : 7);
    return b.op('state.loadv128.at', [b.shlConst(number, Math.log2(VECTOR_BYTES))], VECTOR + place);
  }
  /** The same of an operand of 128 bits. */
  readWhole(i: number): Value {
    return this.readHalves(i)[0]!;
  }
  /** Writes vector operand i; in a VEX form the rest of a register becomes zero. */
  writeHalves(i: number, halves: readonly Value[], aligned: boolean = !this.vex): void {
    const { b } = this;
    const low = halves[0]!;
    if (!this.isMemory(i)) {
      this.writeVector(i, low, false);
      if (this.vex) this.storeRegister(this.#slot(i), 'v128', 16, halves[1] ?? b.v128(new Uint8Array(16)));
      return;
    }
    if (halves.length === 1) return this.writeVector(i, low, aligned);
    const address = this.address('write', 32);
    if (aligned) this.requireAlignment(address, 32);
    else {
      // Two stores: where they may meet two pages, the second must not fault once the first is done.
      const crossing = b.gtU(b.andConst(b.wrap(address), 0xfff), b.i32(0xfe0));
      b.ifSeldom(crossing, () => this.call('probeStore', [address, b.i32(32)]));
    }
    this.#kept.set('write16', { value: address, scope: b.scope });
    this.writeVector(i, low, false);
    b.op('memory.storev128', [b.addConst(address, 16), halves[1]!]);
  }

  /** Low 32 or 64 bits of vector operand i (register lane 0, or memory of that size); MMX registers: 64. */
  readLow(i: number, width: 32 | 64): Value {
    if (this.isMemory(i)) return this.load(this.address('read', width / 8), width);
    return this.loadRegister(this.#slot(i), `${width}`, 0);
  }
  /** Writes low bits of vector register operand i, upper ones unchanged; or memory of that size. */
  writeLow(i: number, value: Value, width: 32 | 64, lane = 0): void {
    if (this.isMemory(i)) return this.store(this.address('write', width / 8), width, value);
    this.storeRegister(this.#slot(i), `${width}`, lane * (width / 8), value);
  }
  /** Lane of a vector register operand. */
  readLane(i: number, width: 32 | 64, lane: number): Value {
    return this.loadRegister(this.#slot(i), `${width}`, lane * (width / 8));
  }
  /** Sign and exponent of the x87 register that MMX register operand i aliases become all ones. */
  writeMmxExponent(i: number): void {
    this.storeRegister(this.#slot(i), '16', 8, this.b.i32(0xffff));
  }
  requireAlignment(address: Value, bytes: number): void {
    this.b.ifSeldom(this.b.wrap(this.b.andConst(address, bytes - 1)), () => this.fault(VECTOR_GP, 0));
  }
  /** State offset of vector register n. */
  vectorOffset(base: number, n: number): number {
    return base + n * VECTOR_BYTES;
  }

  /** General register n by number, at a width: AH and the like are not reached this way. */
  gpr(n: number, width: Width): Value {
    return this.b.loadState(width === 8 ? '8u' : width === 16 ? '16u' : width === 32 ? '32' : '64', GPR + n * 8);
  }
  setGpr(n: number, width: Width, value: Value): void {
    if (width === 32) this.b.storeState('64', GPR + n * 8, this.b.extendU(value));
    else this.b.storeState(`${width}` as '8' | '16' | '64', GPR + n * 8, value);
  }

  load(address: Value, width: Width): Value {
    return this.b.op(`memory.load${width}`, [address]);
  }
  store(address: Value, width: Width, value: Value): void {
    this.b.op(`memory.store${width}`, [address, value]);
  }

  /** Locked: changes memory by an operation with the operand, and gives what was there (zero-extended). */
  modify(address: Value, width: Width, operation: AtomicOperation, operand: Value): Value {
    return this.b.op(`atomic.${operation}${width}`, [address, operand]);
  }
  /** Locked: writes the replacement where memory holds what is expected (zero-extended), and gives what was there. */
  compareExchange(address: Value, width: Width, expected: Value, replacement: Value): Value {
    return this.b.op(`atomic.cmpxchg${width}`, [address, expected, replacement]);
  }

  /** Effective address (offset) of the memory operand, without its segment: i64 in 64-bit code, else i32. */
  effectiveAddress(): Value {
    return this.#once('effective', () => this.buildEffectiveAddress());
  }
  /** Builds a value once for all uses that the control flow around the first one lets see it. */
  #once(key: string, build: () => Value): Value {
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.b.inScope(kept.scope)) return kept.value;
    const value = build();
    this.#kept.set(key, { value, scope: this.b.scope });
    return value;
  }
  /** Linear address (i64) of the memory operand, segment limit and type checked outside 64-bit code. */
  address(access: 'read' | 'write', bytes: number): Value {
    return this.#once(`${access}${bytes}`, () => this.addressAt(this.effectiveAddress(), access, bytes));
  }
  /** Linear address of another offset in the memory operand's segment. */
  addressAt(offset: Value, access: 'read' | 'write', bytes: number): Value {
    const b = this.b;
    const segment = this.segmentOffset();
    if (this.long) return b.add(offset, b.op('state.load64.at', [segment], SEG_BASE));
    const fast = b.op('state.load32.at', [segment], access === 'write' ? SEG_FAST_WRITE : SEG_FAST_READ);
    const check = (): void => void this.call('checkSegment', [this.segmentIndex(), offset, b.i32(bytes), b.i32(access === 'write' ? 1 : 0)]);
    // The quick check answers for 16 bytes.
    if (bytes > 16) check();
    else b.ifSeldom(b.geU(offset, fast), check);
    return b.extendU(b.add(offset, b.op('state.load32.at', [segment], SEG_BASE)));
  }
  /** Index (0 to 5) of the memory operand's segment register as i32; outside 64-bit code only. */
  segmentIndex(): Value {
    return this.b.shrUConst(this.b.addConst(this.segmentOffset(), -SEGMENTS), Math.log2(SEGMENT_BYTES));
  }

  /** Selector of the memory operand's segment as i32; outside 64-bit code only. */
  dataSelector(): Value {
    return this.b.op('state.load16u.at', [this.segmentOffset()], SEG_SELECTOR);
  }
  /** What is known of the x87 registers over several instructions; undefined where each is on its own, or its memory operand has to be checked. */
  x87Stack(): X87Stack | undefined {
    return undefined;
  }

  /** Linear address of an offset in the memory operand's segment, unchecked (INVLPG). */
  segmentLinear(offset: Value): Value {
    const { b } = this;
    const segment = this.segmentOffset();
    if (this.long) return b.add(offset, b.op('state.load64.at', [segment], SEG_BASE));
    return b.add(offset, b.op('state.load32.at', [segment], SEG_BASE));
  }
  /** Segment index (0 to 5) of a string instruction's source; in 64-bit code 3 unless FS or GS. */
  sourceSegment(): Value {
    const { b } = this;
    if (!this.long) return this.segmentIndex();
    const offset = this.segmentOffset();
    return b.select(b.ltU(offset, b.i32(SEGMENTS)), b.i32(3), this.segmentIndex());
  }

  // The stack. In 64-bit code 64 bits wide; else SS.B decides between SP and ESP, through STACK_MASK.
  /** Linear address of `offset` bytes from the top of the stack, checked for an access of `bytes`. */
  stackAddress(offset: number, access: 'read' | 'write', bytes: number): Value {
    const b = this.b;
    if (this.long) return b.addConst(b.loadState('64', RSP), offset);
    const pointer = b.and(b.addConst(b.loadState('32', RSP), offset), b.loadState('32', STACK_MASK));
    return this.stackLinear(pointer, access, bytes);
  }
  /** Linear address of an SS offset (i32; outside 64-bit code), limit checked. */
  stackLinear(offset: Value, access: 'read' | 'write', bytes: number): Value {
    const b = this.b;
    const segment = SEGMENTS + SEG_SS * SEGMENT_BYTES;
    const fast = b.loadState('32', segment + (access === 'write' ? SEG_FAST_WRITE : SEG_FAST_READ));
    b.ifSeldom(b.geU(offset, fast), () => this.call('checkSegment', [b.i32(SEG_SS), offset, b.i32(bytes), b.i32(access === 'write' ? 1 : 0)]));
    return b.extendU(b.add(offset, b.loadState('32', segment + SEG_BASE)));
  }
  /** Adds to the stack pointer (commit phase). */
  adjustStack(delta: number): void {
    this.moveStack(this.b.i32(delta));
  }
  /** The same by a value (i32, signed). */
  moveStack(delta: Value): void {
    const b = this.b;
    if (this.long) b.storeState('64', RSP, b.add(b.loadState('64', RSP), b.extendS(delta)));
    else this.setStackPointer(b.add(b.loadState('32', RSP), delta));
  }
  /** What the stack pointer would be after adding to it: i64 in 64-bit code, else i32. */
  movedStackPointer(delta: number): Value {
    const b = this.b;
    if (this.long) return b.addConst(b.loadState('64', RSP), delta);
    const pointer = b.loadState('32', RSP);
    const mask = b.loadState('32', STACK_MASK);
    return b.or(b.and(pointer, b.not(mask)), b.and(b.addConst(pointer, delta), mask));
  }
  /** Writes the part of the stack pointer that SS.B makes valid (value i64 in 64-bit code, else i32). */
  setStackPointer(value: Value): void {
    const b = this.b;
    if (this.long) {
      b.storeState('64', RSP, value);
      return;
    }
    const mask = b.loadState('32', STACK_MASK);
    const kept = b.and(b.loadState('32', RSP), b.not(mask));
    b.storeState('32', RSP, b.or(kept, b.and(value, mask)));
  }
  /** Stores below the stack pointer, then moves it. */
  push(width: 16 | 32 | 64, value: Value): void {
    this.store(this.stackAddress(-width / 8, 'write', width / 8), width, value);
    this.adjustStack(-width / 8);
  }
  /** Top of the stack, pointer unmoved: commit with `adjustStack(width / 8)`. */
  top(width: 16 | 32 | 64): Value {
    return this.load(this.stackAddress(0, 'read', width / 8), width);
  }

  /** Calls a routine of the runtime; one of kind 'leaves' leaves the block by itself when it returns not 0. */
  call(name: string, args: readonly Value[]): Value {
    const { callee, routine } = this.#routines.find(name);
    const result = this.b.call(callee, args);
    if (routine.kind === 'leaves') this.b.leaveNonzero(result);
    return result;
  }
  /** Calls a routine whose LEAVE_ code always leaves (far transfers, HLT): nothing follows it. */
  callAndLeave(name: string, args: readonly Value[]): void {
    this.b.op('leave', [this.b.call(this.#routines.find(name).callee, args)]);
    this.terminated = true;
  }
  /** Leaves the block after this instruction: events are looked at before the next one. */
  leaveNext(): void {
    this.b.leave(LEAVE_NEXT);
  }
  /** After an access to a device: the machine may have asked for an exit by taking the budget away. */
  leaveIfBudgetSpent(): void {
    this.b.ifSeldom(this.b.leS(this.b.loadState('32', BUDGET), this.b.i32(0)), () => this.leaveNext());
  }
  /** Raises an exception at this instruction. */
  fault(vector: number, error?: number): void {
    const b = this.b;
    b.call(this.#routines.find('raiseFault').callee, [b.i32(vector), b.i32(error === undefined ? 0 : 1), b.i32(error ?? 0)]);
    b.leave(LEAVE_FAULT);
  }
  /** #GP(0) unless CPL is 0. */
  requirePrivileged(): void {
    this.b.ifSeldom(this.b.loadState('32', CPL), () => this.fault(VECTOR_GP, 0));
  }

  /**
   * A value that stays true for the instructions that follow until a routine runs that may change what it is made of; exact
   * floating-point routines do not, though they set flags of MXCSR. `name` stands for the same value wherever it is used.
   */
  lasting(_name: string, build: () => Value): Value {
    return build();
  }
  /** The same of a check: made at the first of several instructions it may be left out at the others. */
  checkOnce(_name: string, check: () => void): void {
    check();
  }

  // Terminals.
  /** Goes to the direct branch's target. */
  jumpRelative(): void {
    this.b.op('jump.relative', [], this.#ipWidth);
    this.terminated = true;
  }
  /** Goes to the direct branch's target when the condition is not 0, else on with the next instruction. */
  jumpRelativeIf(condition: Value): void {
    this.b.op('jump.relative.if', [condition], this.#ipWidth);
  }
  /** Bits of the instruction pointer that a near branch of this size keeps. */
  get #ipWidth(): number {
    return this.long ? 64 : this.size;
  }
  /** Near indirect jump; RIP is masked to the operand size by the caller. */
  jumpTo(target: Value): void {
    this.b.op('jump.indirect', [this.b.extendU(target)]);
    this.terminated = true;
  }
}

/** What one instruction does. */
export type Semantics = (x: Context) => void;
export type SemanticsTable = Readonly<Record<string, Semantics>>;

/** An instruction that is done when all before it are seen by every processor (SDM 3A, 9.3). */
export function serializing(semantics: Semantics): Semantics {
  return (x) => {
    x.b.op('fence');
    semantics(x);
  };
}
