import { IOCTLS, STRUCTS } from './abi.ts';
import { packCpuid } from './cpuid-table.ts';
import type { CpuidEntry } from './cpuid-table.ts';
import type { KvmHost, KvmMapping } from './kvm-host.ts';
import { packMsrs } from './registers.ts';

/** A vCPU of a VM of KVM, for the thread that runs it. Throws KvmError. */
export class KvmProcessor {
  readonly vcpu: number;
  /** The kernel's kvm_run structure, and the data pages behind it. */
  readonly run: DataView;
  readonly #host: KvmHost;
  readonly #mapping: KvmMapping;
  readonly #cpuid: Uint8Array;

  /** `vcpu`: its descriptor. */
  constructor(host: KvmHost, vcpu: number, cpuid: readonly CpuidEntry[]) {
    this.#host = host;
    this.vcpu = vcpu;
    this.#mapping = host.map(vcpu, host.ioctl(host.device, IOCTLS.KVM_GET_VCPU_MMAP_SIZE, 0));
    this.run = new DataView(this.#mapping.buffer);
    this.#cpuid = packCpuid(cpuid);
    host.ioctlData(vcpu, IOCTLS.KVM_SET_CPUID2, this.#cpuid);
    host.admitAlarm(vcpu);
  }

  /** Its guest sees just that in CPUID. */
  fits(cpuid: readonly CpuidEntry[]): boolean {
    const packed = packCpuid(cpuid);
    return this.#cpuid.every((byte, i) => byte === packed[i]);
  }

  /** Physical addresses mean something else now. Whoever made the VM of several vCPUs sees to that. */
  updateSlots(_block: DataView): void {}
  /** Page tables have changed without KVM having seen it. The same; `updateSlots` comes next. */
  forgetPageTables(): void {}
  /** See MemorySlots. The same. */
  logWrites(_on: boolean): void {}

  /** One of the vCPU's structures, as the kernel has it. */
  get(request: number, bytes: number): DataView {
    const view = new DataView(new ArrayBuffer(bytes));
    this.read(request, new Uint8Array(view.buffer));
    return view;
  }
  /** The same, into memory of the caller's. */
  read(request: number, into: Uint8Array): void {
    this.#host.ioctlData(this.vcpu, request, into);
  }
  set(request: number, view: DataView): void {
    this.#host.ioctlData(this.vcpu, request, new Uint8Array(view.buffer));
  }

  setMsrs(entries: readonly (readonly [index: number, value: bigint])[]): void {
    this.set(IOCTLS.KVM_SET_MSRS, packMsrs(entries));
  }
  setXcr0(value: bigint): void {
    const { size, fields } = STRUCTS.kvm_xcrs;
    const xcrs = new DataView(new ArrayBuffer(size));
    xcrs.setUint32(fields.nr_xcrs, 1, true);
    xcrs.setBigUint64(fields.xcrs + STRUCTS.kvm_xcr.fields.value, value, true);
    this.set(IOCTLS.KVM_SET_XCRS, xcrs);
  }

  /** Nothing of it may be used any more, `run` above all. The descriptor stays open. */
  close(): void {
    this.#mapping.unmap();
  }
}
