import { IOCTLS, STRUCTS } from '../../engines/kvm/abi.ts';
import { KvmError } from '../../engines/kvm/kvm-host.ts';
import type { KvmHost, KvmMapping } from '../../engines/kvm/kvm-host.ts';
import { loadKoffi } from '../koffi.ts';
import type { Koffi } from '../koffi.ts';
import { LINUX_CONSTANTS as C, LINUX_STRUCTS } from './linux-abi.ts';

/** A realtime signal nobody else uses. It stays blocked in this thread but while KVM_RUN runs, so it needs no handler. */
const ALARM_SIGNAL = 62;
/** Bytes of the kernel's signal set. */
const SIGNAL_SET = 8;
const NS_PER_S = 1_000_000_000;
const DEVICE = '/dev/kvm';

/** Why there is no KVM here, and what would help. */
export class KvmUnavailable extends Error {
  override readonly name = 'KvmUnavailable';
  readonly remedy: string;

  constructor(reason: string, remedy: string) {
    super(reason);
    this.remedy = remedy;
  }
}

/** KVM of this host, through FFI, for the thread that makes it. Throws KvmUnavailable. */
export class LinuxKvm implements KvmHost {
  readonly device: number;
  readonly interrupted = C.EINTR;
  readonly thread: number;
  readonly #koffi: Koffi;
  readonly #ioctlNumber: (fd: number, request: number, argument: number) => number;
  readonly #ioctlData: (fd: number, request: number, data: Uint8Array) => number;
  readonly #mmap: (address: null, bytes: number, protection: number, flags: number, fd: number, offset: number) => unknown;
  readonly #munmap: (address: unknown, bytes: number) => number;
  readonly #close: (fd: number) => number;
  readonly #setTime: (call: number, timer: number, flags: number, value: Uint8Array, old: null) => number;
  readonly #wait: (call: number, set: Uint8Array, info: null, timeout: Uint8Array, bytes: number) => number;
  readonly #alarmSet = signalSet(ALARM_SIGNAL);
  readonly #time = new DataView(new ArrayBuffer(LINUX_STRUCTS.itimerspec.size));
  readonly #timeBytes = new Uint8Array(this.#time.buffer);
  readonly #noWait = new Uint8Array(16);
  /** Signals blocked in this thread before ours was. */
  readonly #blockedBefore = new Uint8Array(SIGNAL_SET);
  readonly #timer: number;
  readonly #signal: (call: number, process: number, thread: number, signal: number) => number;

  constructor() {
    if (process.platform !== 'linux' || process.arch !== 'x64') throw new KvmUnavailable('KVM needs Linux on x86-64', 'use the translator');
    const koffi = koffiForKvm();
    const c = koffi.load(null);
    this.#koffi = koffi;
    this.#ioctlNumber = c.func('int ioctl(int fd, unsigned long request, long argument)');
    this.#ioctlData = c.func('int ioctl(int fd, unsigned long request, void *data)');
    this.#mmap = c.func('void *mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset)');
    this.#munmap = c.func('int munmap(void *address, size_t bytes)');
    this.#close = c.func('int close(int fd)');
    this.#setTime = c.func('long syscall(long call, long timer, long flags, void *value, void *old)');
    this.#wait = c.func('long syscall(long call, void *set, void *info, void *timeout, long bytes)');
    this.device = this.#openDevice(c.func('int open(const char *path, int flags, int mode)'));
    const mask = c.func('long syscall(long call, long how, void *set, void *old, long bytes)');
    if (mask(C.SYS_rt_sigprocmask, C.SIG_BLOCK, this.#alarmSet, this.#blockedBefore, SIGNAL_SET) !== 0) throw this.#error('rt_sigprocmask');
    this.#signal = c.func('long syscall(long call, long process, long thread, long signal)');
    this.thread = c.func('long syscall(long call)')(C.SYS_gettid);
    this.#timer = this.#createTimer(c.func('long syscall(long call, long clock, void *event, void *timer)'));
  }

  #openDevice(open: (path: string, flags: number, mode: number) => number): number {
    const fd = open(DEVICE, C.O_RDWR | C.O_CLOEXEC, 0);
    if (fd >= 0) return fd;
    throw cannotOpen(this.#koffi.errno());
  }

  /** A timer whose signal goes to this thread. */
  #createTimer(create: (call: number, clock: number, event: Uint8Array, timer: Uint8Array) => number): number {
    const { size, fields } = LINUX_STRUCTS.sigevent;
    const event = new DataView(new ArrayBuffer(size));
    event.setInt32(fields.sigev_signo, ALARM_SIGNAL, true);
    event.setInt32(fields.sigev_notify, C.SIGEV_THREAD_ID, true);
    event.setInt32(fields['_sigev_un._tid'], this.thread, true);
    const timer = new Int32Array(1);
    if (create(C.SYS_timer_create, C.CLOCK_MONOTONIC, new Uint8Array(event.buffer), new Uint8Array(timer.buffer)) !== 0) throw this.#error('timer_create');
    return timer[0]!;
  }

  ioctl(fd: number, request: number, argument: number): number {
    return this.#whole(this.#ioctlNumber, fd, request, argument);
  }
  ioctlData(fd: number, request: number, data: Uint8Array): number {
    return this.#whole(this.#ioctlData, fd, request, data);
  }
  /** A signal may end a call before it has done anything, as a profiler's does to KVM_CREATE_VM: once more. */
  #whole<T>(call: (fd: number, request: number, argument: T) => number, fd: number, request: number, argument: T): number {
    for (;;) {
      const result = call(fd, request, argument);
      if (result >= 0) return result;
      if (this.#koffi.errno() !== C.EINTR) throw this.#error(callName(request));
    }
  }
  runVcpu(vcpu: number): number {
    return this.#ioctlNumber(vcpu, IOCTLS.KVM_RUN, 0) < 0 ? this.#koffi.errno() : 0;
  }
  map(fd: number, bytes: number): KvmMapping {
    const address = this.#mmap(null, bytes, C.PROT_READ | C.PROT_WRITE, C.MAP_SHARED, fd, 0);
    if (BigInt(address as bigint) === 0xffff_ffff_ffff_ffffn) throw this.#error('mmap');
    return { buffer: this.#koffi.view(address, bytes), unmap: () => void this.#munmap(address, bytes) };
  }
  addressOf(bytes: Uint8Array): bigint {
    return BigInt(this.#koffi.address(bytes));
  }
  admitAlarm(vcpu: number): void {
    const { fields } = STRUCTS.kvm_signal_mask;
    const mask = new Uint8Array(fields.sigset + SIGNAL_SET);
    new DataView(mask.buffer).setUint32(fields.len, SIGNAL_SET, true);
    // A thread begins with what its maker blocked, which may have been ours.
    mask.set(this.#blockedBefore.map((byte, i) => byte & ~this.#alarmSet[i]!), fields.sigset);
    this.ioctlData(vcpu, IOCTLS.KVM_SET_SIGNAL_MASK, mask);
  }
  setAlarm(ns: number): void {
    const { fields } = LINUX_STRUCTS.itimerspec;
    // All zeros would switch the timer off.
    const wait = Math.max(1, Math.round(ns));
    this.#time.setBigInt64(fields['it_value.tv_sec'], BigInt(Math.floor(wait / NS_PER_S)), true);
    this.#time.setBigInt64(fields['it_value.tv_nsec'], BigInt(wait % NS_PER_S), true);
    if (this.#setTime(C.SYS_timer_settime, this.#timer, 0, this.#timeBytes, null) !== 0) throw this.#error('timer_settime');
  }
  clearAlarm(): void {
    // Those of other threads may have come too. Fails when no signal waits.
    while (this.#wait(C.SYS_rt_sigtimedwait, this.#alarmSet, null, this.#noWait, SIGNAL_SET) > 0);
  }
  interrupt(thread: number): void {
    // Fails when the thread has ended.
    this.#signal(C.SYS_tgkill, process.pid, thread, ALARM_SIGNAL);
  }
  close(fd: number): void {
    this.#close(fd);
  }

  #error(call: string): KvmError {
    return new KvmError(call, this.#koffi.errno());
  }
}

/** By the error number of opening the device. */
export function cannotOpen(errno: number): KvmUnavailable {
  switch (errno) {
    case C.ENOENT: case C.ENODEV:
      return new KvmUnavailable(`there is no ${DEVICE}`, 'load the kernel module (modprobe kvm_intel or kvm_amd), turn virtualization on in the firmware, or on a virtual host ask for nested virtualization');
    case C.EACCES: case C.EPERM:
      return new KvmUnavailable(`${DEVICE} may not be opened`, 'join the group kvm (sudo usermod -aG kvm $USER, then log in again)');
    default:
      return new KvmUnavailable(`${DEVICE} cannot be opened (error ${errno})`, 'see whether another hypervisor uses the processor');
  }
}

function koffiForKvm(): Koffi {
  try {
    return loadKoffi();
  } catch (error) {
    throw new KvmUnavailable(`the package koffi cannot be loaded (${(error as Error).message.split('\n')[0]})`, 'install it: npm install koffi');
  }
}

function callName(request: number): string {
  return Object.entries(IOCTLS).find(([, number]) => number === request)?.[0] ?? `ioctl 0x${request.toString(16)}`;
}

function signalSet(signal: number): Uint8Array {
  const set = new Uint8Array(SIGNAL_SET);
  set[(signal - 1) >> 3] = 1 << ((signal - 1) & 7);
  return set;
}
