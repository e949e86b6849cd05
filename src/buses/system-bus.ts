import type { AccessSize, PhysicalAddress } from '../base/addresses.ts';
import type { Log } from '../host/log.ts';
import type { SystemBus } from '../wiring/system-bus.ts';
import { BlockMap } from './block-map.ts';

/** One access, kept for the report of a guest that died. */
export interface PortAccess {
  readonly port: number;
  readonly size: AccessSize;
  readonly value: number;
  readonly write: boolean;
}

const REMEMBERED = 16;

/** Ports and device memory of a machine. */
export class PcBus implements SystemBus {
  readonly ports = new BlockMap();
  readonly mmio = new BlockMap();
  readonly #log: Log;
  /** Written over again and again: port accesses come by the million. */
  readonly #recent = Array.from({ length: REMEMBERED }, () => ({ port: 0, size: 1 as AccessSize, value: 0, write: false }));
  #count = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  readPort(port: number, size: AccessSize): number {
    const value = this.ports.read(port, size);
    this.#remember(port, size, value, false);
    return value;
  }
  writePort(port: number, size: AccessSize, value: number): void {
    this.#remember(port, size, value, true);
    this.ports.write(port, size, value);
  }
  readMmio(address: PhysicalAddress, size: AccessSize): number {
    const value = this.mmio.read(address, size);
    if (this.#log.tracing('mmio')) this.#log.trace('mmio', `read ${size} at ${address.toString(16)}: ${value.toString(16)}`);
    return value;
  }
  writeMmio(address: PhysicalAddress, size: AccessSize, value: number): void {
    if (this.#log.tracing('mmio')) this.#log.trace('mmio', `write ${size} at ${address.toString(16)}: ${value.toString(16)}`);
    this.mmio.write(address, size, value);
  }

  /** The last accesses, oldest first. */
  recentPorts(): PortAccess[] {
    const kept = Math.min(this.#count, REMEMBERED);
    return Array.from({ length: kept }, (_, i) => ({ ...this.#recent[(this.#count - kept + i) % REMEMBERED]! }));
  }

  #remember(port: number, size: AccessSize, value: number, write: boolean): void {
    if (this.#log.tracing('port')) this.#log.trace('port', `${write ? 'write' : 'read'} ${size} at ${port.toString(16)}: ${value.toString(16)}`);
    const entry = this.#recent[this.#count++ % REMEMBERED]!;
    entry.port = port;
    entry.size = size;
    entry.value = value;
    entry.write = write;
  }
}
