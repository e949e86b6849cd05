// What a local APIC keeps, in memory that every thread of a machine may see: its own thread works on it, others look
// up where messages go, and whoever saves the machine reads it while the processor stands.

/** Bytes of one store. */
export const APIC_STORE_BYTES = 320;

// Registers by their offset in the 4 KiB window (Intel SDM 3A, table 11-1).
export const ID = 0x20;
export const TPR = 0x80;
export const LDR = 0xd0;
export const DFR = 0xe0;
export const ISR = 0x100;

// Words of `control`.
/** IA32_APIC_BASE without the address. */
export const CONTROL_BASE = 0;
export const CONTROL_NMI = 1;
export const CONTROL_ERRORS = 2;

// Words of `times`.
/** Physical address of the window. */
export const TIMES_WINDOW = 0;
/** When the count was loaded (ns), for the current count; periodic timers move it forward. */
export const TIMES_COUNT_START = 1;
/** When the timer is due (ns); NaN: it is not armed. */
export const TIMES_TIMER = 2;

export const BASE_ENABLED = 0x800;
export const BASE_X2APIC = 0x400;

export interface ApicStore {
  /** 64 registers, one per 16 bytes. */
  readonly registers: Uint32Array;
  readonly control: Uint32Array;
  readonly times: Float64Array;
  /** One word: the TSC-deadline, in host ticks. */
  readonly deadlineTsc: BigUint64Array;
}

/** The store at a place of a buffer, which is a multiple of 8. */
export function apicStore(buffer: ArrayBufferLike = new ArrayBuffer(APIC_STORE_BYTES), at = 0): ApicStore {
  return {
    registers: new Uint32Array(buffer, at, 64),
    control: new Uint32Array(buffer, at + 256, 4),
    times: new Float64Array(buffer, at + 272, 3),
    deadlineTsc: new BigUint64Array(buffer, at + 296, 1),
  };
}

/** Whether a destination field names the APIC (SDM 3A, 11.6.2). */
export function isAddressed({ registers, control }: ApicStore, id: number, destination: number, logical: boolean): boolean {
  const base = control[CONTROL_BASE]!;
  if ((base & BASE_ENABLED) === 0) return false;
  if ((base & BASE_X2APIC) !== 0) {
    if (destination === 0xffffffff || destination === 0xff) return true;
    if (!logical) return destination === id;
    return destination >>> 16 === id >> 4 && (destination & (1 << (id & 15))) !== 0;
  }
  if ((destination & 0xff) === 0xff) return true;
  if (!logical) return (destination & 0xff) === registers[ID >> 4]! >>> 24;
  const mine = registers[LDR >> 4]! >>> 24;
  if (registers[DFR >> 4]! >>> 28 === 15) return (mine & destination) !== 0;
  return mine >> 4 === (destination & 0xff) >> 4 && (mine & destination & 15) !== 0;
}

/** Highest vector set in the eight registers from `base` on, or -1. */
export function highestVector(registers: Uint32Array, base: number): number {
  for (let i = 7; i >= 0; i--) {
    const word = registers[(base >> 4) + i]!;
    if (word !== 0) return i * 32 + 31 - Math.clz32(word);
  }
  return -1;
}

/** Processor priority (SDM 3A, 11.8.3.1). */
export function processorPriority({ registers }: ApicStore): number {
  const tpr = registers[TPR >> 4]!;
  const service = Math.max(0, highestVector(registers, ISR));
  return (tpr & 0xf0) >= (service & 0xf0) ? tpr : service & 0xf0;
}
