// A program for two processors whose threads have page tables in common: what one changes there, or in code, the other must see once
// the system call has returned, or behind an instruction that serializes (SDM 3A, 4.10.5 and 9.1.3). Argument: how often
// each change is made while the other thread looks. Prints what was done, or BAD and what was not seen.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 64
/** Turns between two changes: time to be executed without the kernel. */
#define TURNS 200000

static volatile uint32_t published, looks, over, writable = 1;
static volatile uint32_t *shared;
static uint32_t rounds;

static void bad(const char *what, uint32_t before, uint32_t found, uint32_t after) {
  printf("BAD %s: %u, then %u, then %u\n", what, before, found, after);
  fflush(stdout);
  exit(1);
}
static void pin(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) bad("sched_setaffinity", processor, 0, 0);
}
static void spin(unsigned turns) {
  for (volatile unsigned i = 0; i < turns; i++);
}
/** Until the other thread has looked again, at least. */
static void await_looks(void) {
  uint32_t before = looks;
  do spin(TURNS / 100); while (looks - before < 2);
}

/** What was read lies between what was published before and one beyond what was published behind it, counted round `modulus`. */
static void between(const char *what, uint32_t before, uint32_t found, uint32_t after, uint32_t modulus) {
  if ((found - before) % modulus > after + 1 - before && after + 1 - before < modulus) bad(what, before, found, after);
}

static void *read_mapping(void *unused) {
  pin(1);
  while (!over) for (int i = 0; i < TURNS && !over; i++) {
    uint32_t before = published, found = *shared;
    between("another page", before, found, published, PAGES);
    looks++;
  }
  return unused;
}
/** A page shows another part of a file with each turn. */
static void remap(void) {
  int file = memfd_create("pages", 0);
  for (uint32_t i = 0; i < PAGES; i++) if (pwrite(file, &i, 4, i * PAGE) != 4) bad("pwrite", i, 0, 0);
  shared = mmap(0, PAGE, PROT_READ, MAP_SHARED, file, 0);
  pthread_t thread;
  pthread_create(&thread, 0, read_mapping, 0);
  for (uint32_t i = 1; i <= rounds; i++, await_looks()) {
    if (mmap((void *)shared, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, i % PAGES * PAGE) != shared) bad("mmap", i, 0, 0);
    published = i;
  }
  over = 1;
  pthread_join(thread, 0);
  puts("remapped");
}

static void faulted(int signal) {
  (void)signal;
  while (!writable && !over);
}
static void *increment(void *unused) {
  pin(1);
  while (!over) for (int i = 0; i < TURNS && !over; i++) ++*shared;
  return unused;
}
/** A page may not be written to for some time. */
static void protect(void) {
  struct sigaction action = { .sa_handler = faulted };
  sigaction(SIGSEGV, &action, 0);
  shared = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_t thread;
  pthread_create(&thread, 0, increment, 0);
  for (uint32_t moved = 0, last = 0; moved < rounds; ) {
    writable = 0;
    mprotect((void *)shared, PAGE, PROT_READ);
    uint32_t before = *shared;
    spin(TURNS / 4);
    if (*shared != before) bad("a write", moved, before, *shared);
    moved += before != last;
    last = before;
    mprotect((void *)shared, PAGE, PROT_READ | PROT_WRITE);
    writable = 1;
    spin(TURNS / 4);
  }
  over = 1;
  pthread_join(thread, 0);
  puts("protected");
}

static uint32_t (*volatile code)(void);
static void *execute(void *unused) {
  pin(1);
  while (!over) for (int i = 0; i < TURNS / 100 && !over; i++) {
    uint32_t before = published, found = code();
    between("other code", before, found, published, UINT32_MAX);
    looks++;
    spin(200);
  }
  return unused;
}
/** The operand of an instruction behind one that serializes is written to. */
static void modify(void) {
  // push rbx; xor eax,eax; cpuid; pop rbx; nops; mov eax,0; ret
  static const uint8_t text[] = { 0x53, 0x31, 0xc0, 0x0f, 0xa2, 0x5b, 0x90, 0xb8, 0, 0, 0, 0, 0xc3 };
  uint8_t *page = mmap(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(page, text, sizeof text);
  code = (uint32_t (*)(void))page;
  pthread_t thread;
  pthread_create(&thread, 0, execute, 0);
  for (uint32_t i = 1; i <= rounds; i++, await_looks()) {
    *(volatile uint32_t *)(page + 8) = i;
    published = i;
  }
  over = 1;
  pthread_join(thread, 0);
  puts("modified");
}

int main(int count, char **arguments) {
  rounds = count > 1 ? atoi(arguments[1]) : 100;
  void (*const parts[])(void) = { remap, protect, modify };
  pin(0);
  for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
    over = published = 0;
    parts[i]();
  }
  printf("SHARED PAGES %u rounds\n", rounds);
}
