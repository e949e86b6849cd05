// Vectors, SSE2: packed single and double arithmetic, packed integers, shuffles and masks.
#include <emmintrin.h>
#include "bench.h"

enum { COUNT = 4096, ROUNDS = 480 };

static float x[COUNT] __attribute__((aligned(16))), y[COUNT] __attribute__((aligned(16)));
static double p[COUNT] __attribute__((aligned(16))), q[COUNT] __attribute__((aligned(16)));
static int32_t pixels[COUNT] __attribute__((aligned(16)));

static float single(void) {
  const __m128 one = _mm_set1_ps(1.0f), slope = _mm_set1_ps(0.75f);
  __m128 total = _mm_setzero_ps();
  for (int i = 0; i < COUNT; i += 4) {
    __m128 a = _mm_load_ps(x + i), b = _mm_load_ps(y + i);
    __m128 value = _mm_add_ps(_mm_mul_ps(a, slope), _mm_div_ps(b, _mm_add_ps(one, _mm_mul_ps(a, a))));
    value = _mm_min_ps(_mm_max_ps(value, _mm_sub_ps(_mm_setzero_ps(), one)), _mm_sqrt_ps(_mm_add_ps(one, _mm_mul_ps(b, b))));
    __m128 mask = _mm_cmplt_ps(a, b);
    value = _mm_or_ps(_mm_and_ps(mask, value), _mm_andnot_ps(mask, _mm_shuffle_ps(value, value, _MM_SHUFFLE(0, 3, 2, 1))));
    _mm_store_ps(x + i, value);
    total = _mm_add_ps(total, value);
  }
  float parts[4];
  _mm_storeu_ps(parts, total);
  return parts[0] + parts[1] + parts[2] + parts[3];
}

static double twice(double factor) {
  const __m128d scale = _mm_set1_pd(factor);
  __m128d total = _mm_setzero_pd();
  for (int i = 0; i < COUNT; i += 2) {
    __m128d a = _mm_load_pd(p + i), b = _mm_load_pd(q + i);
    a = _mm_add_pd(_mm_mul_pd(a, scale), b);
    b = _mm_sub_pd(_mm_unpacklo_pd(b, a), _mm_mul_pd(a, _mm_set1_pd(0.125)));
    _mm_store_pd(p + i, a);
    _mm_store_pd(q + i, _mm_min_pd(b, _mm_set1_pd(8.0)));
    total = _mm_add_pd(total, _mm_add_pd(a, b));
  }
  double parts[2];
  _mm_storeu_pd(parts, total);
  return parts[0] + parts[1];
}

// Blends two pictures of bytes, as a compositor does.
static uint32_t blend(void) {
  const __m128i zero = _mm_setzero_si128(), weight = _mm_set1_epi16(93), rest = _mm_set1_epi16(163);
  __m128i total = zero;
  for (int i = 0; i < COUNT; i += 4) {
    __m128i a = _mm_load_si128((__m128i *)(pixels + i)), b = _mm_shuffle_epi32(a, 0x4e);
    __m128i low = _mm_srli_epi16(_mm_add_epi16(_mm_mullo_epi16(_mm_unpacklo_epi8(a, zero), weight), _mm_mullo_epi16(_mm_unpacklo_epi8(b, zero), rest)), 8);
    __m128i high = _mm_srli_epi16(_mm_add_epi16(_mm_mullo_epi16(_mm_unpackhi_epi8(a, zero), weight), _mm_mullo_epi16(_mm_unpackhi_epi8(b, zero), rest)), 8);
    __m128i mixed = _mm_adds_epu8(_mm_packus_epi16(low, high), _mm_cmpgt_epi8(a, b));
    total = _mm_add_epi32(total, _mm_madd_epi16(low, high));
    _mm_store_si128((__m128i *)(pixels + i), _mm_xor_si128(mixed, _mm_slli_epi32(a, 3)));
  }
  uint32_t parts[4];
  _mm_storeu_si128((__m128i *)parts, total);
  return parts[0] ^ parts[1] ^ parts[2] ^ parts[3];
}

int main(void) {
  for (int i = 0; i < COUNT; i++) {
    x[i] = (int32_t)random32() * 0x1p-30f;
    y[i] = (int32_t)random32() * 0x1p-30f;
    p[i] = (int32_t)random32() * 0x1p-31;
    q[i] = (int32_t)random32() * 0x1p-31;
    pixels[i] = random32();
  }
  uint64_t sum = 0;
  for (int round = 0; round < ROUNDS; round++) {
    sum = mix(sum, bits(single()));
    sum = mix(sum, bits(twice(0.5 + round * 0x1p-10)));
    sum = mix(sum, blend());
    sum = mix(sum, blend());
    sum = mix(sum, blend());
  }
  return finish(sum);
}
