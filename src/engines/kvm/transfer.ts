import type { InterruptInput } from '../../wiring/interrupt-input.ts';
import {
  CPL, CR2, EFLAGS, FAULT_ADDRESS, MSR_CSTAR, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_SFMASK, MSR_SPEC_CTRL, MSR_STAR, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, MSR_TSC_AUX, NMI_BLOCKED,
  RIP, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_SS, SHADOW, TSC_OFFSET, VECTOR_PF, XCR0,
} from '../../isa/x86/state/layout.ts';
import type { Interpreter } from '../interpreter/interpreter.ts';
import { CONSTANTS, IOCTLS, STRUCTS } from './abi.ts';
import type { KvmCapabilities } from './capabilities.ts';
import { packExtendedState, unpackExtendedState } from './extended-state.ts';
import { IA32_SPEC_CTRL } from './kept-msrs.ts';
import type { KvmHost } from './kvm-host.ts';
import type { KvmProcessor } from './kvm-processor.ts';
import { LostTraps, isSoftwareTrap } from './lost-traps.ts';
import { packDebugRegisters, packMsrs, packRegisters, packSystemRegisters, unpackDebugRegisters, unpackRegisters, unpackSystemRegisters } from './registers.ts';

const RUN = STRUCTS.kvm_run.fields;
const EVENTS = STRUCTS.kvm_vcpu_events.fields;
const XCRS = STRUCTS.kvm_xcrs.fields;
const MSR_ENTRY = STRUCTS.kvm_msr_entry;
const MSRS_HEAD = STRUCTS.kvm_msrs.size;
const ATTR = STRUCTS.kvm_device_attr.fields;
const IA32_TSC = 0x10;
const MSR_APIC_BASE = 0x1b;
const APIC_X2 = 0x400n;
/** Each some microseconds. */
const READINGS = 3;
const FLAG_IF = 0x200;
const FLAG_VM = 0x20000;
const FLAGS = 0x3fffff;

/** MSRs that KVM keeps everywhere (kept-msrs.ts) and no other structure holds, by their place in the block. */
const MSRS = [
  [0x174, MSR_SYSENTER_CS], [0x175, MSR_SYSENTER_ESP], [0x176, MSR_SYSENTER_EIP], [0xc0000081, MSR_STAR], [0xc0000082, MSR_LSTAR], [0xc0000083, MSR_CSTAR],
  [0xc0000084, MSR_SFMASK], [0xc0000102, MSR_KERNEL_GS_BASE], [0xc0000103, MSR_TSC_AUX],
] as const;

export interface TransferOptions {
  readonly host: KvmHost;
  /** Whose block holds the state while KVM does not. */
  readonly home: Interpreter;
  readonly memory: WebAssembly.Memory;
  /** A view of that block. */
  readonly block: DataView;
  readonly interrupts: InterruptInput;
  readonly hostTsc: () => number;
  readonly capabilities: Pick<KvmCapabilities, 'xsave' | 'keptMsrs'>;
  /** See KvmOptions. */
  readonly hostCounter?: boolean;
  readonly counterLead?: CounterLead;
}

/** How far the host's time stamp counter is ahead of the model's, in ticks, as one of a machine's processors has measured it for all. */
export interface CounterLead {
  /** Undefined: nobody has, or not since it has changed. Of several who set it at once the first counts. */
  ticks: bigint | undefined;
}

/** Moves a vCPU's state from its block of linear memory into KVM, and back. */
export class Transfer {
  readonly #options: TransferOptions;
  readonly #msrs: readonly (readonly [index: number, offset: number])[];
  readonly #lostTraps: LostTraps;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#lostTraps = new LostTraps(options.home, options.block, options.memory);
    const holdsPredictors = options.capabilities.keptMsrs.some(({ first }) => first === IA32_SPEC_CTRL);
    // The last: KVM takes none behind one that it refuses.
    this.#msrs = holdsPredictors ? [...MSRS, [IA32_SPEC_CTRL, MSR_SPEC_CTRL]] : MSRS;
  }

  /** Into KVM. */
  push(vm: KvmProcessor): void {
    const { home, block, interrupts, capabilities } = this.#options;
    // The shadow of STI and MOV SS lasts for one instruction, and not every KVM takes it over.
    while (block.getUint32(SHADOW, true) !== 0) home.run(1);
    const sregs = structure('kvm_sregs2');
    packSystemRegisters(block, interrupts.readTaskPriority(), (interrupts.readMsr(MSR_APIC_BASE) ?? 0n) & ~APIC_X2, sregs);
    vm.set(IOCTLS.KVM_SET_SREGS2, sregs);
    const regs = structure('kvm_regs');
    packRegisters(block, home.runtime.call('readFlags'), regs);
    vm.set(IOCTLS.KVM_SET_REGS, regs);
    vm.setXcr0(block.getBigUint64(XCR0, true));
    const image = structure('kvm_xsave');
    packExtendedState(block, capabilities.xsave, image);
    vm.set(IOCTLS.KVM_SET_XSAVE, image);
    const debug = structure('kvm_debugregs');
    packDebugRegisters(block, debug);
    vm.set(IOCTLS.KVM_SET_DEBUGREGS, debug);
    vm.setMsrs(this.#msrs.map(([index, offset]) => [index, block.getBigUint64(offset, true)]));
    const events = structure('kvm_vcpu_events');
    // Nothing is about to be delivered, whatever an earlier stay has left there.
    events.setUint32(EVENTS.flags, CONSTANTS.KVM_VCPUEVENT_VALID_NMI_PENDING | CONSTANTS.KVM_VCPUEVENT_VALID_SHADOW, true);
    events.setUint8(EVENTS['nmi.masked'], block.getUint32(NMI_BLOCKED, true) === 0 ? 0 : 1);
    vm.set(IOCTLS.KVM_SET_VCPU_EVENTS, events);
    this.pushTimeStamp(vm);
  }

  /** Makes the guest's time stamp counter go on from what the block says, as far as KVM can; the guest's paravirtual clock follows it. */
  pushTimeStamp(vm: KvmProcessor): void {
    const { hostCounter, block } = this.#options;
    this.#offsetCall(vm, IOCTLS.KVM_SET_DEVICE_ATTR, hostCounter === true ? 0n : BigInt.asUintN(64, block.getBigUint64(TSC_OFFSET, true) - this.#lead(vm)));
    this.#pullTimeStamp(vm);
    this.#options.home.runtime.call('writeSystemTime');
  }

  #pullTimeStamp(vm: KvmProcessor): void {
    const offset = this.#timeStampOffset(vm) + this.#lead(vm);
    this.#options.block.setBigUint64(TSC_OFFSET, BigInt.asUintN(64, offset), true);
  }

  /** Processors whose counters agree do so afterwards: one measures for all. */
  #lead(vm: KvmProcessor): bigint {
    const { counterLead } = this.#options;
    const known = counterLead?.ticks;
    if (known !== undefined) return known;
    const { counter, clock } = this.#readBoth(vm);
    const ticks = counter - this.#timeStampOffset(vm) - clock;
    if (counterLead !== undefined) counterLead.ticks = ticks;
    return counterLead?.ticks ?? ticks;
  }

  /** KVM's counter and ours at the same time: the closest of a few readings, as the host may turn to somebody else in between. */
  #readBoth(vm: KvmProcessor): { readonly counter: bigint; readonly clock: bigint } {
    const { hostTsc } = this.#options;
    const readings = Array.from({ length: READINGS }, () => {
      const before = hostTsc();
      const counter = this.#readTimeStamp(vm);
      const after = hostTsc();
      return { counter, clock: BigInt(Math.floor((before + after) / 2)), took: after - before };
    });
    return readings.reduce((best, reading) => (reading.took < best.took ? reading : best));
  }

  /** Out of KVM; nothing may be under way there. What KVM was about to deliver is delivered in the block. */
  pull(vm: KvmProcessor): void {
    const { home, block, capabilities } = this.#options;
    unpackSystemRegisters(vm.get(IOCTLS.KVM_GET_SREGS2, STRUCTS.kvm_sregs2.size), block);
    const flags = unpackRegisters(vm.get(IOCTLS.KVM_GET_REGS, STRUCTS.kvm_regs.size), block);
    home.runtime.call('writeFlags', flags, FLAGS);
    const cpl = (flags & FLAG_VM) !== 0 ? 3 : block.getUint32(SEGMENTS + SEG_SS * SEGMENT_BYTES + SEG_ATTRIBUTES, true) >> 5;
    block.setUint32(CPL, cpl & 3, true);
    unpackExtendedState(vm.get(IOCTLS.KVM_GET_XSAVE, STRUCTS.kvm_xsave.size), capabilities.xsave, block);
    const xcrs = vm.get(IOCTLS.KVM_GET_XCRS, STRUCTS.kvm_xcrs.size);
    if (xcrs.getUint32(XCRS.nr_xcrs, true) > 0) block.setBigUint64(XCR0, xcrs.getBigUint64(XCRS.xcrs + STRUCTS.kvm_xcr.fields.value, true), true);
    unpackDebugRegisters(vm.get(IOCTLS.KVM_GET_DEBUGREGS, STRUCTS.kvm_debugregs.size), block);
    const values = packMsrs(this.#msrs.map(([index]) => [index, 0n]));
    vm.set(IOCTLS.KVM_GET_MSRS, values);
    this.#msrs.forEach(([, offset], i) => block.setBigUint64(offset, values.getBigUint64(MSRS_HEAD + i * MSR_ENTRY.size + MSR_ENTRY.fields.data, true), true));
    this.#pullTimeStamp(vm);
    const events = vm.get(IOCTLS.KVM_GET_VCPU_EVENTS, STRUCTS.kvm_vcpu_events.size);
    block.setUint32(NMI_BLOCKED, events.getUint8(EVENTS['nmi.masked']) === 0 ? 0 : 1, true);
    // KVM names the shadows as the block does, but the other way round.
    const shadow = events.getUint8(EVENTS['interrupt.shadow']);
    block.setUint32(SHADOW, (shadow & CONSTANTS.KVM_X86_SHADOW_INT_MOV_SS) !== 0 ? 2 : (shadow & CONSTANTS.KVM_X86_SHADOW_INT_STI) !== 0 ? 1 : 0, true);
    // Everything derived is made anew: KVM's guest has changed memory and tables unseen.
    home.load(home.save(), home.stateVersion);
    this.#deliver(events, vm.run.getUint8(RUN.ready_for_interrupt_injection) !== 0);
  }

  /** `ready`: KVM would take an interrupt. */
  #deliver(events: DataView, ready: boolean): void {
    const { home, block, interrupts } = this.#options;
    const flag = (offset: number): boolean => events.getUint8(offset) !== 0;
    const vector = events.getUint8(EVENTS['exception.nr']);
    // INT n is executed once more.
    if ((flag(EVENTS['exception.injected']) || flag(EVENTS['exception.pending'])) && !isSoftwareTrap(vector)) {
      block.setBigUint64(FAULT_ADDRESS, vector === VECTOR_PF ? block.getBigUint64(CR2, true) : 0n, true);
      home.runtime.call('raiseFault', vector, events.getUint8(EVENTS['exception.has_error_code']), events.getUint32(EVENTS['exception.error_code'], true));
      home.runtime.call('deliverFault');
    }
    // INT3 and INTO are, too. KVM clears both flags of these, and names their vector long behind them as well: that one of them waits shows in that it takes no interrupt
    // although nothing else is in the way (kvm_run's ready_for_interrupt_injection).
    const shut = flag(EVENTS['nmi.injected']) || flag(EVENTS['interrupt.injected']) || flag(EVENTS['interrupt.shadow']) || (block.getUint32(EFLAGS, true) & FLAG_IF) === 0;
    if (isSoftwareTrap(vector) && !ready && !shut && block.getUint32(CPL, true) === 3) block.setBigUint64(RIP, this.#lostTraps.before(block.getBigUint64(RIP, true)), true);
    if (flag(EVENTS['nmi.injected'])) home.runtime.call('deliverNmi');
    else if (flag(EVENTS['nmi.pending'])) interrupts.giveBackNmi();
    if (flag(EVENTS['interrupt.injected']) && !flag(EVENTS['interrupt.soft'])) home.runtime.call('deliverInterrupt', events.getUint8(EVENTS['interrupt.nr']));
  }

  #readTimeStamp(vm: KvmProcessor): bigint {
    const values = packMsrs([[IA32_TSC, 0n]]);
    vm.set(IOCTLS.KVM_GET_MSRS, values);
    return values.getBigUint64(MSRS_HEAD + MSR_ENTRY.fields.data, true);
  }
  #timeStampOffset(vm: KvmProcessor): bigint {
    return this.#offsetCall(vm, IOCTLS.KVM_GET_DEVICE_ATTR, 0n);
  }
  #offsetCall(vm: KvmProcessor, request: number, value: bigint): bigint {
    const cell = BigUint64Array.of(value);
    const attribute = structure('kvm_device_attr');
    attribute.setUint32(ATTR.group, CONSTANTS.KVM_VCPU_TSC_CTRL, true);
    attribute.setBigUint64(ATTR.attr, BigInt(CONSTANTS.KVM_VCPU_TSC_OFFSET), true);
    attribute.setBigUint64(ATTR.addr, this.#options.host.addressOf(new Uint8Array(cell.buffer)), true);
    vm.set(request, attribute);
    return cell[0]!;
  }
}

function structure(name: keyof typeof STRUCTS): DataView {
  return new DataView(new ArrayBuffer(STRUCTS[name].size));
}
