// Shared by the guest programs: a random generator and the line each ends with. Results do not depend on the width of
// the code, so the 64-bit and the 32-bit build of a program must print the same.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t random_state = 2463534242u;

// Marsaglia's xorshift32.
static inline uint32_t random32(void) {
  uint32_t x = random_state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return random_state = x;
}

static inline uint64_t mix(uint64_t sum, uint64_t value) { return (sum ^ value) * 0x100000001b3u; }

// Of a double: its bits, so that one wrong in the last place shows.
static inline uint64_t bits(double value) {
  uint64_t word;
  memcpy(&word, &value, sizeof word);
  return word;
}

static inline int finish(uint64_t sum) {
  printf("%016llx\n", (unsigned long long)sum);
  return 0;
}

#ifndef OWN_MAIN
static int work(void);

// With an argument the work is done that often in one process, so that its start weighs less.
int main(int argc, char **argv) {
  for (int rounds = argc > 1 ? atoi(argv[1]) : 1; rounds > 1; rounds--)
    if (work() != 0) return 1;
  return work();
}
#define main work
#endif

static inline void check(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}
