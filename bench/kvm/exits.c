// The loop that bench/kvm-exits.ts runs, driven from C: as many KVM_RUNs, one port write each, and nothing else.
// Prints the nanoseconds of processor time of one exit.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

static double processor_ns(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv) {
  unsigned exits = argc > 1 ? strtoul(argv[1], 0, 0) : 20000;
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  unsigned char *ram = mmap(0, 0x100000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct kvm_userspace_memory_region region = {.memory_size = 0x100000, .userspace_addr = (unsigned long)ram};
  if (kvm < 0 || vm < 0 || ram == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return perror("kvm"), 1;
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  // mov ecx,exits; out 80h,al; dec ecx; jnz back; hlt (real-address mode)
  unsigned char code[] = {0x66, 0xb9, exits, exits >> 8, exits >> 16, exits >> 24, 0xe6, 0x80, 0x66, 0x49, 0x75, 0xfa, 0xf4};
  memcpy(ram + 0x1000, code, sizeof code);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  ioctl(vcpu, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
  ioctl(vcpu, KVM_SET_REGS, &regs);
  volatile unsigned sum = 0;
  double began = processor_ns();
  unsigned seen = 0;
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) return perror("KVM_RUN"), 1;
    if (run->exit_reason == KVM_EXIT_HLT) break;
    if (run->exit_reason != KVM_EXIT_IO) return fprintf(stderr, "exit %u\n", run->exit_reason), 1;
    sum += *((unsigned char *)run + run->io.data_offset);
    seen++;
  }
  double ns = (processor_ns() - began) / seen;
  if (seen != exits) return fprintf(stderr, "%u exits\n", seen), 1;
  printf("%.0f\n", ns);
  return 0;
}
