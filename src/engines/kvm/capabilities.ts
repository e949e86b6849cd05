import { CONSTANTS, IOCTLS } from './abi.ts';
import { hiddenByKvm, supportedCpuid } from './cpuid-table.ts';
import type { XsaveLayout } from './extended-state.ts';
import { keptMsrs } from './kept-msrs.ts';
import type { MsrRun } from './kept-msrs.ts';
import type { KvmHost } from './kvm-host.ts';

/** What this host's KVM can do, as far as it differs between hosts. */
export interface KvmCapabilities {
  /** Feature bits that guests cannot have, as words of CPUID_HIDDEN. */
  readonly hidden: readonly number[];
  readonly xsave: XsaveLayout;
  /** MSRs that it keeps itself. */
  readonly keptMsrs: readonly MsrRun[];
  /** Rate of the time stamp counter that guests see, unless it can be scaled. */
  readonly tscKhz: number;
  readonly tscScaling: boolean;
  /** Registers come and go with KVM_RUN, without calls of their own. */
  readonly syncRegisters: boolean;
}

const REQUIRED = [
  ['KVM_CAP_READONLY_MEM', CONSTANTS.KVM_CAP_READONLY_MEM], ['KVM_CAP_XSAVE', CONSTANTS.KVM_CAP_XSAVE], ['KVM_CAP_XCRS', CONSTANTS.KVM_CAP_XCRS],
  ['KVM_CAP_VCPU_EVENTS', CONSTANTS.KVM_CAP_VCPU_EVENTS], ['KVM_CAP_DEBUGREGS', CONSTANTS.KVM_CAP_DEBUGREGS],
  ['KVM_CAP_IMMEDIATE_EXIT', CONSTANTS.KVM_CAP_IMMEDIATE_EXIT], ['KVM_CAP_X86_USER_SPACE_MSR', CONSTANTS.KVM_CAP_X86_USER_SPACE_MSR],
  ['KVM_CAP_X86_MSR_FILTER', CONSTANTS.KVM_CAP_X86_MSR_FILTER], ['KVM_CAP_SREGS2', CONSTANTS.KVM_CAP_SREGS2],
  ['KVM_CAP_EXIT_ON_EMULATION_FAILURE', CONSTANTS.KVM_CAP_EXIT_ON_EMULATION_FAILURE],
] as const;

const SYNC_WANTED = CONSTANTS.KVM_SYNC_X86_REGS | CONSTANTS.KVM_SYNC_X86_SREGS | CONSTANTS.KVM_SYNC_X86_EVENTS;
const XSAVE_LEAF = 0xd;
const PKRU_COMPONENT = 9;

/** The capabilities that the engine needs and this KVM has not; empty where all is well. */
export function missingCapabilities(host: KvmHost): readonly string[] {
  const version = host.ioctl(host.device, IOCTLS.KVM_GET_API_VERSION, 0);
  if (version !== CONSTANTS.KVM_API_VERSION) return [`API version ${CONSTANTS.KVM_API_VERSION} (it has ${version})`];
  return REQUIRED.filter(([, number]) => host.ioctl(host.device, IOCTLS.KVM_CHECK_EXTENSION, number) === 0).map(([name]) => name);
}

/** Legal where nothing is missing. Throws KvmError. */
export function readCapabilities(host: KvmHost): KvmCapabilities {
  const supported = supportedCpuid(host);
  const extended = (index: number): readonly number[] => supported.find((entry) => entry.leaf === XSAVE_LEAF && entry.index === index)?.values ?? [0, 0, 0, 0];
  const components = (BigInt(extended(0)[3]!) << 32n) | BigInt(extended(0)[0]!);
  const vm = host.ioctl(host.device, IOCTLS.KVM_CREATE_VM, 0);
  try {
    const vcpu = host.ioctl(vm, IOCTLS.KVM_CREATE_VCPU, 0);
    try {
      return {
        hidden: hiddenByKvm(supported),
        xsave: { components, pkru: (components >> BigInt(PKRU_COMPONENT)) & 1n ? extended(PKRU_COMPONENT)[1]! : 0 },
        keptMsrs: keptMsrs(host, supported),
        tscKhz: host.ioctl(vcpu, IOCTLS.KVM_GET_TSC_KHZ, 0),
        syncRegisters: (host.ioctl(host.device, IOCTLS.KVM_CHECK_EXTENSION, CONSTANTS.KVM_CAP_SYNC_REGS) & SYNC_WANTED) === SYNC_WANTED,
        tscScaling: host.ioctl(host.device, IOCTLS.KVM_CHECK_EXTENSION, CONSTANTS.KVM_CAP_TSC_CONTROL) !== 0,
      };
    } finally {
      host.close(vcpu);
    }
  } finally {
    host.close(vm);
  }
}
