import { Code, atomicOpcode, loadOpcode, storeOpcode } from '../wasm/code.ts';
import type { WasmType } from '../wasm/module.ts';
import { atomicOperations, operations } from '../ir/operations.ts';
import type { AtomicOperation, Effect } from '../ir/operations.ts';
import type { Ir, Value } from '../ir/ir.ts';
import type { AccessGroups } from '../ir/passes/access-groups.ts';

/** How the software TLB and fault reporting look to generated code: byte offsets, see the ISA's state layout. */
export interface MemoryModel {
  /** State offset of the u32 address of the TLB set in use. */
  readonly tlbBase: number;
  readonly tlbEntries: number;
  readonly tlbEntryBytes: number;
  readonly tagRead: number;
  readonly tagWrite: number;
  readonly addend: number;
  /** State offset of the u32 that is 1 while a fault waits. */
  readonly faultPending: number;
  /** What a function returns to have that fault delivered. */
  readonly leaveFault: number;
}

/** A routine as lowering needs it: which function to call and what has to happen around the call. */
export interface LoweredRoutine {
  readonly functionIndex: number;
  /** The routine may look at where the guest stands (fault, leave): position must be stored before. */
  readonly needsPosition: boolean;
  /** FAULT_PENDING has to be looked at after the call. */
  readonly checksFault: boolean;
}

/** What differs between the interpreter build and the translator: where the guest stands, and where it goes. */
export interface LoweringTarget {
  readonly memory: MemoryModel;
  /** By the index that calls in the IR have. */
  lowered(routine: number): LoweredRoutine;
  /**
   * What happens where the TLB does not have an access: a call of a slow path, or the end of the function before the
   * instruction has had any effect.
   */
  readonly miss: SlowPath | MissExit;
  /** Stores the position of the current guest instruction where routines find it. */
  storePosition(code: Code): void;
  field(code: Code, suffix: string, offset: number): void;
  /** Puts a constant that is not known yet on the stack. */
  linked(code: Code, which: number): void;
  /** Puts the address of the TLB set in use on the stack. */
  tlbBase(code: Code): void;
  /** Puts the vCPU's address, from which offsets of the state count, on the stack. */
  cpu(code: Code): void;
  /** Leaves the function; the code to return is on the stack. */
  leave(code: Code): void;
  /** Writes an operation of effect 'transfer': where the guest goes on. `push` puts its operand on the stack. */
  transfer(code: Code, name: string, immediate: number, push: () => void): void;
}

export interface SlowPath {
  readonly kind: 'call';
  /** Calls e.g. 'slowLoad32' with the vCPU and what `push` puts on the stack; leaves on a fault. A result stays on the stack. */
  call(code: Code, name: string, push: () => void): void;
}

export interface MissExit {
  readonly kind: 'exit';
  /** Puts what says where the guest stands on the stack. */
  before(code: Code): void;
  /** Leaves when the condition on the stack is true; takes that and what `before` has put there from it. */
  leaveIf(code: Code): void;
}

export interface LoweredFunction {
  readonly locals: readonly WasmType[];
  readonly body: Code;
}

/** Locals 0 and 1 belong to the target: the vCPU's address and the record. */
const PARAMETERS = 2;
const PAGE_MASK = ~0xfffn;

/** The locals of the function being written. Temporary ones are used again once their value is dead. */
export class Locals {
  readonly types: WasmType[] = [];
  readonly #free: Record<WasmType, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };

  take(type: WasmType): number {
    const free = this.#free[type].pop();
    if (free !== undefined) return free;
    this.types.push(type);
    return PARAMETERS + this.types.length - 1;
  }
  release(local: number): void {
    this.#free[this.types[local - PARAMETERS]!].push(local);
  }
}

interface OpPlan {
  readonly kind: string;
  readonly suffix: string;
  readonly at: boolean;
  readonly write: boolean;
}

const plans: readonly OpPlan[] = operations.map((operation) => {
  const parts = operation.name.split('.');
  const tail = parts[1] ?? '';
  const suffix = /^(?:load|store)(.*)$/.exec(tail)?.[1] ?? tail;
  const kind = operation.effect === 'transfer' ? 'transfer' : operation.wasm !== undefined ? 'numeric' : tail.startsWith('load') || tail.startsWith('store') ? `${parts[0]}.${tail.startsWith('load') ? 'load' : 'store'}` : parts[0] === 'variable' ? `variable.${tail}` : parts[0] === 'const' || parts[0] === 'select' || parts[0] === 'call' || parts[0] === 'field' || parts[0] === 'atomic' ? parts[0]! : operation.name;
  return { kind, suffix, at: parts[2] === 'at', write: parts[2] === 'write' };
});

/** An operation whose result nobody needs need not be done. */
function isDroppable(effect: Effect): boolean {
  return effect === 'pure' || effect === 'reads-state' || effect === 'variable';
}

/** Lowers one run of IR to the body of a function (cpu: i32, record: i32) -> i32. */
export function lower(ir: Ir, target: LoweringTarget): LoweredFunction {
  const code = new Code();
  const locals = new Locals();
  new Lowering().run(code, locals, ir, target, []);
  // Control always leaves through a transfer; this keeps the validator content.
  code.byte(0x00);
  return { locals: locals.types, body: code };
}

/**
 * Writes runs of IR to the code of functions. Pure values used once are written where they are used; everything else gets
 * a local, which the optimising compiler of the wasm engine dissolves. One object serves any number of runs.
 */
export class Lowering {
  #ir!: Ir;
  #target!: LoweringTarget;
  #code!: Code;
  #locals!: Locals;
  #capacity = 0;
  #uses = new Int32Array(0);
  #local = new Int32Array(0);
  /** Index of the operation behind which a value's local is free. */
  #lastUse = new Int32Array(0);
  /** Where a value is written. */
  #place = new Int32Array(0);
  /** By operation: head of the list of locals that are free behind it, through #nextDying by local; -1 ends it. */
  #dying = new Int32Array(0);
  #nextDying: number[] = [];
  #variables: number[] = [];
  #groups: AccessGroups | undefined;
  /** By leader of a group of accesses: the local with the host address of its lowest byte. */
  #groupLocal = new Int32Array(0);
  /** Locals of the operation being written. */
  readonly #scratch: number[] = [];

  /** `fixed`: locals of the IR's first variables. `groups`: of accesses that are looked up together, where misses are exits. */
  run(code: Code, locals: Locals, ir: Ir, target: LoweringTarget, fixed: readonly number[], groups?: AccessGroups): void {
    this.#ir = ir;
    this.#groups = groups;
    this.#target = target;
    this.#code = code;
    this.#locals = locals;
    this.#reset(ir.length);
    this.#variables = ir.variables.map((type, i) => fixed[i] ?? locals.take(type));
    this.#countUses();
    for (let i = 0; i < ir.length; i++) {
      this.#operation(i);
      while (this.#scratch.length > 0) locals.release(this.#scratch.pop()!);
      for (let local = this.#dying[i]!; local >= 0; local = this.#nextDying[local]!) locals.release(local);
    }
    for (let i = fixed.length; i < this.#variables.length; i++) locals.release(this.#variables[i]!);
  }

  #reset(length: number): void {
    if (length > this.#capacity) {
      this.#capacity = Math.max(256, length * 2);
      [this.#uses, this.#local, this.#lastUse, this.#place, this.#dying, this.#groupLocal] = Array.from({ length: 6 }, () => new Int32Array(this.#capacity)) as [Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>];
    }
    this.#uses.fill(0, 0, length);
    this.#local.fill(-1, 0, length);
    this.#lastUse.fill(-1, 0, length);
    this.#dying.fill(-1, 0, length);
  }

  #operation(i: number): void {
    const operation = operations[this.#ir.op[i]!]!;
    if (operation.result === 'none') {
      this.#statement(i);
      return;
    }
    if (operation.effect === 'pure') {
      if (this.#uses[i] === 0 || this.#inline(i)) return;
    } else if (this.#uses[i] === 0 && isDroppable(operation.effect)) return;
    this.#compute(i);
    if (this.#uses[i] === 0) {
      this.#code.byte(0x1a); // drop
      return;
    }
    const local = this.#locals.take(operation.result);
    this.#local[i] = local;
    this.#code.set(local);
    this.#diesAt(local, Math.max(i, this.#lastUse[i]!));
  }

  /** A local is free behind operation `last`. */
  #diesAt(local: number, last: number): void {
    this.#nextDying[local] = this.#dying[last]!;
    this.#dying[last] = local;
  }

  /** A local that is free again behind the current operation. */
  #newScratch(type: WasmType): number {
    const local = this.#locals.take(type);
    this.#scratch.push(local);
    return local;
  }

  /**
   * Uses are counted from the end, so that operands of values nobody needs do not count. A value that is written where
   * it is used needs its operands until there; in a loop everything lives until the outermost one ends.
   */
  #countUses(): void {
    const ir = this.#ir;
    const place = this.#place;
    let loops: number[] = [];
    const loopEnd: number[] = [];
    for (let i = ir.length - 1; i >= 0; i--) {
      const kind = plans[ir.op[i]!]!.kind;
      if (kind === 'end') loops.push(i);
      else if (kind === 'if') loops.pop();
      else if (kind === 'loop') {
        const end = loops.pop()!;
        loopEnd.push(i, end);
      }
    }
    loops = loopEnd;
    const lived = (at: number): number => {
      let last = at;
      for (let k = 0; k < loops.length; k += 2) if (at > loops[k]! && at < loops[k + 1]!) last = Math.max(last, loops[k + 1]!);
      return last;
    };
    const use = (value: number, at: number): void => {
      this.#uses[value]!++;
      this.#lastUse[value] = Math.max(this.#lastUse[value]!, loops.length === 0 ? at : lived(at));
    };
    for (let i = ir.length - 1; i >= 0; i--) {
      const operation = operations[ir.op[i]!]!;
      if (operation.result !== 'none' && this.#uses[i] === 0 && isDroppable(operation.effect)) continue;
      const kind = plans[ir.op[i]!]!.kind;
      place[i] = operation.effect === 'pure' && (kind === 'const' || this.#uses[i] === 1) ? this.#lastUse[i]! : i;
      if (kind === 'call') {
        for (let k = 0; k < ir.c[i]!; k++) use(ir.pool[ir.b[i]! + k]!, place[i]!);
        continue;
      }
      const count = operation.params.length;
      const address = this.#addressOf(i);
      if (count > 0 && address >= 0) use(address, place[i]!);
      if (count > 1) use(ir.b[i]!, place[i]!);
      if (count > 2) use(ir.c[i]!, place[i]!);
    }
  }

  /** The value that the first operand of an operation is made of: of grouped accesses only the leader has one, or none. */
  #addressOf(i: number): number {
    const groups = this.#groups;
    const leader = groups === undefined ? -1 : groups.leader[i]!;
    if (leader < 0 || groups!.last[leader] === leader) return this.#ir.a[i]!;
    return leader === i ? groups!.base[i]! : -1;
  }

  #inline(i: number): boolean {
    return plans[this.#ir.op[i]!]!.kind === 'const' || this.#uses[i] === 1;
  }

  /** Puts a value on the stack. */
  #push(value: number): void {
    const local = this.#local[value]!;
    if (local >= 0) this.#code.get(local);
    else this.#compute(value);
  }

  /** Writes the instructions that compute value i. */
  #compute(i: number): void {
    const ir = this.#ir;
    const code = this.#code;
    const operation = operations[ir.op[i]!]!;
    const plan = plans[ir.op[i]!]!;
    const immediate = ir.small(i);
    switch (plan.kind) {
      case 'numeric':
        this.#operands(i);
        code.bytes(operation.wasm!);
        if (operation.lane) code.byte(immediate);
        else if (operation.name === 'i8x16.shuffle') code.bytes(ir.constants[immediate]!);
        return;
      case 'select':
        this.#operands(i);
        if (operation.result === 'v128') code.bytes([0x1c, 1, 0x7b]);
        else code.byte(0x1b);
        return;
      case 'const':
        if (operation.result === 'i32') code.i32Const(immediate);
        else if (operation.result === 'i64') {
          if (ir.isSmall(i)) code.byte(0x42).s32(immediate);
          else code.i64Const(ir.immediate[i]!);
        }
        else code.bytes([0xfd, 0x0c]).bytes(ir.constants[immediate]!);
        return;
      case 'state.load':
        this.#target.cpu(code);
        if (plan.at) {
          this.#push(ir.a[i]!);
          code.byte(0x6a);
        }
        code.memory(loadOpcode[plan.suffix]!, immediate);
        return;
      case 'field':
        this.#target.field(code, plan.suffix, immediate);
        return;
      case 'linked.i32':
        this.#target.linked(code, immediate);
        return;
      case 'memory.load':
        this.#load(i, plan.suffix, plan.write);
        return;
      case 'atomic':
        this.#atomic(i, plan.suffix);
        return;
      case 'variable.get':
        code.get(this.#variables[immediate]!);
        return;
      case 'call':
        this.#call(i);
        return;
      default:
        throw new Error(`lowering knows no ${operation.name}`);
    }
  }

  #statement(i: number): void {
    const ir = this.#ir;
    const code = this.#code;
    const plan = plans[ir.op[i]!]!;
    switch (plan.kind) {
      case 'state.store':
        this.#target.cpu(code);
        if (plan.at) {
          this.#push(ir.a[i]!);
          code.byte(0x6a);
          this.#push(ir.b[i]!);
        } else this.#push(ir.a[i]!);
        code.memory(storeOpcode[plan.suffix]!, ir.small(i));
        return;
      case 'memory.store':
        this.#store(i, plan.suffix);
        return;
      case 'fence':
        code.fence();
        return;
      case 'variable.set':
        this.#push(ir.a[i]!);
        code.set(this.#variables[ir.small(i)]!);
        return;
      case 'call':
        this.#call(i);
        return;
      case 'if':
        this.#push(ir.a[i]!);
        code.if(undefined, ir.small(i) === 1 ? 'unlikely' : undefined);
        return;
      case 'else':
        code.else();
        return;
      case 'end':
        code.end();
        return;
      case 'loop':
        code.loop();
        return;
      case 'again':
        this.#push(ir.a[i]!);
        code.byte(0x0d).u32(0);
        return;
      case 'leave':
        this.#target.storePosition(code);
        this.#push(ir.a[i]!);
        this.#target.leave(code);
        return;
      case 'leave.nonzero': {
        const local = this.#newScratch('i32');
        this.#push(ir.a[i]!);
        code.tee(local).if(undefined, 'unlikely').get(local);
        this.#target.leave(code);
        code.end();
        return;
      }
      case 'transfer':
        this.#target.transfer(code, operations[ir.op[i]!]!.name, ir.small(i), () => this.#push(ir.a[i]!));
        return;
      default:
        throw new Error(`lowering knows no ${operations[ir.op[i]!]!.name}`);
    }
  }

  #operands(i: number): void {
    const ir = this.#ir;
    const count = operations[ir.op[i]!]!.params.length;
    if (count > 0) this.#push(ir.a[i]!);
    if (count > 1) this.#push(ir.b[i]!);
    if (count > 2) this.#push(ir.c[i]!);
  }

  #call(i: number): void {
    const ir = this.#ir;
    const code = this.#code;
    const routine = this.#target.lowered(ir.small(i));
    if (routine.needsPosition) this.#target.storePosition(code);
    this.#target.cpu(code);
    for (let k = 0; k < ir.c[i]!; k++) this.#push(ir.pool[ir.b[i]! + k]!);
    code.call(routine.functionIndex);
    if (routine.checksFault) this.#leaveOnFault();
  }

  #leaveOnFault(): void {
    const { faultPending, leaveFault } = this.#target.memory;
    this.#target.cpu(this.#code);
    this.#code.memory(loadOpcode['32']!, faultPending).if(undefined, 'unlikely').i32Const(leaveFault);
    this.#target.leave(this.#code);
    this.#code.end();
  }

  /**
   * TLB lookup (DESIGN D4): entry by the address' page, tag compared with the page of the access' last byte, so that a
   * page-crossing access never matches; `aligned`: nor does a misaligned one, whose low bits stay. Leaves 1 on the stack for
   * a hit, or where misses are exits, leaves then. `push` puts the address on the stack, unless it has a local. Returns the
   * locals of address and entry.
   */
  #lookup(known: number, push: () => void, bytes: number, tag: number, aligned = false): { address: number; entry: number } {
    const code = this.#code;
    const { memory, miss } = this.#target;
    if (miss.kind === 'exit') miss.before(code);
    let local = known;
    if (local < 0) {
      local = this.#newScratch('i64');
      push();
      code.set(local);
    }
    const entry = this.#newScratch('i32');
    const entryShift = Math.log2(memory.tlbEntryBytes);
    code.get(local).byte(0xa7).i32Const(12 - entryShift).byte(0x76);
    code.i32Const((memory.tlbEntries - 1) << entryShift).byte(0x71);
    this.#target.tlbBase(code);
    code.byte(0x6a).tee(entry);
    code.memory(loadOpcode['64']!, tag);
    code.get(local);
    if (bytes > 1 && !aligned) code.i64Const(BigInt(bytes - 1)).byte(0x7c);
    code.i64Const(aligned ? PAGE_MASK | BigInt(bytes - 1) : PAGE_MASK).byte(0x83).byte(miss.kind === 'exit' ? 0x52 : 0x51);
    if (miss.kind === 'exit') miss.leaveIf(code);
    return { address: local, entry };
  }
  /** The same for the address that is an operand. */
  #lookupOf(address: number, bytes: number, tag: number, aligned = false): { address: number; entry: number } {
    return this.#lookup(this.#local[address]!, () => this.#push(address), bytes, tag, aligned);
  }

  #hostAddress(address: number, entry: number): void {
    this.#code.get(address).byte(0xa7).get(entry).memory(loadOpcode['32']!, this.#target.memory.addend).byte(0x6a);
  }

  /**
   * Where misses are exits: puts a host address on the stack that an access is at, less the offset that is returned. Of a
   * group the leader looks up all of it.
   */
  #hit(i: number, bytes: number, tag: number): number {
    const code = this.#code;
    const groups = this.#groups;
    const leader = groups === undefined ? -1 : groups.leader[i]!;
    if (leader < 0 || groups!.last[leader] === leader) {
      const { address, entry } = this.#lookupOf(this.#ir.a[i]!, bytes, tag);
      this.#hostAddress(address, entry);
      return 0;
    }
    if (leader !== i) {
      code.get(this.#groupLocal[leader]!);
      return groups!.offset[i]!;
    }
    const { tagRead, tagWrite } = this.#target.memory;
    const push = (): void => this.#pushLowest(groups!.base[i]!, groups!.low[i]!, groups!.narrow[i] !== 0);
    const { address, entry } = this.#lookup(-1, push, groups!.span[i]!, groups!.writes[i] !== 0 ? tagWrite : tagRead);
    const local = this.#locals.take('i32');
    this.#groupLocal[i] = local;
    this.#diesAt(local, groups!.last[i]!);
    this.#hostAddress(address, entry);
    code.tee(local);
    return groups!.offset[i]!;
  }
  /** The lowest address of a group. */
  #pushLowest(base: number, low: number, narrow: boolean): void {
    const code = this.#code;
    if (base < 0) {
      code.i64Const(BigInt(low));
      return;
    }
    this.#push(base);
    if (narrow) {
      if (low !== 0) code.i32Const(low).byte(0x6a);
      code.byte(0xad);
    } else if (low !== 0) code.i64Const(BigInt(low)).byte(0x7c);
  }

  #load(i: number, suffix: string, write: boolean): void {
    const code = this.#code;
    const { miss, memory } = this.#target;
    const bytes = suffix === 'v128' ? 16 : Number(suffix) / 8;
    const opcode = loadOpcode[suffix === '8' ? '8u' : suffix === '16' ? '16u' : suffix]!;
    const tag = write ? memory.tagWrite : memory.tagRead;
    if (miss.kind === 'exit') {
      const offset = this.#hit(i, bytes, tag);
      code.memory(opcode, offset);
      return;
    }
    const type: WasmType = suffix === 'v128' ? 'v128' : bytes === 8 ? 'i64' : 'i32';
    const { address, entry } = this.#lookupOf(this.#ir.a[i]!, bytes, tag);
    code.if({ i32: 0x7f, i64: 0x7e, v128: 0x7b, f32: 0x7d, f64: 0x7c }[type], 'likely');
    this.#hostAddress(address, entry);
    code.memory(opcode, 0);
    code.else();
    if (suffix === 'v128') {
      // Two halves: nothing changes between them, so a fault in either is precise.
      miss.call(code, this.#ir.small(i) === 32 ? 'slowLoadLow256' : 'slowLoadLow128', () => code.get(address));
      code.bytes([0xfd, 0x12]);
      miss.call(code, 'slowLoad64', () => code.get(address).i64Const(8n).byte(0x7c));
      code.bytes([0xfd, 0x1e, 1]);
    } else miss.call(code, `slowLoad${write ? 'ForWrite' : ''}${suffix}`, () => code.get(address));
    code.end();
  }

  #store(i: number, suffix: string): void {
    const code = this.#code;
    const { miss, memory } = this.#target;
    const bytes = suffix === 'v128' ? 16 : Number(suffix) / 8;
    if (miss.kind === 'exit') {
      const offset = this.#hit(i, bytes, memory.tagWrite);
      this.#push(this.#ir.b[i]!);
      code.memory(storeOpcode[suffix]!, offset);
      return;
    }
    const { address, entry } = this.#lookupOf(this.#ir.a[i]!, bytes, memory.tagWrite);
    const local = this.#pin(this.#ir.b[i]!);
    code.if(undefined, 'likely');
    this.#hostAddress(address, entry);
    code.get(local).memory(storeOpcode[suffix]!, 0);
    code.else();
    miss.call(code, `slowStore${suffix === 'v128' ? '128' : suffix}`, () => {
      code.get(address).get(local);
      if (suffix === 'v128') code.bytes([0xfd, 0x1d, 0]).get(local).bytes([0xfd, 0x1d, 1]);
    });
    code.end();
  }

  /** A local with a value that both arms of a lookup use. What the lookup left on the stack stays there. */
  #pin(value: number): number {
    const code = this.#code;
    let local = this.#local[value]!;
    if (local >= 0) return local;
    const hit = this.#newScratch('i32');
    code.set(hit);
    local = this.#newScratch(this.#ir.typeOf(value as Value) as WasmType);
    this.#push(value);
    code.set(local).get(hit);
    return local;
  }

  /** `what`: name and bits. What is aligned and hits the TLB is an atomic instruction, which would trap on the rest. */
  #atomic(i: number, what: string): void {
    const code = this.#code;
    const [, name, digits] = /^([a-z]+)(\d+)$/.exec(what) as unknown as [string, AtomicOperation | 'cmpxchg', string];
    const bits = Number(digits);
    const { address, entry } = this.#lookupOf(this.#ir.a[i]!, bits / 8, this.#target.memory.tagWrite, true);
    const operands = name === 'cmpxchg' ? [this.#ir.b[i]!, this.#ir.c[i]!] : [this.#ir.b[i]!];
    const { miss } = this.#target;
    if (miss.kind === 'exit') {
      this.#hostAddress(address, entry);
      for (const operand of operands) this.#push(operand);
      code.atomic(atomicOpcode(name, bits), bits, 0);
      return;
    }
    const values = operands.map((operand) => this.#pin(operand));
    code.if(bits === 64 ? 0x7e : 0x7f, 'likely');
    this.#hostAddress(address, entry);
    for (const value of values) code.get(value);
    code.atomic(atomicOpcode(name, bits), bits, 0);
    code.else();
    miss.call(code, name === 'cmpxchg' ? 'slowCompareExchange' : 'slowModify', () => {
      code.get(address);
      for (const value of values) {
        code.get(value);
        if (bits < 64) code.byte(0xad);
      }
      code.i32Const(name === 'cmpxchg' ? bits / 8 : bits / 8 | (atomicOperations.indexOf(name) << 4));
    });
    if (bits < 64) code.byte(0xa7);
    code.end();
  }
}
