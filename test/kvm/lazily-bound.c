// A dynamically linked program whose functions are bound when first called: the dynamic linker keeps all registers meanwhile, by XSAVEC
// and XRSTOR of what CPUID has said that there is. Between the calls it computes, so that it runs directly by then. Prints sums that
// the host's run of the same program has to print, too.
#include <complex.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

typedef double quad __attribute__((vector_size(32)));

static uint64_t word = 88172645463325252u;

static double number(void) {
  for (int i = 0; i < 200000; i++) {
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
  }
  return (double)(word >> 40) / (1 << 24) + 0.25;
}

// Arguments lie in vector registers when the function is bound, and more is in use around the call.
#define ONE(name) \
  { \
    double a = number(); \
    quad kept = {a, a * 2, a * 3, a * 4}; \
    __asm__ volatile("" : "+x"(kept)); \
    double found = name(a); \
    sum += kept * found; \
    printf("%s %.12g\n", #name, found); \
  }
#define TWO(name) \
  { \
    double a = number(), b = number(); \
    double found = name(a, b); \
    sum += (quad){found, a, b, found}; \
    printf("%s %.12g\n", #name, found); \
  }

int main(void) {
  quad sum = {0, 0, 0, 0};
  ONE(sin) ONE(cos) ONE(tan) ONE(asin) ONE(acos) ONE(atan) ONE(sinh) ONE(cosh) ONE(tanh) ONE(asinh) ONE(atanh) ONE(exp) ONE(exp2) ONE(expm1)
  ONE(log) ONE(log2) ONE(log10) ONE(log1p) ONE(cbrt) ONE(erf) ONE(erfc) ONE(lgamma) ONE(tgamma) ONE(j0) ONE(j1) ONE(y0) ONE(y1)
  TWO(pow) TWO(hypot) TWO(atan2) TWO(fmod) TWO(remainder) TWO(fdim) TWO(nextafter)
  printf("%.12g\n", cabs(csin(number() + number() * I)) + creal(cpow(number(), number() + I)));
  printf("sums %.12g %.12g %.12g %.12g\n", sum[0], sum[1], sum[2], sum[3]);
  return 0;
}
