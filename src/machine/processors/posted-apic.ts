import { kickVcpu } from '../../engines/kick.ts';
import { isAddressed, processorPriority } from '../../interrupts/apic-store.ts';
import type { ApicTarget, DeliveryMode } from '../../interrupts/apic-bus.ts';
import { EVENT_INIT, EVENT_START_UP } from './shared-words.ts';
import type { MachineWords, VcpuWords } from './shared-words.ts';

/** Makes a vCPU in another thread look at what has been posted for it. */
export function alertVcpu({ words, interrupt }: MachineWords, vcpu: VcpuWords): void {
  vcpu.alert();
  kickVcpu(words, vcpu.index);
  const thread = vcpu.takeKvmThread();
  if (thread !== 0) interrupt(thread);
}

/** The local APIC of a vCPU in another thread: messages are posted to it. */
export class PostedApic implements ApicTarget {
  readonly #machine: MachineWords;
  readonly #vcpu: VcpuWords;
  readonly #id: number;

  constructor(machine: MachineWords, vcpu: VcpuWords, id: number) {
    this.#machine = machine;
    this.#vcpu = vcpu;
    this.#id = id;
  }

  matches(destination: number, logical: boolean): boolean {
    return isAddressed(this.#vcpu.apic, this.#id, destination, logical);
  }
  get processorPriority(): number {
    return processorPriority(this.#vcpu.apic);
  }
  accept(mode: DeliveryMode, vector: number, level: boolean): void {
    const vcpu = this.#vcpu;
    switch (mode) {
      case 'fixed':
      case 'lowest':
        vcpu.postInterrupt(vector, level);
        break;
      case 'nmi':
        vcpu.postNmi();
        break;
      case 'init':
        vcpu.postEvents(EVENT_INIT);
        break;
      case 'startup':
        vcpu.startUpVector = vector;
        vcpu.postEvents(EVENT_START_UP);
        break;
      case 'smi':
      case 'extint':
        return;
    }
    alertVcpu(this.#machine, vcpu);
  }
}
