// Memory copies: memcpy, memmove and memset of many sizes and alignments, REP MOVS and REP STOS, memcmp, strlen.
#include "bench.h"

enum { BYTES = 4 << 20 };

static uint8_t from[BYTES + 64], to[BYTES + 64];

static void rep_movsb(void *destination, const void *source, size_t count) {
  __asm__ volatile("rep movsb" : "+D"(destination), "+S"(source), "+c"(count) : : "memory");
}
static void rep_movsl(void *destination, const void *source, size_t count) {
  __asm__ volatile("rep movsl" : "+D"(destination), "+S"(source), "+c"(count) : : "memory");
}
static void rep_stosl(void *destination, uint32_t value, size_t count) {
  __asm__ volatile("rep stosl" : "+D"(destination), "+c"(count) : "a"(value) : "memory");
}

int main(void) {
  uint64_t sum = 0;
  for (int i = 0; i < BYTES; i++) from[i] = 1 + (random32() >> 8) % 255;
  for (int round = 0; round < 6; round++) {
    memcpy(to + round, from + round * 3 % 16, BYTES - 64);
    sum = mix(sum, to[round * 1000 + 5]);
  }
  for (int i = 0; i < 200000; i++) {
    uint32_t size = random32() % 200, a = random32() % 60000, b = random32() % 60000;
    memcpy(to + a, from + b, size);
    if (i % 16 == 0) memmove(to + a + 1, to + a, size);
    if (i % 32 == 0) memset(to + b, i, size);
  }
  for (int round = 0; round < 6; round++) {
    rep_movsb(to + round, from, BYTES / 2);
    rep_movsl(to + BYTES / 2, from + 4 * round, BYTES / 8);
    rep_stosl(to + BYTES / 4, round * 0x01010101u, BYTES / 16);
    sum = mix(sum, to[BYTES / 4 + round]);
  }
  for (int i = 0; i < 60000; i += 7) sum = mix(sum, to[i]);
  from[BYTES - 1] = 0;
  for (int round = 0; round < 4; round++) {
    memcpy(to, from, BYTES);
    to[BYTES - 100 - round] ^= 1;
    sum = mix(sum, memcmp(from, to, BYTES) > 0);
    sum = mix(sum, strlen((char *)to + round));
  }
  return finish(sum);
}
