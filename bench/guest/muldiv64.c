// 64-bit multiply and divide: powers modulo a prime, greatest common divisors, decimal printing, fixed-point products.
#include "bench.h"

static uint64_t random64(void) { return (uint64_t)random32() << 32 | random32(); }

static uint64_t power(uint64_t base, uint64_t exponent, uint64_t modulus) {
  uint64_t result = 1;
  for (; exponent != 0; exponent >>= 1) {
    if (exponent & 1) result = result * base % modulus;
    base = base * base % modulus;
  }
  return result;
}

static uint64_t divisor(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// High half of a product of 64-bit factors, from 32-bit halves where the compiler has no wider type.
static uint64_t high_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
  return (unsigned __int128)a * b >> 64;
#else
  uint64_t low = (a & 0xffffffff) * (b & 0xffffffff), cross = (a >> 32) * (b & 0xffffffff) + (low >> 32);
  uint64_t other = (a & 0xffffffff) * (b >> 32) + (cross & 0xffffffff);
  return (a >> 32) * (b >> 32) + (cross >> 32) + (other >> 32);
#endif
}

int main(void) {
  uint64_t sum = 0;
  for (int i = 0; i < 40000; i++) sum = mix(sum, power(random32(), random64(), 4294967291u));
  for (int i = 0; i < 80000; i++) sum = mix(sum, divisor(random64(), random64() >> (i % 30)));
  for (int i = 0; i < 250000; i++) {
    int64_t value = (int64_t)random64();
    int64_t by = (int64_t)(random32() % 100000) - 50001;
    if (by != 0) sum = mix(sum, (uint64_t)(value / by) ^ (uint64_t)(value % by));
    uint64_t digits = 0;
    for (uint64_t rest = (uint64_t)value >> 8; rest != 0; rest /= 1000) digits += rest % 1000;
    sum = mix(sum, digits);
  }
  uint64_t a = random64() | 1, b = random64();
  for (int i = 0; i < 25000000; i++) {
    uint64_t high = high_product(a, b);
    a = a * 6364136223846793005u + high;
    b ^= high << 7 | a >> 9;
  }
  return finish(mix(mix(sum, a), b));
}
