// What exits cost by cause, driven from C, and what they cost where the kernel serves them itself: coalesced writes, ioeventfd,
// in-kernel interrupt controllers. Prints a line for each: processor time of one turn of a guest's loop in nanoseconds, without what the
// loop itself takes, and how often KVM_RUN returned for each turn.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { RAM = 0x80000, CODE = 0x1000, HANDLER = 0x2000, DEVICE = 0xa0000, PORT = 0x80, END = 0x81, VECTOR = 0x40, APIC_ICR = 0x300, APIC_EOI = 0xb0 };
static const unsigned APIC = 0xfee00000;
static unsigned turns;

static double processor_ns(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}
static int fail(const char *what) {
  perror(what);
  exit(1);
}

struct way {
  const char *name;
  /** A turn of the loop, and where its data segment begins. */
  unsigned char body[16];
  unsigned length, data;
  /** KVM is asked to do it itself. */
  enum { NOBODY, COALESCED, EVENTFD, CONTROLLERS } server;
  /** Each turn is an interrupt, whose handler ends it at the APIC. */
  int interrupts;
};

#define OUT {0xe6, PORT}, 2 /* out 80h,al */
#define STORE {0x66, 0xa3, 0x00, 0x00}, 4 /* mov [0],eax */
/* cli; mov dword [300h],40040h: to itself; sti; hlt */
#define SEND {0xfa, 0x66, 0xc7, 0x06, APIC_ICR & 255, APIC_ICR >> 8, VECTOR, 0x00, 0x04, 0x00, 0xfb, 0xf4}, 12
static const struct way ways[] = {
  {"loop alone", {0x90}, 1, DEVICE, NOBODY, 0},
  {"port", OUT, DEVICE, NOBODY, 0},
  {"port, coalesced", OUT, DEVICE, COALESCED, 0},
  {"port, ioeventfd", OUT, DEVICE, EVENTFD, 0},
  {"device memory", STORE, DEVICE, NOBODY, 0},
  {"device memory, coalesced", STORE, DEVICE, COALESCED, 0},
  {"device memory, ioeventfd", STORE, DEVICE, EVENTFD, 0},
  {"interrupt and its end", SEND, 0xfee00000, NOBODY, 1},
  {"interrupt and its end, in-kernel APIC", SEND, 0xfee00000, CONTROLLERS, 1},
};

/** Takes what a ring of coalesced writes holds, as a monitor would. */
static void drain(struct kvm_coalesced_mmio_ring *ring, unsigned entries, unsigned *seen) {
  while (ring->first != ring->last) {
    ring->first = (ring->first + 1) % entries;
    ++*seen;
  }
}

static double measure(const struct way *way, double *returns) {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0), event = eventfd(0, EFD_NONBLOCK);
  unsigned char *ram = mmap(0, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct kvm_userspace_memory_region region = {.memory_size = RAM, .userspace_addr = (unsigned long)ram};
  if (kvm < 0 || vm < 0 || ram == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("kvm");
  if (way->server == CONTROLLERS && ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0) fail("KVM_CREATE_IRQCHIP");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  int port = way->body[0] == 0xe6;
  struct kvm_coalesced_mmio_ring *ring = 0;
  unsigned room = (4096 - sizeof *ring) / sizeof(struct kvm_coalesced_mmio);
  if (way->server == COALESCED) {
    struct kvm_coalesced_mmio_zone zone = {.addr = port ? PORT : DEVICE, .size = port ? 1 : 4, .pio = port};
    ring = (void *)((char *)run + ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO) * 4096);
    if (ioctl(vm, KVM_REGISTER_COALESCED_MMIO, &zone) < 0) fail("KVM_REGISTER_COALESCED_MMIO");
  }
  if (way->server == EVENTFD) {
    struct kvm_ioeventfd request = {.addr = port ? PORT : DEVICE, .len = port ? 1 : 4, .fd = event, .flags = port ? KVM_IOEVENTFD_FLAG_PIO : 0};
    if (ioctl(vm, KVM_IOEVENTFD, &request) < 0) fail("KVM_IOEVENTFD");
  }
  // mov ecx,turns; (body); dec ecx; jnz body; out 81h,al
  unsigned char head[] = {0x66, 0xb9, turns, turns >> 8, turns >> 16, turns >> 24};
  unsigned char tail[] = {0x66, 0x49, 0x75, 256 - way->length - 4, 0xe6, END};
  memcpy(ram + CODE, head, sizeof head);
  memcpy(ram + CODE + sizeof head, way->body, way->length);
  memcpy(ram + CODE + sizeof head + way->length, tail, sizeof tail);
  unsigned char handler[] = {0x66, 0xa3, APIC_EOI, 0, 0x43, 0xcf}; // mov [0b0h],eax; inc bx; iret
  memcpy(ram + HANDLER, handler, sizeof handler);
  memcpy(ram + 4 * VECTOR, &(unsigned){HANDLER}, 4);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = sregs.ss.base = sregs.ss.selector = 0;
  sregs.ds.base = way->data;
  sregs.ds.selector = way->data >> 4;
  if (way->server == CONTROLLERS) sregs.apic_base |= 0x800;
  ioctl(vcpu, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = {.rip = CODE, .rflags = 2, .rsp = 0x8000};
  ioctl(vcpu, KVM_SET_REGS, &regs);
  if (way->server == CONTROLLERS) {
    struct kvm_lapic_state apic;
    ioctl(vcpu, KVM_GET_LAPIC, &apic);
    memcpy(apic.regs + 0xf0, &(unsigned){0x1ff}, 4);
    ioctl(vcpu, KVM_SET_LAPIC, &apic);
  }
  unsigned served = 0, returned = 0;
  double began = processor_ns();
  for (;; returned++) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) fail("KVM_RUN");
    if (ring) drain(ring, room, &served);
    if (run->exit_reason == KVM_EXIT_IO && run->io.port == END) break;
    if (run->exit_reason == KVM_EXIT_IO) served++;
    else if (run->exit_reason == KVM_EXIT_MMIO) {
      if (run->mmio.phys_addr != APIC + APIC_EOI) served++;
    } else if (run->exit_reason == KVM_EXIT_HLT && way->interrupts) {
      // It has been sent.
      if (ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){VECTOR}) < 0) fail("KVM_INTERRUPT");
    } else {
      fprintf(stderr, "%s: exit %u\n", way->name, run->exit_reason);
      exit(1);
    }
  }
  double ns = (processor_ns() - began) / turns;
  unsigned long long rung = 0;
  if (way->server == EVENTFD && read(event, &rung, sizeof rung) == sizeof rung) served += rung;
  ioctl(vcpu, KVM_GET_REGS, &regs);
  if (way->interrupts) served = regs.rbx & 0xffff;
  if (way->length > 1 && served != turns) fflush(stdout), fprintf(stderr, "%s: %u of %u turns were served\n", way->name, served, turns);
  *returns = (double)returned / turns;
  for (int i = 0, all[] = {vcpu, vm, kvm, event}; i < 4; i++) close(all[i]);
  munmap(ram, RAM);
  return ns;
}

int main(int argc, char **argv) {
  turns = argc > 1 ? strtoul(argv[1], 0, 0) : 10000;
  double loop = 0;
  for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
    double best = 1e300, returns = 0;
    for (int k = 0; k < 5; k++) {
      double ns = measure(&ways[i], &returns);
      if (ns < best) best = ns;
    }
    if (i == 0) loop = best;
    printf("%-40s %7.2f us, KVM_RUN returns %.2f times\n", ways[i].name, (i == 0 ? best : best - loop) / 1000, returns);
  }
}
