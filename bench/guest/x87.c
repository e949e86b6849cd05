// Floating point, x87: polynomials, a product of matrices and Newton's iteration in 80-bit precision.
#include "bench.h"

enum { SIDE = 40, POINTS = 90000 };

static long double a[SIDE][SIDE], b[SIDE][SIDE];

static long double root(long double value) {
  long double guess = value;
  for (int i = 0; i < 8; i++) guess = (guess + value / guess) / 2;
  return guess;
}

int main(void) {
  uint64_t sum = 0;
  for (int i = 0; i < SIDE; i++)
    for (int k = 0; k < SIDE; k++) a[i][k] = (int32_t)random32() * 0x1p-33L, b[i][k] = (int32_t)random32() * 0x1p-33L;
  for (int round = 0; round < 20; round++) {
    long double c[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++)
      for (int k = 0; k < SIDE; k++) {
        long double dot = 0;
        for (int j = 0; j < SIDE; j++) dot += a[i][j] * b[j][k];
        c[i][k] = dot;
      }
    memcpy(a, c, sizeof a);
  }
  for (int i = 0; i < SIDE; i++) sum = mix(sum, bits((double)a[i][i]));
  for (int i = 1; i <= POINTS; i++) {
    long double t = (long double)i / POINTS, value = 0, term = 1;
    for (int n = 1; n < 10; n++) term *= -t / n, value += term;
    if ((i & 3) == 0) value += root(t + 1);
    sum = mix(sum, bits((double)value));
    sum = mix(sum, (int64_t)(value * 0x1p40L));
  }
  return finish(sum);
}
