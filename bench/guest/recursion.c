// Recursion: Fibonacci, Ackermann, queens on a board, towers of Hanoi.
#include "bench.h"

// Recursive in the machine code too: no inlining of the functions into themselves.
#define PLAIN __attribute__((noinline, optimize("no-inline", "no-optimize-sibling-calls")))

PLAIN static uint32_t fibonacci(uint32_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

PLAIN static uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

PLAIN static uint32_t queens(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
  if (columns == all) return 1;
  uint32_t found = 0;
  for (uint32_t open = all & ~(columns | left | right); open != 0; open &= open - 1) {
    uint32_t bit = open & -open;
    found += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return found;
}

static uint64_t moves;
PLAIN static void hanoi(int discs, int from, int to, int over) {
  if (discs == 0) return;
  hanoi(discs - 1, from, over, to);
  moves = mix(moves, from * 3 + to);
  hanoi(discs - 1, over, to, from);
}

int main(void) {
  uint64_t sum = mix(0, fibonacci(34));
  sum = mix(sum, ackermann(3, 8));
  sum = mix(sum, queens((1 << 10) - 1, 0, 0, 0));
  hanoi(20, 0, 2, 1);
  return finish(mix(sum, moves));
}
