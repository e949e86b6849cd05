// Process 1 of the benchmark's guest: runs each line of /list, times it, hashes its output, powers off.
// A line is NAME, then the program and its arguments, separated by blanks. Printed on the console for each:
//   begin NAME
//   bench NAME SECONDS CHECKSUM          or: failed NAME STATUS
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

// The line has left the serial port before anything is timed.
static void say(const char *line) {
  if (write(1, line, strlen(line)) < 0) _exit(1);
  tcdrain(1);
}

// Runs a program; the hash (FNV-1a) of what it writes, its status in *status.
static uint64_t run(char **arguments, int *status) {
  int ends[2];
  if (pipe(ends) != 0) exit(1);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execve(arguments[0], arguments, (char *[]){"PATH=/bin:/usr/bin", "LC_ALL=C", "HOME=/", "TMPDIR=/tmp", "PYTHONHASHSEED=0", 0});
    perror(arguments[0]);
    _exit(127);
  }
  close(ends[1]);
  uint64_t hash = 0xcbf29ce484222325u;
  static uint8_t block[65536];
  for (ssize_t got; (got = read(ends[0], block, sizeof block)) > 0;)
    for (ssize_t i = 0; i < got; i++) hash = (hash ^ block[i]) * 0x100000001b3u;
  close(ends[0]);
  waitpid(child, status, 0);
  return hash;
}

int main(void) {
  mount("proc", "/proc", "proc", 0, 0);
  mount("sysfs", "/sys", "sysfs", 0, 0);
  mount("tmpfs", "/tmp", "tmpfs", 0, 0);
  // Without a devtmpfs the device files of the archive do.
  mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
  // From here on only the markers below reach the console.
  int level = open("/proc/sys/kernel/printk", O_WRONLY);
  if (level >= 0 && write(level, "1", 1) == 1) close(level);
  say("\nuserland\n");
  FILE *list = fopen("/list", "r");
  char line[1024], text[256];
  int ran = 0;
  while (list != 0 && fgets(line, sizeof line, list) != 0) {
    char *arguments[64] = {0};
    int count = 0;
    for (char *word = strtok(line, " \n"); word != 0 && count < 63; word = strtok(0, " \n")) arguments[count++] = word;
    if (count < 2) continue;
    ran = 1;
    snprintf(text, sizeof text, "begin %s\n", arguments[0]);
    say(text);
    int status = 0;
    double start = now();
    uint64_t hash = run(arguments + 1, &status);
    double seconds = now() - start;
    if (status == 0) snprintf(text, sizeof text, "bench %s %.6f %016llx\n", arguments[0], seconds, (unsigned long long)hash);
    else snprintf(text, sizeof text, "failed %s %d\n", arguments[0], status);
    say(text);
  }
  say("end\n");
  // Time for the host to look at its process.
  if (ran) sleep(1);
  reboot(RB_POWER_OFF);
  for (;;) pause();
}
