// Code made at run time, as by a just-in-time compiler: functions written, called often, overwritten by others.
#include <sys/mman.h>
#include "bench.h"

enum { ROUNDS = 24, FUNCTIONS = 400, CALLS = 2500, STRIDE = 256, STEPS = 12 };

// x -> ((x + a) ^ b) + ..., on EAX; the argument comes in EDI or on the stack.
static void generate(uint8_t *at) {
#ifdef __x86_64__
  *at++ = 0x89, *at++ = 0xf8; // mov eax, edi
#else
  *at++ = 0x8b, *at++ = 0x44, *at++ = 0x24, *at++ = 0x04; // mov eax, [esp + 4]
#endif
  for (int i = 0; i < STEPS; i++) {
    *at++ = i % 2 ? 0x35 : 0x05; // xor, add eax, imm32
    uint32_t value = random32();
    memcpy(at, &value, 4);
    at += 4;
  }
  *at = 0xc3;
}

int main(void) {
  uint8_t *code = mmap(0, FUNCTIONS * STRIDE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(code != MAP_FAILED, "mmap");
  uint64_t sum = 0;
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < FUNCTIONS; i++) generate(code + i * STRIDE);
    for (int i = 0; i < FUNCTIONS; i++) {
      uint32_t (*function)(uint32_t) = (uint32_t(*)(uint32_t))(code + i * STRIDE);
      uint32_t x = (uint32_t)i;
      for (int k = 0; k < CALLS; k++) x = function(x);
      sum = mix(sum, x);
    }
  }
  return finish(sum);
}
