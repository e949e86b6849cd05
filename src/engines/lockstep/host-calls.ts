import type { InterpreterOptions } from '../interpreter/interpreter.ts';
import { isSame } from './event-log.ts';
import type { EventLog, HostValue, LogReader, Place } from './event-log.ts';
import type { Twin } from './twin.ts';

/** What a vCPU calls outside of itself. */
export type HostCalls = Pick<InterpreterOptions, 'bus' | 'interrupts' | 'hostTsc' | 'random32' | 'numericError' | 'bootTime'>;

/** Calls that are answered elsewhere, by name. */
type Answer = (name: string, args: readonly HostValue[]) => HostValue;
type InterruptCalls = Pick<HostCalls['interrupts'], 'pending' | 'acknowledge' | 'takeNmi' | 'giveBackNmi'>;

const noNmiBack = (): never => {
  throw new Error('translator and interpreter deliver an NMI that they take');
};

function callsBy(answer: Answer, interrupts: InterruptCalls, numericError: boolean): HostCalls {
  return {
    bus: {
      readPort: (port, size) => answer('readPort', [port, size]) as number,
      writePort: (port, size, value) => void answer('writePort', [port, size, value]),
      readMmio: (address, size) => answer('readMmio', [address, size]) as number,
      writeMmio: (address, size, value) => void answer('writeMmio', [address, size, value]),
    },
    interrupts: {
      ...interrupts,
      readTaskPriority: () => answer('readTaskPriority', []) as number,
      writeTaskPriority: (value) => void answer('writeTaskPriority', [value]),
      readMsr: (index) => answer('readMsr', [index]) as bigint | undefined,
      writeMsr: (index, value) => answer('writeMsr', [index, value]) as boolean,
    },
    hostTsc: () => answer('hostTsc', []) as number,
    random32: () => answer('random32', []) as number,
    bootTime: () => answer('bootTime', []) as number,
    ...(numericError ? { numericError: (pending: boolean) => answer('numericError', [pending]) as boolean } : {}),
  };
}

/** Calls the real functions and writes down what was asked and answered. */
export function recordedCalls(real: HostCalls, log: EventLog, place: () => Place): HostCalls {
  const call = (name: string, args: readonly HostValue[]): HostValue => {
    switch (name) {
      case 'readPort': return real.bus.readPort(args[0] as number, args[1] as 1 | 2 | 4);
      case 'writePort': return void real.bus.writePort(args[0] as number, args[1] as 1 | 2 | 4, args[2] as number);
      case 'readMmio': return real.bus.readMmio(args[0] as number, args[1] as 1 | 2 | 4);
      case 'writeMmio': return void real.bus.writeMmio(args[0] as number, args[1] as 1 | 2 | 4, args[2] as number);
      case 'readTaskPriority': return real.interrupts.readTaskPriority();
      case 'writeTaskPriority': return void real.interrupts.writeTaskPriority(args[0] as number);
      case 'readMsr': return real.interrupts.readMsr(args[0] as number);
      case 'writeMsr': return real.interrupts.writeMsr(args[0] as number, args[1] as bigint);
      case 'hostTsc': return real.hostTsc();
      case 'random32': return real.random32();
      case 'bootTime': return real.bootTime?.();
      default: return real.numericError!(args[0] as boolean);
    }
  };
  const answer: Answer = (name, args) => {
    const entry = { kind: 'call' as const, name, args, result: undefined as HostValue };
    // Before the call: what it changes comes behind it.
    log.add(entry);
    entry.result = call(name, args);
    return entry.result;
  };
  const interrupts: InterruptCalls = {
    pending: () => real.interrupts.pending(),
    acknowledge: () => {
      const at = place();
      const vector = real.interrupts.acknowledge();
      if (vector >= 0) log.add({ kind: 'interrupt', at, vector, maskable: true });
      return vector;
    },
    takeNmi: () => {
      const taken = real.interrupts.takeNmi();
      if (taken) log.add({ kind: 'interrupt', at: place(), vector: 2, maskable: false });
      return taken;
    },
    giveBackNmi: noNmiBack,
  };
  return callsBy(answer, interrupts, real.numericError !== undefined);
}

/**
 * Answers as the log says. Asked whether an interrupt is pending it says yes as long as one is to come before the slice ends:
 * that only makes the vCPU look; `acknowledge` gives it out at its place, which the follower drives to.
 */
export function replayedCalls(reader: LogReader, twin: Twin, numericError: boolean): HostCalls {
  const answer: Answer = (name, args) => {
    const result = reader.call(name, args);
    for (const effect of reader.effects()) twin.apply(effect);
    return result;
  };
  const due = (maskable: boolean): boolean => reader.stop?.kind === 'interrupt' && reader.stop.maskable === maskable;
  /** The vector when its place is here and it is of this kind, else -1. */
  const take = (maskable: boolean): number => {
    const { stop } = reader;
    if (stop?.kind !== 'interrupt' || stop.maskable !== maskable || !reader.atStop || !isSame(stop.at, twin.place())) return -1;
    reader.takeStop();
    return stop.vector;
  };
  const interrupts: InterruptCalls = { pending: () => due(true), acknowledge: () => take(true), takeNmi: () => take(false) >= 0, giveBackNmi: noNmiBack };
  return callsBy(answer, interrupts, numericError);
}
