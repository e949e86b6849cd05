// Page faults: fresh anonymous memory, write protection taken in a signal handler, pages unmapped and mapped again.
#include <signal.h>
#include <sys/mman.h>
#include "bench.h"

enum { PAGE = 4096, PAGES = 2048, ROUNDS = 6, PROTECTED = 3000 };

static volatile uint32_t caught;

static void handler(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  caught++;
  uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1);
  if (mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE) != 0) abort();
}

static uint8_t *fresh(void) {
  uint8_t *memory = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(memory != MAP_FAILED, "mmap");
  // Faults page by page, whatever the kernel thinks of huge ones.
  madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
  return memory;
}

int main(void) {
  uint64_t sum = 0;
  for (int round = 0; round < ROUNDS; round++) {
    uint8_t *memory = fresh();
    for (int i = 0; i < PAGES; i++) sum += memory[i * PAGE + round];
    for (int i = 0; i < PAGES; i++) memory[i * PAGE + i] = i + round;
    for (int i = 0; i < PAGES; i++) sum = mix(sum, memory[i * PAGE + i]);
    munmap(memory, PAGES * PAGE);
  }
  uint8_t *memory = fresh();
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < PAGES; i++) memory[i * PAGE] = i;
    madvise(memory, PAGES * PAGE, MADV_DONTNEED);
    sum = mix(sum, memory[round * PAGE]);
  }
  struct sigaction action = {0};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, 0);
  for (int i = 0; i < PROTECTED; i++) {
    uint8_t *page = memory + (size_t)(i % PAGES) * PAGE;
    mprotect(page, PAGE, PROT_READ);
    *(volatile uint8_t *)page = i;
    sum = mix(sum, *page);
  }
  return finish(mix(sum, caught));
}
