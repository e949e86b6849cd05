import { CPL, CR2, EFER, IDTR_BASE, IDTR_LIMIT, MODE, MODE_CODE64, MODE_CODE_MASK, MSR_LSTAR, R11, RCX, RIP, RSP, VECTOR_PF } from '../../isa/x86/state/layout.ts';
import type { Runtime } from '../runtime-module.ts';
import { CONSTANTS as K, IOCTLS, STRUCTS } from './abi.ts';
import type { KvmProcessor } from './kvm-processor.ts';

const G = STRUCTS.kvm_guest_debug.fields;
const EFER_SCE = 1n;
const GATE_BYTES = 16n;
/** DR7: the first breakpoint, on execution (Intel SDM 3B, 17.2.4). */
const FIRST_ENABLED = 3n;
const FLAGS = 0x3fffff;
const SYSCALL_BYTES = 2n;
/** What a page fault has pushed (SDM 3A, 6.14.2), in words. */
const FRAME = { rip: 1, cs: 2, rsp: 4 } as const;

/**
 * SYSCALL on a KVM without virtualization in hardware (pvm), where it jumps to LSTAR and leaves user code its privilege: the guest's
 * kernel gets a page fault for that. Such a KVM emulates ring 0 and looks at the monitor's breakpoints before each instruction
 * there, so that one on the kernel's handler of page faults comes out, and what SYSCALL should have done can be done.
 */
export class LostSyscalls {
  readonly #runtime: Runtime;
  readonly #block: DataView;
  readonly #memory: DataView;
  readonly #debug = new DataView(new ArrayBuffer(STRUCTS.kvm_guest_debug.size));
  /** Where the breakpoint is. */
  #watched: bigint | undefined;

  /** `block`: of the vCPU; `memory`: all of the linear memory. */
  constructor(runtime: Runtime, block: DataView, memory: DataView) {
    this.#runtime = runtime;
    this.#block = block;
    this.#memory = memory;
  }

  /** Sets the breakpoint, or takes it away where the guest has no use for it. The state is in the block still. Throws KvmError. */
  watch(vm: KvmProcessor): void {
    const handler = this.#watched = this.#handler();
    this.#debug.setUint32(G.control, handler === undefined ? 0 : K.KVM_GUESTDBG_ENABLE | K.KVM_GUESTDBG_USE_HW_BP, true);
    this.#debug.setBigUint64(G['arch.debugreg'], handler ?? 0n, true);
    this.#debug.setBigUint64(G['arch.debugreg'] + 7 * 8, handler === undefined ? 0n : FIRST_ENABLED, true);
    vm.set(IOCTLS.KVM_SET_GUEST_DEBUG, this.#debug);
  }

  /** The gate's offset for page faults, of a 64-bit guest that uses SYSCALL. */
  #handler(): bigint | undefined {
    const block = this.#block;
    const gate = GATE_BYTES * BigInt(VECTOR_PF);
    if ((block.getBigUint64(EFER, true) & EFER_SCE) === 0n || block.getUint32(IDTR_LIMIT, true) < gate + GATE_BYTES - 1n) return undefined;
    const low = this.#word(block.getBigUint64(IDTR_BASE, true) + gate);
    const high = this.#word(block.getBigUint64(IDTR_BASE, true) + gate + 8n);
    if (low === undefined || high === undefined) return undefined;
    return (low & 0xffffn) | ((low >> 32n) & 0xffff0000n) | ((high & 0xffffffffn) << 32n);
  }

  /** Is user code that stands at this address in the middle of a SYSCALL? An interrupt must not come there. */
  underWay(rip: bigint): boolean {
    return this.#watched !== undefined && rip === this.#block.getBigUint64(MSR_LSTAR, true);
  }

  /** The state has come into the block. True: a SYSCALL was under way; it is done, or user code is before it. */
  mend(): boolean {
    const block = this.#block;
    const rip = block.getBigUint64(RIP, true);
    if (this.#watched === undefined || (block.getUint32(MODE, true) & MODE_CODE_MASK) !== MODE_CODE64) return false;
    if (block.getUint32(CPL, true) === 0) return rip === this.#watched && this.#finish();
    if (!this.underWay(rip)) return false;
    block.setBigUint64(RIP, block.getBigUint64(RCX, true) - SYSCALL_BYTES, true);
    this.#takeFlags();
    return true;
  }

  /** At the handler of page faults: a SYSCALL becomes what it should have been. */
  #finish(): boolean {
    const block = this.#block;
    const target = block.getBigUint64(MSR_LSTAR, true);
    if (block.getBigUint64(CR2, true) !== target) return false;
    const frame = (index: number): bigint | undefined => this.#word(block.getBigUint64(RSP, true) + 8n * BigInt(index));
    const [rip, cs, rsp] = [frame(FRAME.rip), frame(FRAME.cs), frame(FRAME.rsp)];
    if (rip !== target || cs === undefined || (cs & 3n) !== 3n || rsp === undefined) return false;
    // What the processor did of it has left where it returns in RCX, and the flags in R11.
    const back = block.getBigUint64(RCX, true);
    this.#takeFlags();
    block.setBigUint64(RSP, rsp, true);
    this.#runtime.call('systemCall');
    block.setBigUint64(RCX, back, true);
    return true;
  }

  #takeFlags(): void {
    this.#runtime.call('writeFlags', Number(this.#block.getBigUint64(R11, true) & 0xffffffffn), FLAGS);
  }

  /** The guest's word at a linear address, as its kernel sees it. */
  #word(linear: bigint): bigint | undefined {
    const host = this.#runtime.lookAt(linear, false);
    return host === 0 || (host & 7) !== 0 ? undefined : this.#memory.getBigUint64(host, true);
  }
}
