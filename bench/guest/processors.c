// What several processors do for threads: the same work in one thread and in several, a mutex, a spin lock, two threads
// that wake each other by futex, and two that wait for each other in a loop. Prints the seconds of each.
#define OWN_MAIN
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

enum { STEPS = 20000000, LOCKS = 2000000, TURNS = 20000, SPINS = 2000, MOST = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t spin, turn;
static uint64_t counter;
static volatile uint64_t sink;

static void *compute(void *argument) {
  uint32_t table[4096] = {0};
  uint64_t x = 88172645463325252u + (uintptr_t)argument;
  for (int i = 0; i < STEPS; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    table[x & 4095] += (uint32_t)x * 2654435761u;
    x += table[x >> 20 & 4095];
  }
  sink = x;
  return 0;
}

static void *lock_mutex(void *argument) {
  for (int i = 0; i < LOCKS; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}

static void *lock_spin(void *argument) {
  for (int i = 0; i < LOCKS; i++) {
    while (__atomic_exchange_n(&spin, 1, __ATOMIC_ACQUIRE))
      while (__atomic_load_n(&spin, __ATOMIC_RELAXED)) __builtin_ia32_pause();
    counter++;
    __atomic_store_n(&spin, 0, __ATOMIC_RELEASE);
  }
  return argument;
}

static void *wake_other(void *argument) {
  uint32_t self = (uintptr_t)argument;
  for (int i = 0; i < TURNS; i++) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != self) syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 1 - self, 0, 0, 0);
    __atomic_store_n(&turn, 1 - self, __ATOMIC_RELEASE);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
  }
  return 0;
}

static void *spin_for_other(void *argument) {
  uint32_t self = (uintptr_t)argument;
  for (int i = 0; i < SPINS; i++) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != self) __builtin_ia32_pause();
    __atomic_store_n(&turn, 1 - self, __ATOMIC_RELEASE);
  }
  return 0;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void run(const char *name, void *(*work)(void *), int threads) {
  pthread_t started[MOST];
  double begin = now();
  for (uintptr_t i = 0; i < (uintptr_t)threads; i++) check(pthread_create(&started[i], 0, work, (void *)i) == 0, "thread");
  for (int i = 0; i < threads; i++) pthread_join(started[i], 0);
  printf("%s %.4f\n", name, now() - begin);
}

static void run_locked(const char *name, void *(*work)(void *), int threads) {
  counter = 0;
  run(name, work, threads);
  if (counter == (uint64_t)LOCKS * threads) return;
  printf("%s lost %lld\n", name, (long long)LOCKS * threads - (long long)counter);
  exit(1);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 0;
  if (threads < 2 || threads > MOST) {
    fprintf(stderr, "give 2 to %d threads\n", MOST);
    return 2;
  }
  run("one", compute, 1);
  run("all", compute, threads);
  run_locked("mutex", lock_mutex, threads);
  run_locked("spin", lock_spin, threads);
  run("futex", wake_other, 2);
  run("handover", spin_for_other, 2);
  return 0;
}
