// System calls: short ones straight to the kernel, reads, writes and seeks on files and devices, stat, signals.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "bench.h"

enum { CALLS = 60000, FILES = 12000, SIGNALS = 5000 };

static volatile uint32_t handled;
static void handler(int number) { handled += number; }

int main(void) {
  uint64_t sum = 0;
  for (int i = 0; i < CALLS; i++) {
    check(syscall(SYS_getppid) > 0, "getppid");
    sum += syscall(SYS_umask, 022) == 022;
  }
  int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
  FILE *file = tmpfile();
  check(zero >= 0 && null >= 0 && file != 0, "open");
  char block[512];
  for (int i = 0; i < FILES; i++) {
    memset(block, i, sizeof block);
    check(read(zero, block, 64) == 64 && write(null, block, sizeof block) == sizeof block, "device");
    int at = i % 64 * 512;
    check(pwrite(fileno(file), block, sizeof block, at) == sizeof block, "write");
    check(lseek(fileno(file), at, SEEK_SET) == at && read(fileno(file), block, 100) == 100, "read");
    sum = mix(sum, (uint8_t)block[70]);
  }
  struct stat status;
  for (int i = 0; i < FILES; i++) sum += stat(i & 1 ? "/dev/null" : "/proc/self/exe", &status) == 0;
  signal(SIGUSR1, handler);
  for (int i = 0; i < SIGNALS; i++) raise(SIGUSR1);
  return finish(mix(sum, handled));
}
