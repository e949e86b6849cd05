import { CONSTANTS, IOCTLS, STRUCTS } from './abi.ts';
import type { MsrRun } from './kept-msrs.ts';
import type { KvmHost } from './kvm-host.ts';
import { MemorySlots } from './memory-slots.ts';

/** Three pages for KVM's own use on Intel processors, and one: below the flash ROM, where nothing of a PC lies. */
const TSS_ADDRESS = 0xfeffd000;
const IDENTITY_MAP_ADDRESS = 0xfeffc000n;

const F = STRUCTS.kvm_msr_filter.fields;
const RANGE = STRUCTS.kvm_msr_filter_range;

/** A VM of KVM without vCPUs, over a machine's linear memory. Throws KvmError. */
export class KvmMachine {
  readonly slots: MemorySlots;
  readonly #host: KvmHost;
  readonly #vm: number;
  readonly #vcpus: number[] = [];

  /** `kept`: MSRs that do not come out of it. */
  constructor(host: KvmHost, memory: WebAssembly.Memory, kept: readonly MsrRun[]) {
    this.#host = host;
    this.#vm = host.ioctl(host.device, IOCTLS.KVM_CREATE_VM, 0);
    host.ioctl(this.#vm, IOCTLS.KVM_SET_TSS_ADDR, TSS_ADDRESS);
    host.ioctlData(this.#vm, IOCTLS.KVM_SET_IDENTITY_MAP_ADDR, new Uint8Array(BigUint64Array.of(IDENTITY_MAP_ADDRESS).buffer));
    this.#interceptMsrs(kept);
    // What KVM cannot emulate comes out as it was, instead of with a #UD on the way.
    this.#enable(CONSTANTS.KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
    this.slots = new MemorySlots(host, this.#vm, memory);
  }

  /** A vCPU's descriptor, which every thread of the process may use. */
  createVcpu(index: number): number {
    const vcpu = this.#host.ioctl(this.#vm, IOCTLS.KVM_CREATE_VCPU, index);
    this.#vcpus.push(vcpu);
    return vcpu;
  }

  #interceptMsrs(kept: readonly MsrRun[]): void {
    this.#enable(CONSTANTS.KVM_CAP_X86_USER_SPACE_MSR, CONSTANTS.KVM_MSR_EXIT_REASON_INVAL | CONSTANTS.KVM_MSR_EXIT_REASON_UNKNOWN | CONSTANTS.KVM_MSR_EXIT_REASON_FILTER);
    const filter = new DataView(new ArrayBuffer(STRUCTS.kvm_msr_filter.size));
    filter.setUint32(F.flags, CONSTANTS.KVM_MSR_FILTER_DEFAULT_DENY, true);
    const bitmaps = kept.map(() => new Uint8Array([0xff]));
    kept.forEach(({ first, count }, i) => {
      const at = F.ranges + i * RANGE.size;
      filter.setUint32(at + RANGE.fields.flags, CONSTANTS.KVM_MSR_FILTER_READ | CONSTANTS.KVM_MSR_FILTER_WRITE, true);
      filter.setUint32(at + RANGE.fields.nmsrs, count, true);
      filter.setUint32(at + RANGE.fields.base, first, true);
      filter.setBigUint64(at + RANGE.fields.bitmap, this.#host.addressOf(bitmaps[i]!), true);
    });
    this.#host.ioctlData(this.#vm, IOCTLS.KVM_X86_SET_MSR_FILTER, new Uint8Array(filter.buffer));
  }

  #enable(capability: number, argument: number): void {
    const { size, fields } = STRUCTS.kvm_enable_cap;
    const enable = new DataView(new ArrayBuffer(size));
    enable.setUint32(fields.cap, capability, true);
    enable.setBigUint64(fields.args, BigInt(argument), true);
    this.#host.ioctlData(this.#vm, IOCTLS.KVM_ENABLE_CAP, new Uint8Array(enable.buffer));
  }

  /** Descriptors of its vCPUs are closed too. */
  close(): void {
    for (const fd of [...this.#vcpus, this.#vm]) this.#host.close(fd);
  }
}
