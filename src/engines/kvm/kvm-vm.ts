import { PHYSICAL_MASK } from '../../isa/x86/state/layout.ts';
import { CONSTANTS, IOCTLS, STRUCTS } from './abi.ts';
import { packCpuid } from './cpuid-table.ts';
import type { CpuidEntry } from './cpuid-table.ts';
import type { KvmHost, KvmMapping } from './kvm-host.ts';
import { MemorySlots } from './memory-slots.ts';
import { packMsrs } from './registers.ts';

/** Three pages for KVM's own use on Intel processors, and one: below the flash ROM, where nothing of a PC lies. */
const TSS_ADDRESS = 0xfeffd000;
const IDENTITY_MAP_ADDRESS = 0xfeffc000n;

/**
 * MSRs that KVM keeps itself: system calls, EFER, segment bases, TSC_AUX. All others come out as exits, so that the
 * model's answers are the same on every engine.
 */
const KEPT_BY_KVM = [{ first: 0x174, count: 3 }, { first: 0xc0000080, count: 5 }, { first: 0xc0000100, count: 4 }] as const;

/** In PHYSICAL_MASK: address line 20 is open. */
export const A20 = 0x100000n;

const F = STRUCTS.kvm_msr_filter.fields;
const RANGE = STRUCTS.kvm_msr_filter_range;

/** One VM of KVM with its one vCPU, over the machine's linear memory. Throws KvmError. */
export class KvmVm {
  readonly vcpu: number;
  /** The kernel's kvm_run structure, and the data pages behind it. */
  readonly run: DataView;
  readonly slots: MemorySlots;
  readonly #host: KvmHost;
  readonly #vm: number;
  readonly #mapping: KvmMapping;
  readonly #cpuid: Uint8Array;

  constructor(host: KvmHost, memory: WebAssembly.Memory, cpuid: readonly CpuidEntry[]) {
    this.#host = host;
    this.#vm = host.ioctl(host.device, IOCTLS.KVM_CREATE_VM, 0);
    host.ioctl(this.#vm, IOCTLS.KVM_SET_TSS_ADDR, TSS_ADDRESS);
    host.ioctlData(this.#vm, IOCTLS.KVM_SET_IDENTITY_MAP_ADDR, new Uint8Array(BigUint64Array.of(IDENTITY_MAP_ADDRESS).buffer));
    this.#interceptMsrs();
    // What KVM cannot emulate comes out as it was, instead of with a #UD on the way.
    this.#enable(CONSTANTS.KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
    this.slots = new MemorySlots(host, this.#vm, memory);
    this.vcpu = host.ioctl(this.#vm, IOCTLS.KVM_CREATE_VCPU, 0);
    this.#mapping = host.map(this.vcpu, host.ioctl(host.device, IOCTLS.KVM_GET_VCPU_MMAP_SIZE, 0));
    this.run = new DataView(this.#mapping.buffer);
    this.#cpuid = packCpuid(cpuid);
    host.ioctlData(this.vcpu, IOCTLS.KVM_SET_CPUID2, this.#cpuid);
    host.admitAlarm(this.vcpu);
  }

  #interceptMsrs(): void {
    this.#enable(CONSTANTS.KVM_CAP_X86_USER_SPACE_MSR, CONSTANTS.KVM_MSR_EXIT_REASON_INVAL | CONSTANTS.KVM_MSR_EXIT_REASON_UNKNOWN | CONSTANTS.KVM_MSR_EXIT_REASON_FILTER);
    const filter = new DataView(new ArrayBuffer(STRUCTS.kvm_msr_filter.size));
    filter.setUint32(F.flags, CONSTANTS.KVM_MSR_FILTER_DEFAULT_DENY, true);
    const bitmaps = KEPT_BY_KVM.map(() => new Uint8Array([0xff]));
    KEPT_BY_KVM.forEach(({ first, count }, i) => {
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

  /** Its guest sees just that in CPUID. */
  fits(cpuid: readonly CpuidEntry[]): boolean {
    const packed = packCpuid(cpuid);
    return this.#cpuid.every((byte, i) => byte === packed[i]);
  }

  /** Physical addresses mean something else now. Nothing is under way. */
  updateSlots(block: DataView): void {
    this.slots.update((block.getBigUint64(PHYSICAL_MASK, true) & A20) !== 0n);
  }

  /** One of the vCPU's structures, as the kernel has it. */
  get(request: number, bytes: number): DataView {
    const view = new DataView(new ArrayBuffer(bytes));
    this.#host.ioctlData(this.vcpu, request, new Uint8Array(view.buffer));
    return view;
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

  /** Nothing of it may be used any more, `run` above all. */
  close(): void {
    this.#mapping.unmap();
    this.#host.close(this.vcpu);
    this.#host.close(this.#vm);
  }
}
