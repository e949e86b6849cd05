// Pipes: blocks of several sizes from a child through a filter to the parent.
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

static const uint32_t sizes[] = {16, 512, 4096, 65536};
static const uint32_t counts[] = {12000, 10000, 4000, 250};
static uint8_t block[65536];

static void write_all(int to, const uint8_t *bytes, size_t count) {
  while (count > 0) {
    ssize_t done = write(to, bytes, count);
    check(done > 0, "write");
    bytes += done;
    count -= done;
  }
}

static void source(int to) {
  for (int kind = 0; kind < 4; kind++)
    for (uint32_t i = 0; i < counts[kind]; i++) {
      memset(block, i + kind, 16);
      write_all(to, block, sizes[kind]);
    }
  _exit(0);
}

static void filter(int from, int to) {
  for (ssize_t got; (got = read(from, block, 8192)) > 0;) {
    for (ssize_t i = 0; i < got; i += 64) block[i] ^= 0x5a;
    write_all(to, block, got);
  }
  _exit(0);
}

int main(void) {
  int first[2], second[2];
  check(pipe(first) == 0 && pipe(second) == 0, "pipe");
  if (fork() == 0) close(first[0]), close(second[0]), close(second[1]), source(first[1]);
  if (fork() == 0) close(first[1]), close(second[0]), filter(first[0], second[1]);
  close(first[0]), close(first[1]), close(second[1]);
  // How the bytes fall into reads depends on timing: only their number counts.
  uint64_t total = 0;
  for (ssize_t got; (got = read(second[0], block, sizeof block)) > 0;) total += got;
  while (wait(0) > 0);
  return finish(mix(1, total));
}
