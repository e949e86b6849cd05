// Numbers of the paravirtual interface that KVM defines (Linux, Documentation/virt/kvm/x86: cpuid.rst, msr.rst, hypercalls.rst).

// Bits of PARAVIRT, as CPUID leaf 40000001h shows them in EAX.
export const FEATURE_CLOCK_OLD = 1 << 0;
/** Ports need no delay between two accesses. */
export const FEATURE_NO_IO_DELAY = 1 << 1;
export const FEATURE_CLOCK = 1 << 3;
export const FEATURE_STEAL_TIME = 1 << 5;
/** A bit in memory may say that an interrupt needs no EOI. */
export const FEATURE_EOI = 1 << 6;
/** A halted processor can be woken by another one without an interrupt. */
export const FEATURE_UNHALT = 1 << 7;
/** Processors that do not execute flush their TLB when they go on: needs the stolen time's structure. */
export const FEATURE_TLB_FLUSH = 1 << 9;
/** One call sends an interrupt to many processors. */
export const FEATURE_IPI = 1 << 11;
/** The clocks of all processors agree. */
export const FEATURE_STABLE_CLOCK = 1 << 24;

export const MSR_WALL_CLOCK_OLD = 0x11;
export const MSR_SYSTEM_TIME_OLD = 0x12;
export const MSR_WALL_CLOCK = 0x4b564d00;
export const MSR_SYSTEM_TIME = 0x4b564d01;
export const MSR_STEAL_TIME = 0x4b564d03;
export const MSR_EOI = 0x4b564d04;

export const HYPERCALL_POLL_INTERRUPT = 1;
export const HYPERCALL_KICK = 5;
export const HYPERCALL_SEND_IPI = 10;
