/**
 * Processor state as user code sees it, one flat run of bytes: the host program, the interpreter's vCPU block and the
 * comparison all copy whole areas. Little-endian.
 */
export const GPR = 0; // 16 of 8 bytes: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
export const RIP = 128; // u64
export const RFLAGS = 136; // u64
export const CR2 = 144; // u64
export const RAISED_VECTOR = 152; // u32
export const RAISED_ERROR = 156; // u32
export const MXCSR = 160; // u32
export const X87_CONTROL = 164; // u16
export const X87_STATUS = 166; // u16
/** Abridged: bit n set, physical register n holds something. */
export const X87_TAGS = 168; // u16
/** Eight physical registers, 16 bytes each. */
export const X87 = 176;
/** Sixteen vector registers, 32 bytes each. */
export const VECTORS = 304;
/** Bases of FS and GS, of 64-bit code: in 32-bit code both are null. */
export const FS_BASE = 816; // u64
export const GS_BASE = 824; // u64
/** What the processor keeps of the last x87 instruction, which images tell: its address, its memory operand's, its opcode. */
export const X87_IP = 832; // u64
export const X87_DP = 840; // u64
export const X87_OPCODE = 848; // u16
/** Selectors of ES, SS, DS, FS and GS, u16 each, and 4 bytes of nothing. */
export const SELECTORS = 850;
/** Linux's of flat data. */
export const FLAT_DATA = 0x2b;
export const STATE_BYTES = 864;
export const selectorNames = ['es', 'ss', 'ds', 'fs', 'gs'] as const;

/** Memory of a case: writable pages, a read-only one behind them, nothing around. */
export const DATA = 0x1000000;
export const DATA_BYTES = 8192;
export const DATA_MAPPED = DATA_BYTES + 4096;
/** Pages that can be read and executed, full of HLT around a case's code; nothing around. */
export const CODE = 0x2000000;
export const CODE_BYTES = 8192;
export class CpuState {
  readonly bytes: Buffer;
  readonly view: DataView;
  constructor(bytes: Buffer = Buffer.alloc(STATE_BYTES)) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, STATE_BYTES);
  }
  clone(): CpuState {
    return new CpuState(Buffer.from(this.bytes));
  }
  u64(offset: number): bigint { return this.view.getBigUint64(offset, true); }
  setU64(offset: number, value: bigint): void { this.view.setBigUint64(offset, BigInt.asUintN(64, value), true); }
  u32(offset: number): number { return this.view.getUint32(offset, true); }
  setU32(offset: number, value: number): void { this.view.setUint32(offset, value, true); }
  u16(offset: number): number { return this.view.getUint16(offset, true); }
  setU16(offset: number, value: number): void { this.view.setUint16(offset, value, true); }
}

/** A field that reports and regression tests name. */
export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

export const registerNames = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;

export const fields: readonly Field[] = [
  ...registerNames.map((name, i) => ({ name, offset: GPR + i * 8, bytes: 8 })),
  { name: 'rip', offset: RIP, bytes: 8 },
  { name: 'flags', offset: RFLAGS, bytes: 8 },
  { name: 'mxcsr', offset: MXCSR, bytes: 4 },
  { name: 'fcw', offset: X87_CONTROL, bytes: 2 },
  { name: 'fsw', offset: X87_STATUS, bytes: 2 },
  { name: 'ftw', offset: X87_TAGS, bytes: 2 },
  ...Array.from({ length: 8 }, (_, i) => ({ name: `r${i}x87`, offset: X87 + i * 16, bytes: 10 })),
  ...selectorNames.map((name, i) => ({ name, offset: SELECTORS + i * 2, bytes: 2 })),
  { name: 'fsbase', offset: FS_BASE, bytes: 8 },
  { name: 'gsbase', offset: GS_BASE, bytes: 8 },
  ...Array.from({ length: 16 }, (_, i) => ({ name: `ymm${i}`, offset: VECTORS + i * 32, bytes: 32 })),
];
