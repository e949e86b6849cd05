import type { AccessSize } from '../../base/addresses.ts';
import type { ApicBus } from '../../interrupts/apic-bus.ts';
import type { PicPair } from '../../interrupts/pic.ts';
import type { SystemBus } from '../../wiring/system-bus.ts';
import { ACKNOWLEDGE_PIC, END_OF_INTERRUPT, NUMERIC_ERROR, READ_MMIO, READ_PORT, WRITE_MMIO, WRITE_PORT } from './shared-words.ts';
import type { MachineWords, VcpuWords } from './shared-words.ts';

export interface DeviceRequestsOptions {
  readonly bus: SystemBus;
  readonly apicBus: ApicBus;
  readonly pic: PicPair;
  readonly numericError: (pending: boolean) => boolean;
}

/** Answers, in the machine's thread, what vCPUs' threads ask of devices. */
export class DeviceRequests {
  readonly counts = { port: 0, mmio: 0 };
  readonly #options: DeviceRequestsOptions;
  readonly #machine: MachineWords;

  constructor(options: DeviceRequestsOptions, machine: MachineWords) {
    this.#options = options;
    this.#machine = machine;
  }

  /** Does what a vCPU's thread waits for. */
  serve(words: VcpuWords): void {
    const { bus, pic, apicBus, numericError } = this.#options;
    const size = words.size as AccessSize;
    const { operation, address, value } = words;
    let answer = 0;
    switch (operation) {
      case READ_PORT:
        this.counts.port++;
        answer = bus.readPort(address, size);
        break;
      case WRITE_PORT:
        this.counts.port++;
        bus.writePort(address, size, value);
        break;
      case READ_MMIO:
        this.counts.mmio++;
        answer = bus.readMmio(address, size);
        break;
      case WRITE_MMIO:
        this.counts.mmio++;
        bus.writeMmio(address, size, value);
        break;
      case ACKNOWLEDGE_PIC:
        answer = pic.acknowledge();
        this.#machine.picPending = pic.pending;
        break;
      case END_OF_INTERRUPT:
        apicBus.broadcastEoi(value);
        break;
      case NUMERIC_ERROR:
        answer = numericError(value !== 0) ? 1 : 0;
        break;
    }
    words.answer(answer);
  }
}
