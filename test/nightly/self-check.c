// A guest program that checks itself while its machine changes engines: sums, floating point in SSE and x87 with signals in
// between, clocks, children and files. It has no C library, as those ask CPUID which instructions they may use: some KVMs answer
// that with the host's, and what it says there must not reach the other engines.
// Arguments: how many rounds; or `child NUMBER`, which exits with that status.

typedef unsigned long u64;
typedef unsigned char u8;

static long call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}
enum {
  READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, SIGACTION = 13, NANOSLEEP = 35, SETITIMER = 38, FORK = 57, EXECVE = 59, EXIT = 60, WAIT4 = 61, RENAME = 82, MKDIR = 83,
  RMDIR = 84, UNLINK = 87, CLOCK_GETTIME = 228,
};

static u64 length(const char *text) {
  u64 n = 0;
  while (text[n]) n++;
  return n;
}
static void print(const char *text) { call(WRITE, 1, (long)text, length(text), 0); }
static long number(const char *text) {
  long value = 0;
  while (*text >= '0' && *text <= '9') value = 10 * value + (*text++ - '0');
  return value;
}
static char *digits(long value, char *end) {
  *end = 0;
  do *--end = '0' + value % 10; while (value /= 10);
  return end;
}
static void check(int good, const char *what) {
  if (good) return;
  print("BAD ");
  print(what);
  print("\n");
}

static u8 data[1 << 16], copy[1 << 16];

static void fill(u64 seed) {
  for (u64 i = 0; i < sizeof data; i++) data[i] = (seed = seed * 6364136223846793005ul + 1442695040888963407ul) >> 56;
}
static u64 sum(const u8 *bytes) {
  u64 hash = 0xcbf29ce484222325ul;
  for (u64 i = 0; i < sizeof data; i++) hash = (hash ^ bytes[i]) * 0x100000001b3ul;
  return hash;
}

struct time { long s, ns; };
static long now(void) {
  struct time time;
  call(CLOCK_GETTIME, 1, (long)&time, 0, 0);
  return time.s * 1000000000 + time.ns;
}
static u64 counter(void) {
  unsigned low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (u64)high << 32 | low;
}

static volatile long signals;
static volatile double disturbed;
static void onSignal(int signal) {
  (void)signal;
  disturbed = disturbed * 3.0 + 1.0;
  signals++;
}
__asm__("restore: mov $15, %eax; syscall");
extern void restore(void);
struct action { void (*handler)(int); u64 flags; void (*restorer)(void); u64 mask; };
static const struct action action = { onSignal, 0x04000000, restore, 0 };

static void arithmetic(void) {
  volatile double one = 1.0;
  volatile long double wide = 1.0L;
  double harmonic = 0;
  long double product = 1;
  for (int k = 1; k < 20000; k++) harmonic += one / k;
  for (int k = 1; k < 20000; k++) product *= wide + wide / k;
  union { double value; u64 bits; } found = { harmonic };
  check(found.bits == 0x4024f61b748dcc8d, "sum of doubles");
  found.value = (double)product;
  check(found.bits == 0x40d3880000000000, "product of long doubles");
}

static char self[64];
static void children(long round) {
  char text[24];
  char *status = digits(round % 100 + 3, text + sizeof text - 1);
  char *arguments[] = { self, "child", status, 0 };
  char *environment[] = { 0 };
  long child = call(FORK, 0, 0, 0, 0);
  if (child == 0) {
    call(EXECVE, (long)self, (long)arguments, (long)environment, 0);
    call(EXIT, 1, 0, 0, 0);
  }
  int found = -1;
  while (call(WAIT4, child, (long)&found, 0, 0) == -4);
  check(child > 0 && found == (round % 100 + 3) << 8, "status of a child");
}

static void files(u64 hash) {
  check(call(MKDIR, (long)"/tmp/self", 0700, 0, 0) == 0, "mkdir");
  long file = call(OPEN, (long)"/tmp/self/a", 0x42, 0600, 0);
  check(call(WRITE, file, (long)data, sizeof data, 0) == sizeof data, "write");
  call(CLOSE, file, 0, 0, 0);
  check(call(RENAME, (long)"/tmp/self/a", (long)"/tmp/b", 0, 0) == 0, "rename");
  file = call(OPEN, (long)"/tmp/b", 0, 0, 0);
  check(call(READ, file, (long)copy, sizeof copy, 0) == sizeof copy, "read");
  call(CLOSE, file, 0, 0, 0);
  check(sum(copy) == hash, "contents of a file");
  check(call(UNLINK, (long)"/tmp/b", 0, 0, 0) == 0 && call(RMDIR, (long)"/tmp/self", 0, 0, 0) == 0, "unlink");
}

__attribute__((used)) static void run(long *stack) {
  char **arguments = (char **)(stack + 1);
  if (stack[0] == 3) call(EXIT, number(arguments[2]), 0, 0, 0);
  for (u64 i = 0; arguments[0][i]; i++) self[i] = arguments[0][i];
  long rounds = number(arguments[1]);
  long timer[] = { 0, 7000, 0, 7000 };
  call(SIGACTION, 14, (long)&action, 0, 8);
  call(SETITIMER, 0, (long)timer, 0, 0);
  long last = now();
  u64 before = counter();
  for (long round = 0; round < rounds; round++) {
    fill(round);
    u64 hash = sum(data);
    fill(round);
    check(sum(data) == hash && (round > 0 || hash == 0x268f056a4f49b98b), "checksum");
    arithmetic();
    children(round);
    files(hash);
    long began = now();
    check(began >= last, "clock");
    struct time nap = { 0, 2000000 };
    if (call(NANOSLEEP, (long)&nap, 0, 0, 0) == 0) check(now() - began >= 2000000, "length of sleep");
    last = now();
    u64 after = counter();
    check(after > before, "time stamp counter");
    before = after;
  }
  check(signals > 0, "signals");
  char text[24];
  print("SELF-CHECK ");
  print(digits(rounds, text + sizeof text - 1));
  print(" rounds\n");
  call(EXIT, 0, 0, 0, 0);
}
__asm__(".globl _start; _start: mov %rsp, %rdi; and $-16, %rsp; call run");
