import { UserError } from '../base/errors.ts';
import type { PcBus } from '../buses/system-bus.ts';
import { DebugExit } from '../devices/legacy/debug-exit.ts';
import type { BoardEvents } from './board.ts';

/** At a port that the user chose: the only block that may meet another one. Throws UserError. */
export function addDebugExit(bus: PcBus, port: number, events: BoardEvents): void {
  try {
    bus.ports.map(port, new DebugExit((value) => events.debugExit(value)));
  } catch (error) {
    throw new UserError(`the debug exit port is taken: ${(error as Error).message}; give a free one, for instance 0xf4`);
  }
}
