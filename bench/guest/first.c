// The first user process: says so, and stays.
#include <unistd.h>

int main(void) {
  static const char text[] = "first user process\n";
  (void)!write(1, text, sizeof text - 1);
  for (;;) pause();
}
