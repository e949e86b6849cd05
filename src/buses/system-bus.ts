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
  readonly #recent: PortAccess[] = [];
  #next = 0;

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
    return [...this.#recent.slice(this.#next), ...this.#recent.slice(0, this.#next)];
  }

  #remember(port: number, size: AccessSize, value: number, write: boolean): void {
    if (this.#log.tracing('port')) this.#log.trace('port', `${write ? 'write' : 'read'} ${size} at ${port.toString(16)}: ${value.toString(16)}`);
    this.#recent[this.#next] = { port, size, value, write };
    this.#next = (this.#next + 1) % REMEMBERED;
  }
}
