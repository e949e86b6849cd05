// Litmus tests of x86-TSO (Sewell et al., x86-TSO, CACM 53, 2010; SDM 3A, 9.2.3) as a program for Linux: each thread is a processor of
// the test, pinned. Argument: seconds for each test, at most. One line a test: its name, how often it was run, how often the outcome came that makes it worth running.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CELLS 500
#define ENOUGH 20000

typedef volatile uint32_t word;
typedef struct {
  word x __attribute__((aligned(128)));
  word y __attribute__((aligned(128)));
  word arrived __attribute__((aligned(128)));
  struct { uint32_t a, b; } seen[4] __attribute__((aligned(128)));
} cell;
static cell cells[CELLS];

// x and y in memory; a and b are this processor's registers.
#define CODE(text) __asm__ volatile(text : "=&r"(a), "=&r"(b) : "r"(&c->x), "r"(&c->y) : "memory", "cc")
#define PROCESSOR(name, text) \
  static void name(cell *c, int who) { \
    uint32_t a = 0, b = 0; \
    CODE("xor %0, %0\n xor %1, %1\n" text); \
    c->seen[who].a = a, c->seen[who].b = b; \
  }
#define X "(%2)"
#define Y "(%3)"
#define FENCE "mfence\n"
#define LOCK "lock addl $0, -64(%%rsp)\n"
#define XCHG(value, place) "movl $" value ", %0\n xchgl %0, " place "\n"
#define SET(place, value) "movl $" value ", " place "\n"
#define GET(place, into) "movl " place ", " into "\n"
#define A "%0"
#define B "%1"

PROCESSOR(sb0, SET(X, "1") GET(Y, A))
PROCESSOR(sb1, SET(Y, "1") GET(X, A))
PROCESSOR(sbf0, SET(X, "1") FENCE GET(Y, A))
PROCESSOR(sbf1, SET(Y, "1") FENCE GET(X, A))
PROCESSOR(sbl0, SET(X, "1") LOCK GET(Y, A))
PROCESSOR(sbl1, SET(Y, "1") LOCK GET(X, A))
PROCESSOR(sbx0, XCHG("1", X) GET(Y, A))
PROCESSOR(sbx1, XCHG("1", Y) GET(X, A))
PROCESSOR(mp0, SET(X, "1") SET(Y, "1"))
PROCESSOR(mp1, GET(Y, A) GET(X, B))
PROCESSOR(lb0, GET(X, A) SET(Y, "1"))
PROCESSOR(lb1, GET(Y, A) SET(X, "1"))
PROCESSOR(n50, SET(X, "1") GET(X, A))
PROCESSOR(n51, SET(X, "2") GET(X, A))
PROCESSOR(n60, SET(X, "1") GET(X, A) GET(Y, B))
PROCESSOR(n6f0, SET(X, "1") FENCE GET(X, A) GET(Y, B))
PROCESSOR(n61, SET(Y, "2") SET(X, "2"))
PROCESSOR(ww0, SET(X, "1") SET(Y, "2"))
PROCESSOR(ww1, SET(Y, "1") SET(X, "2"))
PROCESSOR(setx, SET(X, "1"))
PROCESSOR(sety, SET(Y, "1"))
PROCESSOR(getxy, GET(X, A) GET(Y, B))
PROCESSOR(getyx, GET(Y, A) GET(X, B))
PROCESSOR(getxfy, GET(X, A) FENCE GET(Y, B))
PROCESSOR(getyfx, GET(Y, A) FENCE GET(X, B))
PROCESSOR(getxsety, GET(X, A) SET(Y, "1"))

#define S(who, letter) (c->seen[who].letter)
static int sb(const cell *c) { return S(0, a) == 0 && S(1, a) == 0; }
static int mp(const cell *c) { return S(1, a) == 1 && S(1, b) == 0; }
static int lb(const cell *c) { return S(0, a) == 1 && S(1, a) == 1; }
static int n5(const cell *c) { return S(0, a) == 2 && S(1, a) == 1; }
static int n6(const cell *c) { return S(0, a) == 1 && S(0, b) == 0 && c->x == 1; }
static int ww(const cell *c) { return c->x == 1 && c->y == 1; }
static int iriw(const cell *c) { return S(1, a) == 1 && S(1, b) == 0 && S(3, a) == 1 && S(3, b) == 0; }
static int wrc(const cell *c) { return S(1, a) == 1 && S(2, a) == 1 && S(2, b) == 0; }

typedef struct {
  const char *name;
  int (*outcome)(const cell *);
  void (*run[4])(cell *, int);
} test;
static const test tests[] = {
  {"SB", sb, {sb0, sb1}}, {"SB+mfence", sb, {sbf0, sbf1}}, {"SB+lock", sb, {sbl0, sbl1}}, {"SB+xchg", sb, {sbx0, sbx1}},
  {"MP", mp, {mp0, mp1}}, {"LB", lb, {lb0, lb1}}, {"2+2W", ww, {ww0, ww1}}, {"n5", n5, {n50, n51}}, {"n6", n6, {n60, n61}}, {"n6+mfence", n6, {n6f0, n61}},
  {"IRIW", iriw, {setx, getxy, sety, getyx}}, {"IRIW+mfence", iriw, {setx, getxfy, sety, getyfx}}, {"WRC", wrc, {setx, getxsety, getyx}},
};

static const test *current;
static int processors, threads, done;
static pthread_barrier_t gate;

static void *processor(void *argument) {
  const int who = (int)(intptr_t)argument;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(who % processors, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return "sched_setaffinity";
  for (;;) {
    pthread_barrier_wait(&gate);
    if (done) return NULL;
    for (int i = 0; i < CELLS; i++) {
      cell *c = &cells[i];
      // Those that have a processor of their own begin together.
      __atomic_add_fetch(&c->arrived, 1, __ATOMIC_SEQ_CST);
      if (threads <= processors) while (c->arrived < (uint32_t)threads);
      current->run[who](c, who);
    }
    pthread_barrier_wait(&gate);
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
  const double seconds = count > 1 ? strtod(arguments[1], NULL) : 1;
  processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
  int failed = 0;
  for (unsigned t = 0; t < sizeof tests / sizeof *tests; t++) {
    pthread_t made[4];
    current = &tests[t];
    for (threads = 0; threads < 4 && current->run[threads] != NULL; threads++);
    done = 0;
    pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) failed |= pthread_create(&made[i], NULL, processor, (void *)(intptr_t)i);
    unsigned runs = 0, outcomes = 0;
    for (const double end = now() + seconds; runs < ENOUGH && now() < end; runs += CELLS) {
      memset(cells, 0, sizeof cells);
      pthread_barrier_wait(&gate);
      pthread_barrier_wait(&gate);
      for (int i = 0; i < CELLS; i++) outcomes += (unsigned)current->outcome(&cells[i]);
    }
    done = 1;
    pthread_barrier_wait(&gate);
    for (int i = 0; i < threads; i++) {
      void *trouble;
      pthread_join(made[i], &trouble);
      failed |= trouble != NULL;
    }
    printf("litmus %s %u %u\n", current->name, runs, outcomes);
  }
  printf("litmus %s on %d processors\n", failed ? "failed" : "done", processors);
  return failed;
}
