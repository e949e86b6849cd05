/** Which way an `if` mostly goes (Branch Hinting, a part of WebAssembly 3.0); engines that do not know it are none the worse. */
export type BranchHint = 'likely' | 'unlikely';

/** Growable byte buffer with WebAssembly's encodings (WebAssembly 2.0, chapter 5). */
export class Code {
  #bytes = new Uint8Array(256);
  length = 0;
  /** Blocks, loops and ifs that are open here: a branch to a label counts from the innermost one. */
  depth = 0;
  /** Hinted branches: offset * 2, and 1 more for a likely one; in order. */
  readonly hints: number[] = [];

  byte(value: number): this {
    if (this.length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.length++] = value;
    return this;
  }
  bytes(values: ArrayLike<number>): this {
    if (this.length + values.length > this.#bytes.length) this.#grow(values.length);
    if (values.length > 8) this.#bytes.set(values, this.length);
    else for (let i = 0; i < values.length; i++) this.#bytes[this.length + i] = values[i]!;
    this.length += values.length;
    return this;
  }
  /** What another buffer holds, without its hints. */
  code(other: Code): this {
    return this.bytes(other.#bytes.subarray(0, other.length));
  }
  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + needed));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
  /** Unsigned LEB128 of a 32-bit number. */
  u32(value: number): this {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.byte(rest);
  }
  /** Signed LEB128 of a 32-bit number. */
  s32(value: number): this {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }
  s64(value: bigint): this {
    let rest = BigInt.asIntN(64, value);
    if (rest >= -0x80000000n && rest <= 0x7fffffffn) return this.s32(Number(rest));
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }
  name(text: string): this {
    const utf8: number[] = [];
    for (const char of text) utf8.push(char.charCodeAt(0) & 0x7f); // names here are ASCII identifiers
    return this.u32(utf8.length).bytes(utf8);
  }
  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  // Instructions.
  i32Const(value: number): this { return this.byte(0x41).s32(value); }
  i64Const(value: bigint): this { return this.byte(0x42).s64(value); }
  get(local: number): this { return this.byte(0x20).u32(local); }
  set(local: number): this { return this.byte(0x21).u32(local); }
  tee(local: number): this { return this.byte(0x22).u32(local); }
  call(functionIndex: number): this { return this.byte(0x10).u32(functionIndex); }
  returnCall(functionIndex: number): this { return this.byte(0x12).u32(functionIndex); }
  returnCallIndirect(typeIndex: number, table: number): this { return this.byte(0x13).u32(typeIndex).u32(table); }
  return(): this { return this.byte(0x0f); }
  /** Structured control. `type`: the byte of the type it leaves on the stack, none by default. */
  block(type = 0x40): this { return this.#open(0x02, type); }
  loop(type = 0x40): this { return this.#open(0x03, type); }
  if(type = 0x40, hint?: BranchHint): this {
    this.#hint(hint);
    return this.#open(0x04, type);
  }
  else(): this { return this.byte(0x05); }
  end(): this {
    this.depth--;
    return this.byte(0x0b);
  }
  #open(opcode: number, type: number): this {
    this.depth++;
    return this.byte(opcode).byte(type);
  }
  /** Branches to the label of the construct that was opened when `depth` became `label`. */
  br(label: number): this { return this.byte(0x0c).u32(this.depth - label); }
  brIf(label: number, hint?: BranchHint): this {
    this.#hint(hint);
    return this.byte(0x0d).u32(this.depth - label);
  }
  #hint(hint: BranchHint | undefined): void {
    if (hint !== undefined) this.hints.push(this.length * 2 + (hint === 'likely' ? 1 : 0));
  }
  /** Memory access with its natural alignment hint left at 0, which every engine treats alike. */
  memory(opcode: readonly number[], offset: number): this { return this.bytes(opcode).u32(0).u32(offset); }
  /** Atomic access of `bits`: its alignment must be the natural one. */
  atomic(opcode: readonly number[], bits: number, offset: number): this { return this.bytes(opcode).u32(Math.log2(bits / 8)).u32(offset); }
  fence(): this { return this.bytes([0xfe, 0x03, 0x00]); }
}

/** Unsigned LEB128 in two bytes: of a number that is put in its place later. */
export function paddedU14(value: number): readonly [number, number] {
  if (value >= 1 << 14) throw new Error(`${value} does not fit into 14 bits`);
  return [(value & 0x7f) | 0x80, value >> 7];
}
/** Signed LEB128 of a 32-bit number in five bytes. */
export function paddedS32(value: number): readonly [number, number, number, number, number] {
  return [(value & 0x7f) | 0x80, ((value >> 7) & 0x7f) | 0x80, ((value >> 14) & 0x7f) | 0x80, ((value >> 21) & 0x7f) | 0x80, (value >> 28) & 0x7f];
}

/** Code of a function that modules are linked from: numbers of functions and globals mean nothing yet, and some constants come last. */
export class LinkableCode extends Code {
  /** Where numbers of functions lie, of globals, and constants with what was said of them (place, number, place, number, ...). */
  readonly functions: number[] = [];
  readonly globals: number[] = [];
  readonly values: number[] = [];

  override call(functionNumber: number): this { return this.#function(0x10, functionNumber); }
  override returnCall(functionNumber: number): this { return this.#function(0x12, functionNumber); }
  #function(opcode: number, number: number): this {
    this.functions.push(this.length + 1);
    return this.byte(opcode).bytes(paddedU14(number));
  }
  globalGet(number: number): this {
    this.globals.push(this.length + 1);
    return this.byte(0x23).bytes(paddedU14(number));
  }
  /** An i32 constant that is put in its place later; `what` says which. */
  linkedConst(what: number): this {
    this.values.push(this.length + 1, what);
    return this.byte(0x41).bytes(paddedS32(0));
  }
}

/** Opcodes of memory accesses by the suffix that the IR uses. */
export const loadOpcode: Readonly<Record<string, readonly number[]>> = {
  '8u': [0x2d], '8s': [0x2c], '16u': [0x2f], '16s': [0x2e], '32': [0x28], '64': [0x29], f32: [0x2a], f64: [0x2b], v128: [0xfd, 0x00],
};
export const storeOpcode: Readonly<Record<string, readonly number[]>> = {
  '8': [0x3a], '16': [0x3b], '32': [0x36], '64': [0x37], f32: [0x38], f64: [0x39], v128: [0xfd, 0x0b],
};

/** Opcode of an atomic read-modify-write (WebAssembly 3.0, threads): i32 for up to 32 bits, i64 for 64. */
export function atomicOpcode(name: 'add' | 'sub' | 'and' | 'or' | 'xor' | 'xchg' | 'cmpxchg', bits: number): readonly number[] {
  const first = 0x1e + 7 * ['add', 'sub', 'and', 'or', 'xor', 'xchg', 'cmpxchg'].indexOf(name);
  return [0xfe, first + (bits === 64 ? 1 : bits === 8 ? 2 : bits === 16 ? 3 : 0)];
}
