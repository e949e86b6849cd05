// What a compiler makes of x86-64-v3, hot enough to be translated, in two processes at once, so that AVX state is switched.
// Prints one hash for each kind of work: vectors.test.ts compares the guest's with the host's.
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 1024
static double d[N], e[N];
static float f[N], g[N];
static int32_t a[N], b[N];
static uint64_t q[N];
static char text[4 * N];

static uint64_t hash(const void *data, size_t bytes) {
  uint64_t h = 0xcbf29ce484222325;
  for (size_t i = 0; i < bytes; i++) h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
  return h;
}

static void fill(uint64_t seed) {
  for (int i = 0; i < N; i++) {
    seed = seed * 6364136223846793005 + 1442695040888963407;
    q[i] = seed ^ (seed >> 29);
    d[i] = (double)(int64_t)seed * 0x1p-60;
    e[i] = 1 + (double)(seed >> 40) * 0x1p-24;
    f[i] = (float)d[i];
    g[i] = (float)e[i];
    a[i] = (int32_t)(seed >> 32);
    b[i] = (int32_t)(seed >> 13) % N;
    for (int k = 0; k < 4; k++) text[4 * i + k] = 'a' + (seed >> (5 * k + 3)) % 26;
  }
  text[4 * N - 1] = 0;
}

__attribute__((noinline)) static uint64_t doubles(void) {
  for (int round = 0; round < 8; round++)
    for (int i = 0; i < N; i++) d[i] = d[i] * e[i] - e[(i + round) % N] / (1 + d[i] * d[i]);
  return hash(d, sizeof d);
}
__attribute__((noinline)) static uint64_t singles(void) {
  for (int round = 0; round < 8; round++)
    for (int i = 0; i < N; i++) f[i] = f[i] * g[i] + (f[i] > g[i] ? -g[i] : 0.5f) + (float)a[i] * 0x1p-31f;
  for (int i = 0; i < N; i++) a[i] ^= (int32_t)(f[i] * 1000);
  return hash(f, sizeof f) ^ hash(a, sizeof a);
}
__attribute__((noinline)) static uint64_t integers(void) {
  uint16_t *w = (uint16_t *)a;
  uint8_t *c = (uint8_t *)b;
  uint32_t sum = 0;
  for (int i = 0; i < 2 * N; i++) w[i] = w[i] * 31 + (w[i] >> 3);
  for (int i = 0; i < 4 * N; i++) sum += (uint8_t)((c[i] + 200 > 255 ? 255 : c[i] + 200) - (c[i] >> 1));
  for (int i = 0; i < N; i++) a[i] = (a[i] << (i & 31)) ^ (int32_t)((uint32_t)a[i] >> (b[i] & 31)) ^ (a[i] >> (i & 7));
  for (int i = 0; i < N; i++) q[i] = q[i] * (q[i] >> 7) + (uint64_t)(int64_t)a[i];
  return hash(a, sizeof a) ^ hash(q, sizeof q) ^ sum;
}
__attribute__((noinline)) static uint64_t permutes(void) {
  __m256i acc = _mm256_setzero_si256(), mask = _mm256_set1_epi32(N - 1);
  __m256d wide = _mm256_setzero_pd();
  for (int i = 0; i + 8 <= N; i += 8) {
    __m256i v = _mm256_loadu_si256((__m256i *)(a + i)), index = _mm256_and_si256(_mm256_loadu_si256((__m256i *)(b + i)), mask);
    __m256i gathered = _mm256_i32gather_epi32(a, index, 4);
    __m256i some = _mm256_mask_i32gather_epi32(v, b, index, gathered, 4);
    v = _mm256_permutevar8x32_epi32(v, index);
    v = _mm256_blendv_epi8(v, gathered, some);
    v = _mm256_alignr_epi8(v, acc, 5);
    v = _mm256_shuffle_epi8(v, _mm256_sllv_epi32(index, _mm256_set1_epi32(3)));
    acc = _mm256_add_epi64(_mm256_permute4x64_epi64(acc, 0x39), _mm256_xor_si256(v, _mm256_unpacklo_epi16(some, gathered)));
    acc = _mm256_packs_epi32(acc, _mm256_srav_epi32(v, index));
    _mm256_maskstore_epi32(b + i, _mm256_cmpgt_epi32(v, acc), index);
    wide = _mm256_addsub_pd(_mm256_permute2f128_pd(wide, wide, 1), _mm256_i32gather_pd(d, _mm256_castsi256_si128(index), 8));
    acc = _mm256_xor_si256(acc, _mm256_castps_si256(_mm256_cvtph_ps(_mm256_cvtps_ph(_mm256_loadu_ps(f + i), 0))));
    _mm256_storeu_pd(e + i / 2, _mm256_hadd_pd(wide, _mm256_cvtps_pd(_mm_loadu_ps(g + i))));
  }
  return hash(&acc, sizeof acc) ^ hash(b, sizeof b) ^ hash(e, sizeof e);
}
__attribute__((noinline)) static uint64_t bits(void) {
  uint64_t h = 0;
  for (int i = 1; i < N; i++) {
    unsigned long long high;
    uint64_t low = _mulx_u64(q[i], q[i - 1], &high);
    h ^= _pdep_u64(low, q[i]) + _pext_u64(high, q[i - 1]) + _tzcnt_u64(low) + _lzcnt_u64(high) + _bzhi_u64(low, i & 63) + _andn_u64(low, high) + _blsr_u64(low) + _bextr_u64(high, i & 31, 9);
    h = (h << 13 | h >> 51) + (low >> (i & 63)) + (uint64_t)((int64_t)high >> (h & 63));
    q[i] += h;
  }
  return h;
}
__attribute__((noinline)) static uint64_t strings(void) {
  char copy[4 * N];
  uint64_t h = 0;
  for (int i = 0; i < 200; i++) {
    size_t length = strlen(text + i * 3);
    memcpy(copy, text + i, length % 700);
    memmove(copy + 3, copy, length % 500);
    char *found = memchr(text + i, 'a' + i % 26, sizeof text - i - 1), *last = strrchr(text, 'a' + i % 26);
    h = h * 31 + length + (found ? found - text : 7) + (last ? last - text : 9) + (memcmp(copy, text + i, 100) > 0) + hash(copy, 100);
    copy[length % 700] = 0;
    h += (strcmp(copy, text + i) > 0) + strcspn(text + i, "xyz");
  }
  return h;
}

int main(void) {
  pid_t child = fork();
  fill(child == 0 ? 12345 : 6789);
  uint64_t all[6] = {0};
  for (int round = 0; round < 60; round++) {
    uint64_t now[6] = {doubles(), singles(), integers(), permutes(), bits(), strings()};
    for (int i = 0; i < 6; i++) all[i] = all[i] * 1099511628211u + now[i];
    if (round % 8 == 7) fill(all[round % 6]);
  }
  if (child != 0) waitpid(child, 0, 0);
  static const char *names[6] = {"doubles", "singles", "integers", "permutes", "bits", "strings"};
  for (int i = 0; i < 6; i++) printf("%s %s %016llx\n", child == 0 ? "child" : "parent", names[i], (unsigned long long)all[i]);
  fflush(stdout);
  if (child != 0) puts("vectors done");
  return 0;
}
