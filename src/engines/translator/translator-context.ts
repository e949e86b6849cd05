import type { Value } from '../../ir/ir.ts';
import type { Instruction } from '../../isa/x86/decode/instruction.ts';
import { BASE_RIP, NO_REGISTER } from '../../isa/x86/decode/instruction.ts';
import { Context, isMoffs } from '../../isa/x86/semantics/context.ts';
import type { RegisterSlot, Shape } from '../../isa/x86/semantics/context.ts';
import type { X87Stack } from '../../isa/x86/semantics/x87-stack.ts';
import { routineIndex, routines } from '../../isa/x86/routines/directory.ts';
import { GPR, SEGMENTS, SEGMENT_BYTES, SEG_CS, SEG_FS, ZERO } from '../../isa/x86/state/layout.ts';
import { registerPlaces } from '../interpreter/encode-record.ts';
import { RAW } from './flag-state.ts';
import { constantOf } from './fold.ts';
import { keepsState, mayWriteMemory, touchesRegisters, touchesX87 } from './routine-effects.ts';
import { TranslatorFlags } from './translator-flags.ts';
import { placeOf } from './region-code.ts';
import type { Assumptions, TranslatorBuilder } from './translator-builder.ts';
import { CONDITION, IP_PAGE, TARGET } from './variables.ts';

/** Where Linux maps a 32-bit kernel and its memory. Those of 64-bit kernels have the uppermost bits 10, extended by signs (Linux, Documentation/x86/x86_64/mm.rst). */
const LOWEST_ADDRESS = 0xc0000000;
const HIGHEST_ADDRESS = 0xf8000000;

const directory = { find: (name: string) => routines[routineIndex(name)]! };

/** How an instruction goes on when not to the next one. */
export type Ending = 'jump' | 'branch' | 'indirect' | 'left';

/** Operands are known: what the decoder found in one instruction. */
export class TranslatorContext extends Context {
  readonly #builder: TranslatorBuilder;
  readonly #instruction: Instruction;
  readonly #places: Readonly<Record<RegisterSlot, number>>;
  readonly #pageOffset: number;
  readonly #inlined: number;
  readonly #assumptions: Assumptions;
  /** How the instruction ends; the condition or target is in its variable then. */
  ending: Ending | undefined;
  /** A routine has run that may have overwritten code; stores of the region's own never do, for the TLB lacks such pages. */
  writes = false;
  /** A segment has been loaded that the region takes to be flat. */
  loadsFlatSegment = false;

  constructor(builder: TranslatorBuilder, instruction: Instruction, shape: Shape, pageOffset: number, inlined: number, assumptions: Assumptions) {
    super(builder, shape, directory, new TranslatorFlags(builder, directory));
    this.#builder = builder;
    this.#instruction = instruction;
    this.#places = registerPlaces(instruction);
    this.#pageOffset = pageOffset;
    this.#inlined = inlined;
    this.#assumptions = assumptions;
  }

  #place(slot: RegisterSlot): number {
    return this.#places[slot];
  }
  protected loadRegister(slot: RegisterSlot, suffix: '8u' | '16u' | '32' | '64' | 'v128', offset: number): Value {
    return this.b.loadState(suffix, this.#place(slot) + offset);
  }
  protected storeRegister(slot: RegisterSlot, suffix: '8' | '16' | '32' | '64' | 'v128', offset: number, value: Value): void {
    this.b.storeState(suffix, this.#place(slot) + offset, value);
  }
  registerNumber(slot: RegisterSlot): Value {
    return this.b.i32(this.#place(slot));
  }
  immediate32(): Value {
    const { immediate, immediate32At } = this.#instruction;
    return this.#isAddress(immediate, immediate32At) ? this.#linked(immediate32At) : this.b.i32(immediate);
  }
  immediate64(): Value {
    const { b } = this;
    const { immediate, immediateHigh, immediate32At, length } = this.#instruction;
    const upper = BigInt(immediateHigh) << 32n;
    if (!this.#isAddress(immediate, immediate32At)) return b.i64(upper | BigInt(immediate >>> 0));
    const lower = this.#linked(immediate32At);
    if (length - immediate32At === 8) return b.or(b.i64(upper), b.extendU(lower));
    return immediateHigh < 0 ? b.extendS(lower) : b.extendU(lower);
  }
  secondImmediate(): Value {
    return this.b.i32(this.#instruction.immediate2);
  }

  /** The constant with its 4 bytes at `at` in the instruction may be an address in a kernel, which lies elsewhere at its next start. What is linked is right for every value. */
  #isAddress(constant: number, at: number): boolean {
    return at !== 0 && (this.long ? constant >>> 30 === 2 : constant >>> 0 >= LOWEST_ADDRESS && constant >>> 0 < HIGHEST_ADDRESS);
  }
  #linked(at: number): Value {
    return this.b.op('linked.i32', [], placeOf(this.#inlined, this.#pageOffset + at));
  }

  protected buildEffectiveAddress(): Value {
    const { b } = this;
    if (isMoffs(this.shape.operands)) return this.long ? this.immediate64() : this.immediate32();
    // Relative to RIP, a distance within a program; from FS or GS on, an address that lies so far from a program that may lie elsewhere.
    const { segment, base, index, scale, displacement, displacement32At, addressSize } = this.#instruction;
    const register = (number: number): Value => b.loadState(this.long ? '64' : '32', GPR + number * 8);
    const constant = (value: number): Value => (this.long ? b.i64(value) : b.i32(value));
    let sum = base === NO_REGISTER ? constant(0) : base === BASE_RIP ? b.addConst(this.#ipPage(), this.#pageOffset + this.#instruction.length) : register(base);
    if (index !== NO_REGISTER) sum = b.add(sum, b.shlConst(register(index), scale));
    if (base === BASE_RIP ? segment >= SEG_FS : this.#isAddress(displacement, displacement32At)) sum = b.add(sum, this.long ? b.extendS(this.#linked(displacement32At)) : this.#linked(displacement32At));
    else sum = b.add(sum, constant(displacement));
    if (addressSize === 16) return b.andConst(sum, 0xffff);
    return this.long && addressSize === 32 ? b.andConst(sum, 0xffffffff) : sum;
  }
  protected segmentOffset(): Value {
    const { segment } = this.#instruction;
    return this.b.i32(this.long && segment < 4 ? ZERO : SEGMENTS + segment * SEGMENT_BYTES);
  }
  override addressAt(offset: Value, access: 'read' | 'write', bytes: number): Value {
    if (this.#assumptions.flat && this.#instruction.segment < 4) {
      // Only reading through CS is certain to be allowed.
      if (access === 'read' || this.#instruction.segment !== 1) return this.b.extendU(offset);
    }
    return super.addressAt(offset, access, bytes);
  }
  override stackLinear(offset: Value, access: 'read' | 'write', bytes: number): Value {
    return this.#assumptions.flat ? this.b.extendU(offset) : super.stackLinear(offset, access, bytes);
  }

  #ipPage(): Value {
    return this.#builder.getVariable(IP_PAGE);
  }
  currentIp(): Value {
    return this.b.addConst(this.#ipPage(), this.#pageOffset);
  }
  nextIp(): Value {
    const next = this.b.addConst(this.#ipPage(), this.#pageOffset + this.#instruction.length);
    return this.long ? next : this.b.andConst(next, 0xffffffff);
  }
  addressSize(): Value {
    return this.b.i32(this.#instruction.addressSize);
  }

  override call(name: string, args: readonly Value[]): Value {
    const builder = this.#builder;
    if (this.#assumptions.flat && (name === 'moveToSegment' || name === 'loadSegmentChecked')) this.loadsFlatSegment ||= Number(constantOf(builder.ir, args[0]!)) < SEG_FS;
    this.writes ||= mayWriteMemory(name);
    if (touchesX87(name)) builder.x87.end();
    if (!touchesRegisters(name)) {
      const result = super.call(name, args);
      if (!keepsState(name)) builder.forgetState();
      return result;
    }
    builder.spill();
    const result = super.call(name, args);
    builder.reload(RAW);
    return result;
  }
  override x87Stack(): X87Stack | undefined {
    const { segment } = this.#instruction;
    const unchecked = this.long || (this.#assumptions.flat && (!this.memory || (segment < SEG_FS && segment !== SEG_CS)));
    return unchecked && !this.#builder.isConditional ? this.#builder.x87 : undefined;
  }
  override lasting(name: string, build: () => Value): Value {
    return this.#builder.lasting(name, build);
  }
  override checkOnce(name: string, check: () => void): void {
    this.#builder.checkOnce(name, check);
  }
  override callAndLeave(name: string, args: readonly Value[]): void {
    this.#builder.spill();
    super.callAndLeave(name, args);
    this.ending = 'left';
  }

  override jumpRelative(): void {
    this.ending = 'jump';
    this.terminated = true;
  }
  override jumpRelativeIf(condition: Value): void {
    this.#builder.setVariable(CONDITION, condition);
    this.ending = 'branch';
  }
  override jumpTo(target: Value): void {
    this.#builder.setVariable(TARGET, this.b.extendU(target));
    this.ending = 'indirect';
    this.terminated = true;
  }
}
