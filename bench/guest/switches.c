// Context switches: a byte sent to and fro between two processes, a baton handed round threads by futex.
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

enum { TURNS = 8000, THREADS = 4, HANDOVERS = 8000 };

static volatile uint32_t baton;
static uint64_t trail;

static void *runner(void *argument) {
  uint32_t self = (uintptr_t)argument;
  for (;;) {
    uint32_t now = __atomic_load_n(&baton, __ATOMIC_ACQUIRE);
    if (now >= HANDOVERS) return 0;
    if (now % THREADS != self) {
      syscall(SYS_futex, &baton, FUTEX_WAIT_PRIVATE, now, 0, 0, 0);
      continue;
    }
    trail = mix(trail, now + self);
    __atomic_store_n(&baton, now + 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &baton, FUTEX_WAKE_PRIVATE, THREADS, 0, 0, 0);
  }
}

int main(void) {
  int there[2], back[2];
  check(pipe(there) == 0 && pipe(back) == 0, "pipe");
  uint8_t byte = 0;
  pid_t child = fork();
  if (child == 0) {
    close(there[1]);
    while (read(there[0], &byte, 1) == 1) {
      byte = byte * 5 + 1;
      if (write(back[1], &byte, 1) != 1) break;
    }
    _exit(0);
  }
  uint64_t sum = 0;
  for (int i = 0; i < TURNS; i++) {
    check(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "turn");
    sum = mix(sum, byte);
  }
  close(there[1]);
  waitpid(child, 0, 0);
  pthread_t threads[THREADS];
  for (uintptr_t i = 0; i < THREADS; i++) check(pthread_create(&threads[i], 0, runner, (void *)i) == 0, "thread");
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
  return finish(mix(sum, trail));
}
