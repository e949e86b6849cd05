// Hashing: SHA-256, CRC-32 by table, a hash table with chains.
#include "bench.h"

enum { BYTES = 5 << 19, ENTRIES = 60000, BUCKETS = 1 << 14 };

static uint8_t data[BYTES];

// FIPS 180-4. The constants are the fractions of cube roots of primes, found here by integer search.
static uint32_t constants[64], initial[8];

static uint32_t fraction_of_root(uint32_t prime, int power) {
  // Largest r with r^power <= prime * 2^(32 * power), whose low 32 bits are the fraction.
  uint64_t low = 0, high = (uint64_t)32 << 32;
  while (high - low > 1) {
    uint64_t middle = (low + high) / 2;
    // Compared by long multiplication in 32-bit digits, most significant product first.
    uint32_t digits[8] = {1};
    int count = 1;
    for (int i = 0; i < power; i++) {
      uint32_t product[8] = {0};
      for (int k = 0; k < count; k++) {
        uint64_t carry = 0;
        uint32_t factor[2] = {(uint32_t)middle, (uint32_t)(middle >> 32)};
        for (int j = 0; j < 2; j++) {
          uint64_t term = (uint64_t)digits[k] * factor[j] + product[k + j] + carry;
          product[k + j] = (uint32_t)term;
          carry = term >> 32;
        }
        product[k + 2] += (uint32_t)carry;
      }
      memcpy(digits, product, sizeof digits);
      count += 2;
    }
    uint64_t whole = digits[power] | (uint64_t)digits[power + 1] << 32;
    if (whole < prime) low = middle;
    else high = middle;
  }
  return (uint32_t)low;
}

static void make_constants(void) {
  for (uint32_t n = 2, found = 0; found < 64; n++) {
    int prime = 1;
    for (uint32_t k = 2; k * k <= n; k++) prime &= n % k != 0;
    if (!prime) continue;
    if (found < 8) initial[found] = fraction_of_root(n, 2);
    constants[found++] = fraction_of_root(n, 3);
  }
}

static inline uint32_t turn(uint32_t value, int by) { return value >> by | value << (32 - by); }

static void sha256(const uint8_t *bytes, uint32_t length, uint32_t h[8]) {
  memcpy(h, initial, sizeof initial);
  uint32_t blocks = (length + 9 + 63) / 64;
  for (uint32_t block = 0; block < blocks; block++) {
    uint32_t w[64];
    for (uint32_t i = 0; i < 64; i += 4) {
      uint32_t word = 0;
      for (uint32_t k = 0; k < 4; k++) {
        uint32_t at = block * 64 + i + k;
        word = word << 8 | (at < length ? bytes[at] : at == length ? 0x80 : 0);
      }
      w[i / 4] = word;
    }
    if (block == blocks - 1) w[14] = length >> 29, w[15] = length << 3;
    for (int i = 16; i < 64; i++)
      w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    uint32_t s[8];
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
      uint32_t one = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
      uint32_t two = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      for (int k = 7; k > 0; k--) s[k] = s[k - 1];
      s[4] += one;
      s[0] = one + two;
    }
    for (int k = 0; k < 8; k++) h[k] += s[k];
  }
}

static uint32_t crc32(const uint8_t *bytes, uint32_t length) {
  static uint32_t table[256];
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
    table[i] = value;
  }
  uint32_t crc = ~0u;
  for (uint32_t i = 0; i < length; i++) crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
  return ~crc;
}

static struct entry {
  uint32_t key, value;
  struct entry *next;
} entries[ENTRIES], *buckets[BUCKETS];

int main(void) {
  make_constants();
  memset(buckets, 0, sizeof buckets);
  uint32_t h[8];
  sha256((const uint8_t *)"abc", 3, h);
  if (h[0] != 0xba7816bf || h[7] != 0xf20015ad) return 1;  // FIPS 180-4's example.

  for (int i = 0; i < BYTES; i++) data[i] = random32() >> 11;
  uint64_t sum = 0;
  sha256(data, BYTES, h);
  for (int i = 0; i < 8; i++) sum = mix(sum, h[i]);
  for (int round = 0; round < 6; round++) {
    data[round] ^= 0x55;
    sum = mix(sum, crc32(data, BYTES));
  }
  for (uint32_t i = 0; i < ENTRIES; i++) {
    struct entry *entry = &entries[i];
    entry->key = random32();
    entry->value = i;
    struct entry **bucket = &buckets[entry->key * 2654435761u >> 18];
    entry->next = *bucket;
    *bucket = entry;
  }
  for (uint32_t i = 0; i < 15 * ENTRIES; i++) {
    uint32_t key = entries[(i * 7919) % ENTRIES].key ^ (i % 5 == 0);
    struct entry *entry = buckets[key * 2654435761u >> 18];
    while (entry != 0 && entry->key != key) entry = entry->next;
    sum += entry == 0 ? 1 : entry->value;
  }
  return finish(sum);
}
