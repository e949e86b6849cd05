// Executes instruction sequences on the host processor in user mode, one instruction at a time. Reads requests from
// standard input until it ends, then writes the processor's state after every step. Layouts: state.ts and host.ts.
//
// There is no code around the instructions: every state goes into the processor by returning from a signal and comes out
// of it by the next one (trap flag, or the exception). So nothing but the flags TF, RF and IF differs from a bare run,
// and the vector, the error code and CR2 are the kernel's own. Freestanding: no library touches FS or the stack.
#include <asm/prctl.h>
#include <asm/sigcontext.h>
#include <asm/signal.h>
#include <asm/siginfo.h>
#include <asm/ucontext.h>
#include <asm/unistd.h>
#include <stdint.h>

#define DATA 0x1000000ul // writable pages, then a read-only one, then nothing
#define DATA_BYTES 8192ul
#define CODE 0x2000000ul // two pages that can be read and executed, then nothing
#define CODE_BYTES 8192ul
#define MAX_CODE 128

#define FLAG_TF 0x100ul
// What a return from a signal does not restore, so that it has to be in the flags register before (NT, ID).
#define FLAGS_KEPT 0x204000ul

#define MARK_START 1
#define MARK_REPEATS 2
#define MARK_PUSHES_FLAGS 4
#define MARK_HOLDS_TRAPS_BACK 8

struct state {
  uint64_t gpr[16]; // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
  uint64_t rip, flags, cr2;
  uint32_t vector, error;
  uint32_t mxcsr;
  uint16_t control, status, tags, unused_too;
  uint32_t unused;
  uint8_t x87[8][16]; // physical registers
  uint8_t vector_registers[16][32];
  uint64_t fs_base, gs_base;
  uint64_t x87_ip, x87_dp;
  uint16_t x87_opcode, es, ss, ds, fs, gs;
  uint32_t unused_at_end;
};
struct patch {
  uint32_t offset, length;
  uint8_t bytes[64];
};
struct request {
  uint32_t bytes, width, code_address, code_length, step_limit, patches;
  uint8_t marks[MAX_CODE], code[MAX_CODE];
  struct state state;
  struct patch patch[];
};
// The answer to a request: this, then for each step its state, a change and that many bytes.
struct answer {
  uint32_t steps;
  uint32_t raised; // 1: the last step is an exception, not a completed instruction
};
struct change {
  uint32_t offset, length;
};

static uint8_t *const input = (uint8_t *)0x355600000000ul;
static uint8_t *const output = (uint8_t *)0x365600000000ul;
static uint8_t *const code_alias = (uint8_t *)0x375600000000ul;
#define BUFFER_BYTES (1ul << 30)
static uint64_t input_at, input_end, output_at, steps_at;
static uint32_t steps;
static uint64_t step_start;
static const struct request *current;
static uint64_t data_image[DATA_BYTES / 8 + 512], data_before[DATA_BYTES / 8];
static uint8_t stack[65536] __attribute__((aligned(64)));

static long call6(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
static long call3(long number, long a, long b, long c) { return call6(number, a, b, c, 0, 0, 0); }
static void stop(int status) {
  call3(__NR_exit_group, status, 0, 0);
  __builtin_unreachable();
}
void *memcpy(void *to, const void *from, unsigned long n) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
  return result;
}
void *memset(void *to, int value, unsigned long n) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
  return result;
}

static void flush(void) {
  for (uint64_t done = 0; done < output_at;) {
    long n = call3(__NR_write, 1, (long)(output + done), output_at - done);
    if (n <= 0) stop(2);
    done += n;
  }
}

// Writes down what of the data pages changed since the last step, as one range.
static void put_changes(void) {
  struct change *change = (struct change *)(output + output_at);
  output_at += sizeof *change;
  const volatile uint64_t *now = (const uint64_t *)DATA;
  uint64_t first = 0, end = DATA_BYTES / 8;
  while (first < end && now[first] == data_before[first]) first++;
  while (end > first && now[end - 1] == data_before[end - 1]) end--;
  change->offset = first * 8;
  change->length = (end - first) * 8;
  for (uint64_t i = first; i < end; i++) {
    *(uint64_t *)(output + output_at) = data_before[i] = now[i];
    output_at += 8;
  }
}

static struct _xstate *xstate_of(struct ucontext *u) { return (struct _xstate *)u->uc_mcontext.fpstate; }

static void save(struct ucontext *u) {
  const struct sigcontext *c = &u->uc_mcontext;
  struct state *s = (struct state *)(output + output_at);
  output_at += sizeof *s;
  uint64_t gpr[16] = {c->rax, c->rcx, c->rdx, c->rbx, c->rsp, c->rbp, c->rsi, c->rdi, c->r8, c->r9, c->r10, c->r11, c->r12, c->r13, c->r14, c->r15};
  memcpy(s->gpr, gpr, sizeof gpr);
  s->rip = c->rip;
  s->flags = c->eflags;
  s->cr2 = c->cr2;
  s->vector = c->trapno;
  s->error = c->err;
  const struct _xstate *x = xstate_of(u);
  s->mxcsr = x->fpstate.mxcsr;
  s->control = x->fpstate.cwd;
  s->status = x->fpstate.swd;
  s->tags = x->fpstate.twd;
  s->unused = s->unused_too = 0;
  s->x87_ip = x->fpstate.rip;
  s->x87_dp = x->fpstate.rdp;
  s->x87_opcode = x->fpstate.fop;
  unsigned top = (s->status >> 11) & 7;
  for (unsigned i = 0; i < 8; i++) {
    memcpy(s->x87[(top + i) & 7], (const uint8_t *)x->fpstate.st_space + i * 16, 10);
    memset(s->x87[(top + i) & 7] + 10, 0, 6);
  }
  int wide = (x->xstate_hdr.xfeatures & 4) != 0;
  for (unsigned i = 0; i < 16; i++) {
    memcpy(s->vector_registers[i], (const uint8_t *)x->fpstate.xmm_space + i * 16, 16);
    if (wide) memcpy(s->vector_registers[i] + 16, (const uint8_t *)&x->ymmh + i * 16, 16);
    else memset(s->vector_registers[i] + 16, 0, 16);
  }
  // Not part of a signal's context, but for SS.
  uint16_t es, ds, fs, gs;
  __asm__ volatile("mov %%es, %0\nmov %%ds, %1\nmov %%fs, %2\nmov %%gs, %3" : "=r"(es), "=r"(ds), "=r"(fs), "=r"(gs));
  s->es = es, s->ss = c->ss, s->ds = ds, s->fs = fs, s->gs = gs;
  s->unused_at_end = 0;
  call3(__NR_arch_prctl, ARCH_GET_FS, (long)&s->fs_base, 0);
  call3(__NR_arch_prctl, ARCH_GET_GS, (long)&s->gs_base, 0);
  put_changes();
  steps++;
}

static uint16_t code_selector(void) { return current->width == 32 ? 0x23 : 0x33; }

// Puts the next request's state into the context that the signal returns to.
static uint64_t load_next(struct ucontext *u) {
  if (current != 0) ((struct answer *)(output + steps_at))->steps = steps;
  if (input_at >= input_end) {
    flush();
    stop(0);
  }
  const struct request *r = current = (const struct request *)(input + input_at);
  input_at += r->bytes;
  if (r->bytes == 0 || input_at > input_end || output_at > BUFFER_BYTES - (4 << 20)) stop(3);
  steps = 0;
  steps_at = output_at;
  *(uint64_t *)(output + output_at) = 0;
  output_at += 8;

  memcpy((void *)DATA, data_image, DATA_BYTES);
  for (uint32_t i = 0; i < r->patches; i++) memcpy((uint8_t *)DATA + r->patch[i].offset, r->patch[i].bytes, r->patch[i].length);
  memcpy(data_before, (void *)DATA, DATA_BYTES);
  static uint64_t last_code, last_length;
  memset(code_alias + last_code, 0xf4, last_length);
  last_code = r->code_address - CODE;
  last_length = r->code_length;
  memcpy(code_alias + last_code, r->code, last_length);

  const struct state *s = &r->state;
  struct sigcontext *c = &u->uc_mcontext;
  c->rax = s->gpr[0], c->rcx = s->gpr[1], c->rdx = s->gpr[2], c->rbx = s->gpr[3], c->rsp = s->gpr[4], c->rbp = s->gpr[5], c->rsi = s->gpr[6], c->rdi = s->gpr[7];
  c->r8 = s->gpr[8], c->r9 = s->gpr[9], c->r10 = s->gpr[10], c->r11 = s->gpr[11], c->r12 = s->gpr[12], c->r13 = s->gpr[13], c->r14 = s->gpr[14], c->r15 = s->gpr[15];
  c->rip = s->rip;
  c->eflags = s->flags | FLAG_TF;
  c->cs = code_selector();
  c->ss = s->ss;
  struct _xstate *x = xstate_of(u);
  x->fpstate.mxcsr = s->mxcsr;
  x->fpstate.cwd = s->control;
  x->fpstate.swd = s->status;
  x->fpstate.twd = s->tags;
  x->fpstate.fop = s->x87_opcode;
  x->fpstate.rip = s->x87_ip;
  x->fpstate.rdp = s->x87_dp;
  unsigned top = (s->status >> 11) & 7;
  for (unsigned i = 0; i < 8; i++) memcpy((uint8_t *)x->fpstate.st_space + i * 16, s->x87[(top + i) & 7], 16);
  for (unsigned i = 0; i < 16; i++) memcpy((uint8_t *)x->fpstate.xmm_space + i * 16, s->vector_registers[i], 16);
  x->xstate_hdr.xfeatures |= 3;
  if (x->fpstate.sw_reserved.xfeatures & 4) {
    for (unsigned i = 0; i < 16; i++) memcpy((uint8_t *)&x->ymmh + i * 16, s->vector_registers[i] + 16, 16);
    x->xstate_hdr.xfeatures |= 4;
  }
  __asm__ volatile("mov %0, %%es\nmov %1, %%ds" : : "r"((uint32_t)s->es), "r"((uint32_t)s->ds));
  // These load null selectors as well.
  call3(__NR_arch_prctl, ARCH_SET_FS, s->fs_base, 0);
  call3(__NR_arch_prctl, ARCH_SET_GS, s->gs_base, 0);
  step_start = s->rip;
  return s->flags & FLAGS_KEPT;
}

static unsigned mark_of(uint64_t rip) {
  uint64_t offset = rip - current->code_address;
  return offset < current->code_length ? current->marks[offset] : 0;
}

// Returns the flags to have while returning from the signal.
uint64_t on_signal(int number, struct siginfo *info, struct ucontext *u) {
  struct sigcontext *c = &u->uc_mcontext;
  if (current == 0) return load_next(u);
  if (number == SIGTRAP && c->trapno == 1 && info->si_code == TRAP_TRACE) {
    // The trap came behind the instruction after it.
    if (mark_of(step_start) & MARK_HOLDS_TRAPS_BACK)
      do step_start++;
      while (step_start - current->code_address < current->code_length && !(mark_of(step_start) & MARK_START));
    // Each turn of a repeated instruction traps.
    unsigned done = mark_of(step_start);
    if (c->rip == step_start && (done & MARK_REPEATS)) return c->eflags & FLAGS_KEPT;
    if ((done & MARK_PUSHES_FLAGS) && c->rsp - DATA < DATA_BYTES - 1) *(uint16_t *)c->rsp &= ~FLAG_TF;
    save(u);
    // A far transfer to code of the other size ends the case as well.
    if (c->cs != code_selector() || !(mark_of(c->rip) & MARK_START) || steps >= current->step_limit) return load_next(u);
    step_start = c->rip;
    c->eflags |= FLAG_TF;
    return c->eflags & FLAGS_KEPT;
  }
  save(u);
  ((struct answer *)(output + steps_at))->raised = 1;
  return load_next(u);
}

void enter(void);
void restore(void);
__asm__(
    ".globl enter, restore\n"
    "enter:\n" // alignment checks off, NT and ID clear
    "pushq $0x202\npopfq\n"
    "sub $8, %rsp\ncall on_signal\nadd $8, %rsp\n"
    "or $0x202, %rax\npush %rax\npopfq\n"
    "ret\n"
    "restore:\n"
    "mov $15, %eax\nsyscall\n" // rt_sigreturn
    ".globl _start\n"
    "_start:\n"
    "and $-16, %rsp\n"
    "call begin\n");

void begin(void) {
  const int anonymous = 0x22, fixed = 0x10, no_reserve = 0x4000; // MAP_PRIVATE | MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE
  const int read = 1, write = 2, execute = 4;
#define MAP(at, bytes, rights, how, fd) \
  if (call6(__NR_mmap, (long)(at), bytes, rights, (how) | fixed, fd, 0) != (long)(at)) stop(4)
  MAP(input, BUFFER_BYTES, read | write, anonymous | no_reserve, -1);
  MAP(output, BUFFER_BYTES, read | write, anonymous | no_reserve, -1);
  MAP(DATA, DATA_BYTES + 4096, read | write, anonymous, -1);
  long fd = call3(__NR_memfd_create, (long)"code", 0, 0);
  if (fd < 0 || call3(__NR_ftruncate, fd, CODE_BYTES, 0) != 0) stop(5);
  MAP(code_alias, CODE_BYTES, read | write, 1, fd);
  MAP(CODE, CODE_BYTES, read | execute, 1, fd);
  memset(code_alias, 0xf4, CODE_BYTES);

  for (;;) {
    long n = call3(__NR_read, 0, (long)(input + input_end), BUFFER_BYTES - input_end);
    if (n < 0) stop(6);
    if (n == 0) break;
    input_end += n;
  }
  // First the contents of the data pages.
  memcpy(data_image, input, DATA_BYTES + 4096);
  memcpy((void *)DATA, input, DATA_BYTES + 4096);
  input_at = DATA_BYTES + 4096;
  if (call3(__NR_mprotect, DATA + DATA_BYTES, 4096, read) != 0) stop(7);

  __asm__ volatile("mov $0x2b, %%eax\nmov %%eax, %%ds\nmov %%eax, %%es" ::: "eax");
  struct {
    void *pointer;
    int flags;
    unsigned long bytes;
  } alternate = {stack, 0, sizeof stack};
  call3(__NR_sigaltstack, (long)&alternate, 0, 0);
  struct {
    void (*handler)(void);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
  } action = {enter, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER, restore, 0};
  const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP};
  for (unsigned i = 0; i < 5; i++)
    if (call6(__NR_rt_sigaction, signals[i], (long)&action, 0, 8, 0, 0) != 0) stop(8);
  __asm__ volatile("ud2");
}
