import type { AccessSize } from '../../base/addresses.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';

/**
 * Lets a guest end the machine with a value, for tests: any write hands the value written to `exit`. Interface of
 * QEMU's isa-debug-exit (the process's exit status is `(value << 1) | 1`); reads give 0. It has no state.
 */
export class DebugExit implements RegisterBlock {
  readonly name = 'debug-exit';
  readonly length = 4;
  readonly #exit: (value: number) => void;

  constructor(exit: (value: number) => void) {
    this.#exit = exit;
  }

  read(_offset: number, _size: AccessSize): number {
    return 0;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    this.#exit(value >>> 0);
  }
}
