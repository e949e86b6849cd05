/** What the engine asks of the host: the system calls around /dev/kvm, and an alarm that ends KVM_RUN. */
export interface KvmHost {
  /** File descriptor of /dev/kvm. */
  readonly device: number;
  /** ioctl with a number as its argument. Returns the call's result; throws KvmError. */
  ioctl(fd: number, request: number, argument: number): number;
  /** ioctl with a structure, which the call may change. Returns the call's result; throws KvmError. */
  ioctlData(fd: number, request: number, data: Uint8Array): number;
  /** KVM_RUN. Returns 0, or the error number: `interrupted` when the alarm, another signal or `immediate_exit` ended it. */
  runVcpu(vcpu: number): number;
  /** The first `bytes` of what the descriptor maps, shared with the kernel. */
  map(fd: number, bytes: number): KvmMapping;
  /** Where the host's processor sees the first byte. */
  addressOf(bytes: Uint8Array): bigint;
  /** Lets the alarm of this thread through while KVM_RUN runs on this vCPU. */
  admitAlarm(vcpu: number): void;
  /** Sets the alarm, replacing an earlier one: `ns` from now, once. */
  setAlarm(ns: number): void;
  /** Takes back an alarm that has gone off, so that the next KVM_RUN does not see it. */
  clearAlarm(): void;
  /** The number of this thread, for `interrupt`. */
  readonly thread: number;
  /** Ends KVM_RUN of another thread of this process, as its alarm would; one that is not in it ends its next at once. */
  interrupt(thread: number): void;
  /** Closes what `ioctl` has opened. */
  close(fd: number): void;
  readonly interrupted: number;
}

export interface KvmMapping {
  readonly buffer: ArrayBuffer;
  /** The buffer may not be touched any more. */
  unmap(): void;
}

/** A KVM call that failed. */
export class KvmError extends Error {
  override readonly name = 'KvmError';
  readonly errno: number;

  constructor(call: string, errno: number) {
    super(`${call} failed with error ${errno}`);
    this.errno = errno;
  }
}
