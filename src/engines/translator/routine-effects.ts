import { routineIndex, routines } from '../../isa/x86/routines/directory.ts';
import { avxRoutines } from '../../isa/x86/routines/avx.ts';
import { memoryRoutines } from '../../isa/x86/routines/memory.ts';
import { sseRoutines } from '../../isa/x86/routines/sse.ts';
import { x87Routines } from '../../isa/x86/routines/x87.ts';

/** Routines that neither look at general registers and status flags nor change them. */
const apart = new Set<string>([
  ...Object.keys(memoryRoutines), ...Object.keys(sseRoutines), ...Object.keys(x87Routines), ...Object.keys(avxRoutines),
  'raiseFault', 'settleFlags', 'readSelector', 'loadAccessRights', 'loadSegmentLimit', 'verifySegment', 'moveToSegment', 'loadSegmentChecked', 'lldt', 'ltr',
  'loadTable', 'storeTable', 'swapGs', 'readControl', 'readDebug', 'invalidatePage', 'invalidatePcid', 'checkVirtualFlags', 'clearInterrupts', 'setInterrupts', 'randomBits', 'crc32Step', 'notePause',
]);
apart.delete('x87CompareFlags');

/** Unknown routines are taken to touch everything. */
export function touchesRegisters(name: string): boolean {
  return !apart.has(name) && routines[routineIndex(name)]!.routine.kind !== 'pure';
}

/** Of x87: they work on its registers, and what they note of an exception. */
const x87Values = /^x87(Arithmetic|Compare$|Operate|Load(F|Register|Integer)|StoreRegister|Exchange|Quick)/;
/** They raise what is due, and change nothing. */
const checks = /^(checkSegment|(x87|sse|avx|mmx)(Available|Check))/;

/** Routines after which vector registers are what they were, and MXCSR but for flags that have been set. */
export function keepsState(name: string): boolean {
  return Object.hasOwn(sseRoutines, name) || checks.test(name) || x87Values.test(name) || name.startsWith('x87Store') || routines[routineIndex(name)]!.routine.kind === 'pure';
}

/** Routines after which x87 registers, their tags, status and control word may be others. */
export function touchesX87(name: string): boolean {
  return !checks.test(name) && (!keepsState(name) || x87Values.test(name) || name.startsWith('x87Store'));
}

/** Routines that may write memory, the running code included. */
export function mayWriteMemory(name: string): boolean {
  return touchesRegisters(name) || /^(x87Store(?!Register)|x87Save|saveFx|storeTable|storeMasked|compareExchange)/.test(name);
}

const changesTranslations = routines.map(({ name, routine: { kind } }) => kind !== 'pure' && !x87Values.test(name));
/** Whether the routine with an index may change where guest memory lies, or the rights to it. */
export function mayChangeTranslations(routine: number): boolean {
  return changesTranslations[routine]!;
}
