import type { AccessSize } from '../../src/base/addresses.ts';
import type { SystemBus } from '../../src/wiring/system-bus.ts';
import type { Random } from './random.ts';

/** Where a device answers: first port or address, bytes from there on. */
export interface Places {
  readonly ports?: readonly (readonly [number, number])[];
  readonly windows?: readonly (readonly [number, number])[];
}

/** Values that mean something somewhere: commands, lengths, masks. */
const TELLING = [0, 1, 2, 3, 4, 7, 8, 0xf, 0x10, 0x14, 0x1c, 0x20, 0x25, 0x35, 0x41, 0x46, 0x4a, 0x80, 0x90, 0xa0, 0xc5, 0xc8, 0xca, 0xd0, 0xe0, 0xe6, 0xe8, 0xec, 0xff, 0x100, 0x1000, 0x8000, 0xffff, 0x10000, 0x80000000, 0xffffffff] as const;

export function pick<T>(below: Random, list: readonly T[]): T {
  return list[below(list.length)]!;
}

/** Reads or writes once, with any width and any value, often one that tells; addresses of guest memory are likely, for queues are found there. */
export function accessAnything(bus: SystemBus, { ports = [], windows = [] }: Places, below: Random, memoryBytes: number): void {
  const size = pick<AccessSize>(below, [1, 2, 4, 4]);
  const write = below(3) !== 0;
  const value = pick(below, [() => pick(below, TELLING), () => below(memoryBytes) & ~0xfff, () => below(0x7fffffff) * 2])();
  const at = below(ports.length + windows.length);
  const port = ports[at];
  if (port !== undefined) {
    const number = port[0] + below(port[1]);
    if (write) bus.writePort(number, size, value);
    else bus.readPort(number, size);
    return;
  }
  const [first, bytes] = windows[at - ports.length]!;
  // Registers are mostly accessed where they begin.
  const address = first + (below(bytes) & (below(4) === 0 ? ~0 : ~3));
  if (write) bus.writeMmio(address, size, value);
  else bus.readMmio(address, size);
}
