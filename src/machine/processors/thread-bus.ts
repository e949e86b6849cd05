import type { AccessSize, PhysicalAddress } from '../../base/addresses.ts';
import type { LocalApic } from '../../interrupts/local-apic.ts';
import type { SystemBus } from '../../wiring/system-bus.ts';
import { READ_MMIO, READ_PORT, WRITE_MMIO, WRITE_PORT } from './shared-words.ts';
import type { MachineWords, VcpuWords } from './shared-words.ts';

/** Looks at the answer's word before the thread sleeps: a few microseconds, the time of a device's access itself. */
const TURNS = 2_000;

/** Devices as a vCPU's thread sees them: the machine's thread serves each access. The local APIC is in this thread. */
export class ThreadBus implements SystemBus {
  readonly #machine: MachineWords;
  readonly #words: VcpuWords;
  readonly #apic: LocalApic;
  readonly #wakeMachine: () => void;
  readonly #served: () => void;

  constructor(machine: MachineWords, words: VcpuWords, apic: LocalApic, wakeMachine: () => void, served: () => void) {
    this.#machine = machine;
    this.#words = words;
    this.#apic = apic;
    this.#wakeMachine = wakeMachine;
    this.#served = served;
  }

  readPort(port: number, size: AccessSize): number {
    return this.request(READ_PORT, 0, size, port);
  }
  writePort(port: number, size: AccessSize, value: number): void {
    this.request(WRITE_PORT, value, size, port);
  }
  readMmio(address: PhysicalAddress, size: AccessSize): number {
    const offset = this.#apicOffset(address);
    return offset === undefined ? this.request(READ_MMIO, 0, size, address) : this.#apic.registers.read(offset, size);
  }
  writeMmio(address: PhysicalAddress, size: AccessSize, value: number): void {
    const offset = this.#apicOffset(address);
    if (offset === undefined) this.request(WRITE_MMIO, value, size, address);
    else this.#apic.registers.write(offset, size, value);
  }
  #apicOffset(address: PhysicalAddress): number | undefined {
    const offset = address - this.#apic.window;
    return offset >= 0 && offset < this.#apic.registers.length ? offset : undefined;
  }

  /** Has the machine's thread do something; returns what it answers, 32 bits. */
  request(operation: number, value = 0, size = 0, address = 0): number {
    this.#words.request(operation, size, address, value);
    if (this.#machine.ring()) this.#wakeMachine();
    const answer = this.#words.awaitAnswer(TURNS);
    this.#served();
    return answer;
  }
}
