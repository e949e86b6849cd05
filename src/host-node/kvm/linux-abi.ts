// Numbers and structures of Linux on x86-64 that the KVM host uses besides KVM's own; src/engines/kvm/abi.test.ts compares
// them with the C headers.

export const LINUX_STRUCTS = {
  sigevent: { size: 64, fields: { sigev_value: 0, sigev_signo: 8, sigev_notify: 12, '_sigev_un._tid': 16 } },
  itimerspec: { size: 32, fields: { 'it_value.tv_sec': 16, 'it_value.tv_nsec': 24 } },
} as const;

export const LINUX_CONSTANTS = {
  O_RDWR: 2,
  O_CLOEXEC: 0x80000,
  PROT_READ: 1,
  PROT_WRITE: 2,
  MAP_SHARED: 1,
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EACCES: 13,
  ENODEV: 19,
  CLOCK_MONOTONIC: 1,
  SIGEV_THREAD_ID: 4,
  SIG_BLOCK: 0,
  SYS_rt_sigprocmask: 14,
  SYS_rt_sigtimedwait: 128,
  SYS_gettid: 186,
  SYS_timer_create: 222,
  SYS_timer_settime: 223,
  SYS_tgkill: 234,
} as const;
