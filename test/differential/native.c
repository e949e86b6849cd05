// Executes instructions on the host processor in user mode: reads cases from standard input, writes the processor's state
// after each to standard output. Layout of both: see native.ts, which builds and talks to this program.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define WINDOW 0x1000000ul // data the instruction may touch: one page, guard pages around
#define CODE 0x2000000ul
#define AREA 0x3000000ul // saved state, reached by 32-bit absolute addresses

struct state {
  uint64_t gpr[16]; // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
  uint64_t flags;
  uint32_t signal;
  uint32_t mxcsr;
  uint8_t unused[48];
  // XSAVE64 image: legacy region, header, upper halves of the YMM registers
  uint8_t fx[512];
  uint64_t header[8];
  uint8_t high[256];
  uint8_t window[256];
};
struct request {
  uint32_t length;
  uint32_t mode; // 64 or 32
  uint8_t code[16];
  struct state state;
};
struct area {
  struct state state; // at AREA: gpr 0..127, flags 128, fx 192 (64-byte aligned)
  uint64_t host_rsp;  // at AREA + 2048 - see the assembly
};

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *u = context;
  struct state *s = (struct state *)AREA;
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (int i = 0; i < 16; i++) s->gpr[i] = u->uc_mcontext.gregs[order[i]];
  s->flags = u->uc_mcontext.gregs[REG_EFL];
  memcpy(s->fx, u->uc_mcontext.fpregs, 512);
  s->signal = number;
  extern char recover[];
  u->uc_mcontext.gregs[REG_RIP] = (greg_t)recover;
  u->uc_mcontext.gregs[REG_RSP] = *(greg_t *)(AREA + 2048);
  u->uc_mcontext.gregs[REG_EFL] = 0x202;
  // Back to 64-bit code whatever the instruction ran in.
  u->uc_mcontext.gregs[REG_CSGSFS] = (u->uc_mcontext.gregs[REG_CSGSFS] & ~0xffffl) | 0x33;
}

void run_case(uint64_t entry, uint64_t mode);
__asm__(
    ".text\n.globl run_case, recover, leave64\n"
    "run_case:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, 0x3000800\n"
    "mov $7, %eax\nxor %edx, %edx\nxrstor64 0x30000c0\n"
    "mov %edi, 0x3000808\n"
    "cmp $32, %rsi\n"
    "je 1f\n"
    "movw $0x33, 0x300080c\n"
    "jmp 2f\n"
    "1: movw $0x23, 0x300080c\n"
    "2:\n"
    "pushq 0x3000080\npopfq\n"
    "mov 0x3000000, %rax\nmov 0x3000008, %rcx\nmov 0x3000010, %rdx\nmov 0x3000018, %rbx\n"
    "mov 0x3000028, %rbp\nmov 0x3000030, %rsi\nmov 0x3000038, %rdi\nmov 0x3000040, %r8\nmov 0x3000048, %r9\n"
    "mov 0x3000050, %r10\nmov 0x3000058, %r11\nmov 0x3000060, %r12\nmov 0x3000068, %r13\nmov 0x3000070, %r14\nmov 0x3000078, %r15\n"
    "mov 0x3000020, %rsp\n"
    "ljmp *0x3000808\n" // m16:32: the form with a 64-bit offset is not in AMD processors
    "leave64:\n"
    "mov %rax, 0x3000000\nmov %rcx, 0x3000008\nmov %rdx, 0x3000010\nmov %rbx, 0x3000018\nmov %rsp, 0x3000020\n"
    "mov %rbp, 0x3000028\nmov %rsi, 0x3000030\nmov %rdi, 0x3000038\nmov %r8, 0x3000040\nmov %r9, 0x3000048\n"
    "mov %r10, 0x3000050\nmov %r11, 0x3000058\nmov %r12, 0x3000060\nmov %r13, 0x3000068\nmov %r14, 0x3000070\nmov %r15, 0x3000078\n"
    "mov 0x3000800, %rsp\n"
    "pushfq\npopq 0x3000080\n"
    "mov $7, %eax\nxor %edx, %edx\nxsave64 0x30000c0\n"
    "recover:\n"
    "cld\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

static int read_all(void *to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t n = read(0, (char *)to + done, bytes - done);
    if (n <= 0) return 0;
    done += n;
  }
  return 1;
}

int main(void) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  if (mmap((void *)(WINDOW), 4096, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return 1;
  if (mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) == MAP_FAILED) return 1;
  if (mmap((void *)AREA, 8192, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return 1;
  static char stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  for (int s = 1; s < 32; s++)
    if (s == SIGSEGV || s == SIGILL || s == SIGFPE || s == SIGBUS || s == SIGTRAP) sigaction(s, &action, 0);
  extern char leave64[];
  // 32-bit code needs usable data segments; 64-bit code does not look at them.
  __asm__ volatile("mov $0x2b, %%eax\nmov %%eax, %%ds\nmov %%eax, %%es" ::: "eax");
  uint32_t enabled, above;
  __asm__("xgetbv" : "=a"(enabled), "=d"(above) : "c"(0));
  struct request r;
  struct state *s = (struct state *)AREA;
  while (read_all(&r, sizeof r)) {
    memcpy((void *)(WINDOW + 2048 - 128), r.state.window, 256);
    *s = r.state;
    s->signal = 0;
    memcpy(s->fx + 24, &r.state.mxcsr, 4);
    memset(s->header, 0, sizeof s->header);
    s->header[0] = enabled & 7;
    uint8_t *code = (uint8_t *)CODE;
    memset(code, 0xcc, 64);
    memcpy(code, r.code, r.length);
    uint8_t *p = code + r.length;
    if (r.mode == 64) {
      *p++ = 0xff; *p++ = 0x25; *p++ = 0; *p++ = 0; *p++ = 0; *p++ = 0; // jmp *0(%rip)
      memcpy(p, &(uint64_t){(uint64_t)leave64}, 8);
    } else {
      *p++ = 0xea; // ljmp $0x33, $trampoline
      uint32_t target = CODE + 48;
      memcpy(p, &target, 4);
      p[4] = 0x33; p[5] = 0;
      p = code + 48;
      *p++ = 0xff; *p++ = 0x25; *p++ = 0; *p++ = 0; *p++ = 0; *p++ = 0;
      memcpy(p, &(uint64_t){(uint64_t)leave64}, 8);
    }
    run_case(CODE, r.mode);
    struct state out = *s;
    memcpy(&out.mxcsr, out.fx + 24, 4);
    memcpy(out.window, (void *)(WINDOW + 2048 - 128), 256);
    for (size_t done = 0; done < sizeof out;) {
      ssize_t n = write(1, (char *)&out + done, sizeof out - done);
      if (n <= 0) return 1;
      done += n;
    }
  }
  return 0;
}
