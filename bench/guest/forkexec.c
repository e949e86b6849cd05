// Fork and exec: children that write to copied pages and exit, children that start this program anew.
#include <sys/wait.h>
#include <unistd.h>
#define OWN_MAIN
#include "bench.h"

enum { FORKS = 120, EXECS = 60, BYTES = 1 << 20 };

static uint8_t memory[BYTES];

static int wait_for(pid_t child) {
  int status;
  check(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status), "child");
  return WEXITSTATUS(status);
}

int main(int argc, char **argv) {
  if (argc > 2) return (atoi(argv[2]) * 37) & 0x7f;
  memset(memory, 1, BYTES);
  uint64_t sum = 0;
  for (int i = 0; i < FORKS; i++) {
    pid_t child = fork();
    if (child == 0) {
      uint32_t total = 0;
      for (int at = 0; at < BYTES; at += 16384) total += ++memory[at + i];
      _exit(total & 0x7f);
    }
    memory[i]++;
    sum = mix(sum, wait_for(child));
  }
  for (int i = 0; i < EXECS; i++) {
    pid_t child = fork();
    if (child == 0) {
      char number[16];
      sprintf(number, "%d", i);
      char *arguments[] = {argv[0], "exec", number, 0};
      execv("/proc/self/exe", arguments);
      _exit(127);
    }
    sum = mix(sum, wait_for(child));
  }
  return finish(sum);
}
