import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/ir.ts';
import { Context, isMoffs } from '../../isa/x86/semantics/context.ts';
import type { RegisterSlot, RoutineDirectory, Shape } from '../../isa/x86/semantics/context.ts';
import { IP_BASE } from '../../isa/x86/state/layout.ts';
import {
  ADDRESS_SHIFT_MASK, REC_ADDRESSING, REC_BASE, REC_DISPLACEMENT, REC_IMMEDIATE, REC_INDEX, REC_INDEX_SHIFT, REC_LENGTH, REC_LINK, REC_PAGE_OFFSET, REC_REG, REC_REG3, REC_RM,
  REC_SEGMENT, SCALE_MASK,
} from '../../isa/x86/decode/record.ts';

const slotField: Record<RegisterSlot, number> = { reg: REC_REG, rm: REC_RM, vvvv: REC_REG3 };

/** Operands come from the decoded record: one handler serves every instruction of its shape. */
export class InterpreterContext extends Context {
  readonly #plain: boolean;

  /** `plain`: of memory operands only base and displacement count (HAS_PLAIN). */
  constructor(builder: Builder, shape: Shape, routines: RoutineDirectory, plain = false) {
    super(builder, shape, routines);
    this.#plain = plain;
  }
  protected loadRegister(slot: RegisterSlot, suffix: '8u' | '16u' | '32' | '64' | 'v128', offset: number): Value {
    return this.b.op(`state.load${suffix}.at`, [this.registerNumber(slot)], offset);
  }
  protected storeRegister(slot: RegisterSlot, suffix: '8' | '16' | '32' | '64' | 'v128', offset: number, value: Value): void {
    this.b.op(`state.store${suffix}.at`, [this.registerNumber(slot), value], offset);
  }
  registerNumber(slot: RegisterSlot): Value {
    return this.b.op('field.16u', [], slotField[slot]);
  }
  immediate32(): Value {
    return this.b.op('field.32', [], REC_IMMEDIATE);
  }
  immediate64(): Value {
    const { memory, operands } = this.shape;
    return memory && !isMoffs(operands) ? this.b.extendS(this.immediate32()) : this.b.op('field.64', [], REC_IMMEDIATE);
  }
  secondImmediate(): Value {
    return this.b.op('field.32', [], REC_LINK);
  }
  protected buildEffectiveAddress(): Value {
    const b = this.b;
    if (isMoffs(this.shape.operands)) return this.long ? this.immediate64() : this.immediate32();
    const suffix = this.long ? '64' : '32';
    if (this.#plain) {
      const base = b.op(`state.load${suffix}.at`, [b.op('field.16u', [], REC_BASE)]);
      const displacement = b.op('field.32', [], REC_DISPLACEMENT);
      return b.add(base, this.long ? b.extendS(displacement) : displacement);
    }
    const addressing = b.op('field.8u', [], REC_ADDRESSING);
    const scale = b.andConst(addressing, SCALE_MASK);
    const base = b.op(`state.load${suffix}.at`, [b.op('field.16u', [], REC_BASE)]);
    const index = b.op(`state.load${suffix}.at`, [b.shl(b.op('field.8u', [], REC_INDEX), b.i32(REC_INDEX_SHIFT))]);
    const displacement = b.op('field.32', [], REC_DISPLACEMENT);
    const shift = b.andConst(addressing, ADDRESS_SHIFT_MASK);
    if (this.long) {
      const sum = b.add(b.add(base, b.shl(index, b.extendU(scale))), b.extendS(displacement));
      return b.and(sum, b.shrU(b.i64(-1), b.extendU(shift)));
    }
    const sum = b.add(b.add(base, b.shl(index, scale)), displacement);
    return b.and(sum, b.shrU(b.i32(-1), shift));
  }
  protected segmentOffset(): Value {
    return this.b.op('field.16u', [], REC_SEGMENT);
  }
  override addressAt(offset: Value, access: 'read' | 'write', bytes: number): Value {
    return this.#plain && this.long ? offset : super.addressAt(offset, access, bytes);
  }
  currentIp(): Value {
    const b = this.b;
    return b.add(b.loadState('64', IP_BASE), b.extendU(b.op('field.16u', [], REC_PAGE_OFFSET)));
  }
  nextIp(): Value {
    const b = this.b;
    const next = b.add(this.currentIp(), b.extendU(b.op('field.8u', [], REC_LENGTH)));
    return this.long ? next : b.andConst(next, 0xffffffff);
  }
  addressSize(): Value {
    const b = this.b;
    return b.sub(b.i32(this.long ? 64 : 32), b.andConst(b.op('field.8u', [], REC_ADDRESSING), ADDRESS_SHIFT_MASK));
  }
}
