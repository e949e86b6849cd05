import {
  DR6, GPR as STATE_GPR, MXCSR as STATE_MXCSR, RIP as STATE_RIP, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FS, SEG_GS, SEG_SELECTOR, SEG_SS, SHADOW, VECTOR, X87 as STATE_X87, X87_CONTROL as STATE_CONTROL,
  X87_DP as STATE_DP, X87_IP as STATE_IP, X87_OPCODE as STATE_OPCODE, X87_STATUS as STATE_STATUS, X87_TAGS as STATE_TAGS,
} from '../../src/isa/x86/state/layout.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { instructionsByAddress } from './executor.ts';
import type { Case, Engine, FuzzInstruction } from './executor.ts';
import { holdsTrapsBack, repeats } from './rows.ts';
import {
  CODE, CODE_BYTES, CR2, CpuState, DATA, DATA_BYTES, DATA_MAPPED, FS_BASE, GPR, GS_BASE, MXCSR, RAISED_ERROR, RAISED_VECTOR, RFLAGS, RIP, VECTORS, X87, X87_CONTROL, X87_DP, X87_IP,
  X87_OPCODE, X87_STATUS, X87_TAGS, SELECTORS, selectorNames,
} from './state.ts';
import { UserMode, userSegment } from './user-mode.ts';
import type { EngineName } from './user-mode.ts';

const MEMORY_BYTES = 64 << 20;
/** ES, SS, DS, FS, GS. */
const segmentsInOrder = [0, SEG_SS, 3, SEG_FS, SEG_GS] as const;
const BLOCK_BUDGET = 100_000;
const FLAG_TF = 0x100;
const DR6_BS = 0x4000n;
const DR6_NONE = 0xffff0ff0n;

/** Our own engines as the `Engine` under test: user mode under page tables that map what the host program maps. */
export class InterpreterEngine implements Engine {
  readonly name: EngineName;
  readonly state = new CpuState();
  readonly memory: Buffer;
  readonly #user: UserMode;
  readonly #block: Buffer;
  #lastCode: readonly [number, number] = [0, 0];
  #entry: Case | undefined;
  #starts: ReadonlyMap<number, FuzzInstruction> = new Map();

  constructor(image: Uint8Array, name: EngineName = 'interpreter') {
    this.name = name;
    const user = (this.#user = new UserMode(name, MEMORY_BYTES));
    this.#block = user.block;
    this.memory = user.ram.subarray(DATA, DATA + DATA_BYTES);
    user.ram.set(image, DATA);
    user.ram.fill(0xf4, CODE, CODE + CODE_BYTES);
    for (let page = DATA; page < DATA + DATA_MAPPED; page += 4096) user.map(BigInt(page), page, { write: page < DATA + DATA_BYTES, execute: false });
    for (let page = CODE; page < CODE + CODE_BYTES; page += 4096) user.map(BigInt(page), page, { write: false, execute: true });
  }

  load(entry: Case, state: CpuState, memory: Uint8Array): void {
    const { ram } = this.#user;
    const [last, length] = this.#lastCode;
    ram.fill(0xf4, last, last + length);
    let at = entry.address;
    for (const { bytes } of entry.instructions) {
      ram.set(bytes, at);
      at += bytes.length;
    }
    this.#lastCode = [entry.address, at - entry.address];
    if (this.#entry !== entry) this.#starts = instructionsByAddress(entry);
    this.#entry = entry;
    this.memory.set(memory);
    this.#user.reset();
    const block = this.#block;
    block.set(state.bytes.subarray(GPR, GPR + 128), STATE_GPR);
    block.set(state.bytes.subarray(VECTORS, VECTORS + 512), VECTOR);
    block.set(state.bytes.subarray(X87, X87 + 128), STATE_X87);
    block.writeUInt32LE(state.u32(MXCSR), STATE_MXCSR);
    block.writeUInt16LE(state.u16(X87_CONTROL), STATE_CONTROL);
    block.writeUInt16LE(state.u16(X87_STATUS), STATE_STATUS);
    block.writeUInt16LE(this.#fullTags(state), STATE_TAGS);
    block.writeBigUInt64LE(state.u64(X87_IP), STATE_IP);
    block.writeBigUInt64LE(state.u64(X87_DP), STATE_DP);
    block.writeUInt16LE(state.u16(X87_OPCODE), STATE_OPCODE);
    const [es, ss, ds, fs, gs] = selectorNames.map((_, i) => state.u16(SELECTORS + i * 2)) as [number, number, number, number, number];
    const segments = { es: userSegment(es), ss: userSegment(ss), ds: userSegment(ds), fs: userSegment(fs, state.u64(FS_BASE)), gs: userSegment(gs, state.u64(GS_BASE)) };
    this.#user.start({ width: entry.width, rip: state.u64(RIP), rflags: state.u64(RFLAGS), segments });
  }

  /** Contents decide between valid, zero and special, as FXRSTOR does (SDM 1, 10.5.1.1). */
  #fullTags(state: CpuState): number {
    let tags = 0;
    for (let i = 0; i < 8; i++) {
      const exponent = state.u16(X87 + i * 16 + 8) & 0x7fff;
      const significand = state.u64(X87 + i * 16);
      const used = ((state.u16(X87_TAGS) >> i) & 1) !== 0;
      const tag = !used ? 3 : exponent === 0 && significand === 0n ? 1 : exponent === 0 || exponent === 0x7fff || significand >> 63n === 0n ? 2 : 0;
      tags |= tag << (i * 2);
    }
    return tags;
  }

  step(): boolean {
    const before = this.#block.readBigUInt64LE(STATE_RIP);
    const instruction = this.#starts.get(Number(before));
    if (instruction !== undefined && holdsTrapsBack(instruction)) return this.#stepOverTwo(instruction);
    for (;;) {
      // As behind STI: exactly one instruction.
      this.#block.writeUInt32LE(1, SHADOW);
      const raised = this.#run(1);
      // KVM steps by the trap flag.
      if (this.name === 'kvm' && !raised) this.#takeBackTrapFlag(instruction);
      if (raised || instruction === undefined || !repeats(instruction) || this.#block.readBigUInt64LE(STATE_RIP) !== before) return raised;
    }
  }

  /** By the trap flag, as the host is stepped: the trap is to come behind the second instruction. */
  #stepOverTwo(first: FuzzInstruction): boolean {
    const { cpu } = this.#user;
    const { rip, rflags } = cpu.registers();
    const behind = rip + BigInt(first.bytes.length);
    const second = this.#starts.get(Number(behind));
    cpu.start({ rip, rflags: rflags | BigInt(FLAG_TF) });
    if (!this.#run(BLOCK_BUDGET)) throw new Error('the trap flag has raised nothing');
    const trapped = this.state.u32(RAISED_VECTOR) === 1 && (this.#block.readBigUInt64LE(DR6) & DR6_BS) !== 0n;
    this.#block.writeBigUInt64LE(DR6_NONE, DR6);
    if (!trapped) return true;
    this.#takeBackTrapFlag(second);
    this.state.setU64(RFLAGS, this.state.u64(RFLAGS) & ~BigInt(FLAG_TF));
    this.load(this.#entry!, this.state, this.memory);
    return second !== undefined && repeats(second) && this.state.u64(RIP) === behind ? this.step() : false;
  }

  /** PUSHF has pushed the stepping's trap flag, too; the host's program takes it back as well. */
  #takeBackTrapFlag(instruction: FuzzInstruction | undefined): void {
    const at = Number(this.state.u64(GPR + 32)) - DATA;
    if (instruction !== undefined && opcodeRows[instruction.rowIndex]!.name === 'pushf' && at >= 0 && at + 1 < DATA_BYTES) this.memory[at + 1]! &= ~(FLAG_TF >> 8);
  }

  block(): void {
    if (this.name === 'translator') for (let page = DATA; page < DATA + DATA_MAPPED; page += 4096) this.#user.warm(BigInt(page), page, page < DATA + DATA_BYTES);
    if (!this.#run(BLOCK_BUDGET)) throw new Error('a case that the reference ended does not end on the interpreter');
  }

  setFlags(flags: number): void {
    const { cpu } = this.#user;
    cpu.start({ rip: cpu.registers().rip, rflags: BigInt(flags) });
  }

  #run(budget: number): boolean {
    const raised = this.#user.run(budget);
    const block = this.#block;
    const { state } = this;
    block.copy(state.bytes, GPR, STATE_GPR, STATE_GPR + 128);
    block.copy(state.bytes, VECTORS, VECTOR, VECTOR + 512);
    block.copy(state.bytes, X87, STATE_X87, STATE_X87 + 128);
    state.setU32(MXCSR, block.readUInt32LE(STATE_MXCSR));
    state.setU16(X87_CONTROL, block.readUInt16LE(STATE_CONTROL));
    state.setU16(X87_STATUS, block.readUInt16LE(STATE_STATUS));
    const tags = block.readUInt16LE(STATE_TAGS);
    let abridged = 0;
    for (let i = 0; i < 8; i++) if (((tags >> (i * 2)) & 3) !== 3) abridged |= 1 << i;
    state.setU16(X87_TAGS, abridged);
    state.setU64(X87_IP, block.readBigUInt64LE(STATE_IP));
    state.setU64(X87_DP, block.readBigUInt64LE(STATE_DP));
    state.setU16(X87_OPCODE, block.readUInt16LE(STATE_OPCODE));
    for (const [segment, field] of [[SEG_FS, FS_BASE], [SEG_GS, GS_BASE]] as const) state.setU64(field, block.readBigUInt64LE(SEGMENTS + segment * SEGMENT_BYTES + SEG_BASE));
    segmentsInOrder.forEach((segment, i) => state.setU16(SELECTORS + i * 2, block.readUInt16LE(SEGMENTS + segment * SEGMENT_BYTES + SEG_SELECTOR)));
    const { exception } = this.#user;
    if (exception !== undefined) {
      state.setU32(RAISED_VECTOR, exception.vector);
      state.setU32(RAISED_ERROR, exception.error);
      state.setU64(RIP, exception.rip);
      state.setU64(RFLAGS, exception.rflags);
      state.setU64(GPR + 32, exception.rsp);
      state.setU64(CR2, exception.cr2);
      state.setU16(SELECTORS + 2, exception.ss);
    } else {
      const registers = this.#user.cpu.registers();
      state.setU64(RIP, registers.rip);
      state.setU64(RFLAGS, registers.rflags);
    }
    return raised;
  }
}
