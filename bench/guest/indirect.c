// Indirect calls and jumps: a bytecode interpreter with a switch, one with a table of functions, objects with methods.
#include "bench.h"

enum { PROGRAM = 4096, ROUNDS = 1500, OBJECTS = 1000 };

typedef struct machine {
  uint32_t a, b, c;
} machine;

static uint8_t program[PROGRAM];

static void op_add(machine *m) { m->a += m->b; }
static void op_sub(machine *m) { m->b -= m->c; }
static void op_xor(machine *m) { m->c ^= m->a; }
static void op_rotate(machine *m) { m->a = m->a << 5 | m->a >> 27; }
static void op_multiply(machine *m) { m->b = m->b * 2654435761u + 1; }
static void op_swap(machine *m) {
  uint32_t a = m->a;
  m->a = m->c;
  m->c = a;
}
static void op_compare(machine *m) { m->c += m->a < m->b; }
static void op_shift(machine *m) { m->b ^= m->b >> 7; }

static void (*const operations[8])(machine *) = {op_add, op_sub, op_xor, op_rotate, op_multiply, op_swap, op_compare, op_shift};

static void by_table(machine *m) {
  for (int i = 0; i < PROGRAM; i++) operations[program[i] & 7](m);
}

static void by_switch(machine *m) {
  uint32_t a = m->a, b = m->b, c = m->c, t;
  for (int i = 0; i < PROGRAM; i++) switch (program[i]) {
      case 0: a += b; break;
      case 1: b -= c; break;
      case 2: c ^= a; break;
      case 3: a = a << 5 | a >> 27; break;
      case 4: b = b * 2654435761u + 1; break;
      case 5: t = a, a = c, c = t; break;
      case 6: c += a < b; break;
      case 7: b ^= b >> 7; break;
      case 8: a = ~a; break;
      case 9: b += i; break;
      case 10: c = c >> 3 | c << 29; break;
      default: a ^= program[i]; break;
    }
  m->a = a, m->b = b, m->c = c;
}

typedef struct shape shape;
struct shape {
  uint32_t (*area)(const shape *);
  void (*grow)(shape *, uint32_t);
  uint32_t width, height;
};
static uint32_t square_area(const shape *s) { return s->width * s->width; }
static uint32_t box_area(const shape *s) { return s->width * s->height; }
static uint32_t triangle_area(const shape *s) { return s->width * s->height / 2; }
static void grow_wide(shape *s, uint32_t by) { s->width += by; }
static void grow_both(shape *s, uint32_t by) { s->width += by, s->height += by & 3; }

int main(void) {
  machine m = {1, 2, 3};
  for (int i = 0; i < PROGRAM; i++) program[i] = random32() >> 9 & 15;
  for (int round = 0; round < ROUNDS; round++) by_table(&m);
  uint64_t sum = mix(mix(mix(0, m.a), m.b), m.c);
  for (int round = 0; round < ROUNDS; round++) by_switch(&m);
  sum = mix(mix(mix(sum, m.a), m.b), m.c);

  static uint32_t (*const areas[])(const shape *) = {square_area, box_area, triangle_area};
  static shape shapes[OBJECTS];
  for (int i = 0; i < OBJECTS; i++) shapes[i] = (shape){areas[random32() % 3], random32() & 1 ? grow_wide : grow_both, i, i + 5};
  uint32_t total = 0;
  for (int round = 0; round < ROUNDS; round++)
    for (int i = 0; i < OBJECTS; i++) {
      shapes[i].grow(&shapes[i], round);
      total += shapes[i].area(&shapes[i]);
    }
  return finish(mix(sum, total));
}
