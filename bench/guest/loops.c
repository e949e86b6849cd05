// Integer loops: a sieve, Collatz sequences, a matrix product.
#include "bench.h"

enum { SIEVE = 4000000, COLLATZ = 300000, SIDE = 128 };

static uint8_t composite[SIEVE];
static uint32_t a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];

int main(void) {
  uint64_t sum = 0;
  uint32_t primes = 0;
  for (uint32_t i = 2; i < SIEVE; i++) {
    if (composite[i]) continue;
    primes++;
    for (uint64_t k = (uint64_t)i * i; k < SIEVE; k += i) composite[k] = 1;
  }
  sum = mix(sum, primes);

  uint32_t longest = 0, where = 0;
  for (uint32_t i = 1; i < COLLATZ; i++) {
    uint32_t steps = 0;
    for (uint32_t n = i; n != 1; steps++) n = n & 1 ? 3 * n + 1 : n >> 1;  // May wrap, then alike for every width.
    if (steps > longest) longest = steps, where = i;
  }
  sum = mix(mix(sum, longest), where);

  for (int i = 0; i < SIDE; i++)
    for (int k = 0; k < SIDE; k++) a[i][k] = random32(), b[i][k] = random32();
  for (int round = 0; round < 12; round++) {
    for (int i = 0; i < SIDE; i++)
      for (int k = 0; k < SIDE; k++) {
        uint32_t dot = 0;
        for (int j = 0; j < SIDE; j++) dot += a[i][j] * b[j][k];
        c[i][k] = dot;
      }
    memcpy(a, c, sizeof a);
  }
  for (int i = 0; i < SIDE; i++) sum = mix(sum, c[i][(i * 7) % SIDE]);
  return finish(sum);
}
