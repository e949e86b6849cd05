// Sorting: the C library's qsort with a callback, heap sort, merge sort of strings by strcmp.
#include "bench.h"

enum { NUMBERS = 250000, HEAP = 300000, STRINGS = 60000 };

static uint32_t numbers[HEAP];
static char text[STRINGS][16];
static char *strings[STRINGS], *spare[STRINGS];

static int compare(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

static void sift(uint32_t *heap, uint32_t root, uint32_t count) {
  uint32_t value = heap[root];
  for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && heap[child] < heap[child + 1]) child++;
    if (value >= heap[child]) break;
    heap[root] = heap[child];
  }
  heap[root] = value;
}

static void merge_sort(char **items, char **room, uint32_t count) {
  if (count < 2) return;
  uint32_t half = count / 2;
  merge_sort(items, room, half);
  merge_sort(items + half, room + half, count - half);
  memcpy(room, items, count * sizeof *items);
  for (uint32_t i = 0, a = 0, b = half; i < count; i++)
    items[i] = b == count || (a < half && strcmp(room[a], room[b]) <= 0) ? room[a++] : room[b++];
}

int main(void) {
  uint64_t sum = 0;
  for (int i = 0; i < NUMBERS; i++) numbers[i] = random32();
  qsort(numbers, NUMBERS, sizeof numbers[0], compare);
  for (int i = 0; i < NUMBERS; i += 1000) sum = mix(sum, numbers[i]);

  for (int i = 0; i < HEAP; i++) numbers[i] = random32();
  for (uint32_t i = HEAP / 2; i-- > 0;) sift(numbers, i, HEAP);
  for (uint32_t i = HEAP - 1; i > 0; i--) {
    uint32_t top = numbers[0];
    numbers[0] = numbers[i];
    numbers[i] = top;
    sift(numbers, 0, i);
  }
  for (int i = 0; i < HEAP; i += 1000) sum = mix(sum, numbers[i]);

  for (int i = 0; i < STRINGS; i++) {
    for (int k = 0; k < 15; k++) text[i][k] = 'a' + random32() % 4;
    strings[i] = text[i];
  }
  merge_sort(strings, spare, STRINGS);
  for (int i = 0; i < STRINGS; i += 100) sum = mix(sum, strings[i] - text[0]);
  return finish(sum);
}
