# Python: objects, dictionaries, strings, comprehensions, exceptions, generators, big integers, floating point.


class Vector:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def dot(self, other):
        return self.x * other.x + self.y * other.y


def primes(limit):
    sieve = bytearray([1]) * (limit + 1)
    for i in range(2, limit + 1):
        if sieve[i]:
            yield i
            sieve[i * i :: i] = bytes(len(range(i * i, limit + 1, i)))


def words(count):
    state = 12345
    for _ in range(count):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        yield "".join(chr(97 + (state >> shift) % 7) for shift in (3, 9, 15, 21))


def collatz(n, known):
    path = []
    while n not in known:
        path.append(n)
        n = n * 3 + 1 if n % 2 else n // 2
    length = known[n]
    for step in reversed(path):
        length += 1
        known[step] = length
    return length


counts = {}
for word in words(8000):
    counts[word] = counts.get(word, 0) + 1
for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]:
    print(f"{word} {count:4d}")
print(sum(primes(40000)))

known = {1: 0}
print(max((collatz(n, known), n) for n in range(1, 8000)))

total = Vector(0, 0)
for i in range(8000):
    total = total + Vector(i, -i * 0.5)
print(total.x, total.y, total.dot(Vector(0.25, 3)))

errors = 0
for i in range(6000):
    try:
        [1, 2, 3][i % 5]
    except IndexError as error:
        errors += len(str(error))
print(errors)

power = 3**4000 - 2**6000
print(len(str(power)), power % 1000000007)
print(" ".join(line[::-1].title() for line in "the quick brown fox\njumps over\nthe lazy dog".split("\n")))
