import type { RoutineTable } from './routine.ts';

/** Segments, far transfers, exceptions, control registers, ports: src/runtime/{segments,transfers,exceptions,control,ports}.ts. */
export const systemRoutines = {
  /** Segment index, selector. */
  moveToSegment: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  loadSegmentChecked: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  readSelector: { params: ['i32'], result: 'i32', kind: 'state' },
  lldt: { params: ['i32'], result: 'i32', kind: 'leaves' },
  ltr: { params: ['i32'], result: 'i32', kind: 'leaves' },
  notePause: { params: [], result: 'none', kind: 'state' },
  /** linear address, 0 GDT / 1 IDT, operand size. */
  loadTable: { params: ['i64', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  storeTable: { params: ['i64', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** Value with bit 63 set when the selector may be looked at. */
  loadAccessRights: { params: ['i32'], result: 'i64', kind: 'faults' },
  loadSegmentLimit: { params: ['i32'], result: 'i64', kind: 'faults' },
  verifySegment: { params: ['i32', 'i32'], result: 'i32', kind: 'faults' },
  /** selector, offset, operand size. */
  farJump: { params: ['i32', 'i64', 'i32'], result: 'i32', kind: 'leaves' },
  farCall: { params: ['i32', 'i64', 'i32'], result: 'i32', kind: 'leaves' },
  /** operand size, bytes to pop. */
  farReturn: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  interruptReturn: { params: ['i32'], result: 'i32', kind: 'leaves' },
  /** vector; 2 INT n, 1 INT3 and INTO, 0 INT1. */
  interruptN: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  systemCall: { params: [], result: 'i32', kind: 'leaves' },
  systemReturn: { params: ['i32'], result: 'i32', kind: 'leaves' },
  systemEnter: { params: [], result: 'i32', kind: 'leaves' },
  systemExit: { params: ['i32'], result: 'i32', kind: 'leaves' },
  swapGs: { params: [], result: 'i32', kind: 'leaves' },
  readFlags: { params: [], result: 'i32', kind: 'state' },
  /** What to leave with after LEAVE_RESUME, 0 to go on. */
  mayResume: { params: [], result: 'i32', kind: 'state' },
  resumeAfterFault: { params: [], result: 'i32', kind: 'state' },
  /** address: the first record of its block, 0 when that has to be looked for; see src/runtime/blocks.ts. */
  findBlock: { params: ['i64'], result: 'i32', kind: 'state' },
  /** 1 when the jump cache is that of the mode and code segment as they are. */
  jumpCacheHolds: { params: [], result: 'i32', kind: 'state' },
  /** kind of state/flag-kinds.ts and its two values: flags of translated code into the state. */
  settleFlags: { params: ['i32', 'i64', 'i64'], result: 'none', kind: 'state' },
  /** value, operand size; then flagsNeedAttention once RSP has moved. */
  popFlags: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  flagsNeedAttention: { params: [], result: 'i32', kind: 'leaves' },
  /** bytes of locals, nesting level, operand width. */
  enterFrame: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  readControl: { params: ['i32'], result: 'i64', kind: 'faults' },
  writeControl: { params: ['i32', 'i64'], result: 'i32', kind: 'leaves' },
  setCr0: { params: ['i64'], result: 'i32', kind: 'leaves' },
  readDebug: { params: ['i32'], result: 'i64', kind: 'faults' },
  writeDebug: { params: ['i32', 'i64'], result: 'i32', kind: 'leaves' },
  /** type, low and high half of the descriptor. */
  invalidatePcid: { params: ['i64', 'i64', 'i64'], result: 'i32', kind: 'leaves' },
  invalidatePage: { params: ['i64'], result: 'i32', kind: 'leaves' },
  /** Operand size: PUSHF where virtual-8086 mode has IOPL below 3. */
  checkVirtualFlags: { params: ['i32'], result: 'i32', kind: 'leaves' },
  clearInterrupts: { params: [], result: 'i32', kind: 'leaves' },
  setInterrupts: { params: [], result: 'i32', kind: 'leaves' },
  halt: { params: [], result: 'i32', kind: 'leaves' },
  readProtectionKeys: { params: [], result: 'i32', kind: 'leaves' },
  writeProtectionKeys: { params: [], result: 'i32', kind: 'leaves' },
  setAlignmentFlag: { params: ['i32'], result: 'i32', kind: 'leaves' },
  /** linear address, 1 with REX.W, XSAVE_ kind: src/runtime/xsave.ts. */
  xsave: { params: ['i64', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  xrstor: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  readExtendedControl: { params: [], result: 'i32', kind: 'leaves' },
  writeExtendedControl: { params: [], result: 'i32', kind: 'leaves' },
  /** port, bytes. */
  portIn: { params: ['i32', 'i32'], result: 'i32', kind: 'faults' },
  portOut: { params: ['i32', 'i32', 'i32'], result: 'none', kind: 'faults' },
} as const satisfies RoutineTable;
