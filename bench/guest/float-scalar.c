// Floating point, scalar SSE2: planets, the Mandelbrot set, a spectral norm, in double and single precision.
#include <math.h>
#include "bench.h"

enum { BODIES = 5, STEPS = 90000, WIDTH = 240, NORM = 150 };

static double place[BODIES][3], speed[BODIES][3], mass[BODIES];

static void advance(double dt) {
  for (int i = 0; i < BODIES; i++)
    for (int k = i + 1; k < BODIES; k++) {
      double d[3], square = 0;
      for (int x = 0; x < 3; x++) d[x] = place[i][x] - place[k][x], square += d[x] * d[x];
      double force = dt / (square * sqrt(square));
      for (int x = 0; x < 3; x++) speed[i][x] -= d[x] * mass[k] * force, speed[k][x] += d[x] * mass[i] * force;
    }
  for (int i = 0; i < BODIES; i++)
    for (int x = 0; x < 3; x++) place[i][x] += dt * speed[i][x];
}

static double element(int i, int k) { return 1.0 / ((i + k) * (i + k + 1) / 2 + i + 1); }

static void multiply(const double *in, double *out, int transposed) {
  for (int i = 0; i < NORM; i++) {
    out[i] = 0;
    for (int k = 0; k < NORM; k++) out[i] += (transposed ? element(k, i) : element(i, k)) * in[k];
  }
}

int main(void) {
  for (int i = 0; i < BODIES; i++) {
    mass[i] = i == 0 ? 39.5 : 0.01 / i;
    for (int x = 0; x < 3; x++) place[i][x] = i * 3 + x * 0.7 + 0.1, speed[i][x] = i == 0 ? 0 : 1.0 / (i + x + 1);
  }
  for (int i = 0; i < STEPS; i++) advance(0.001);
  uint64_t sum = 0;
  for (int i = 0; i < BODIES; i++) sum = mix(sum, bits(place[i][0]));

  for (int py = 0; py < WIDTH; py++)
    for (int px = 0; px < WIDTH; px++) {
      float cx = 3.0f * px / WIDTH - 2.0f, cy = 2.0f * py / WIDTH - 1.0f, x = 0, y = 0;
      int n = 0;
      for (; n < 150 && x * x + y * y < 4.0f; n++) {
        float next = x * x - y * y + cx;
        y = 2.0f * x * y + cy;
        x = next;
      }
      sum = mix(sum, n);
    }

  double u[NORM], v[NORM], between[NORM];
  for (int i = 0; i < NORM; i++) u[i] = 1;
  for (int round = 0; round < 20; round++) {
    multiply(u, between, 0);
    multiply(between, v, 1);
    multiply(v, between, 0);
    multiply(between, u, 1);
  }
  for (int i = 0; i < NORM; i++) sum = mix(sum, bits(u[i]));
  return finish(sum);
}
