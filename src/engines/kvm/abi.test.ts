import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LINUX_CONSTANTS, LINUX_STRUCTS } from '../../host-node/kvm/linux-abi.ts';
import { CONSTANTS, IOCTLS, STRUCTS } from './abi.ts';

/** Prints `name value` for sizes, offsets and numbers, as the C headers have them. */
function program(): string {
  const lines = [...Object.entries(STRUCTS), ...Object.entries(LINUX_STRUCTS)].flatMap(([name, { fields }]) => [
    `P("${name}", sizeof(struct ${name}));`, ...Object.keys(fields).map((field) => `P("${name}.${field}", offsetof(struct ${name}, ${field}));`),
  ]);
  lines.push(...[...Object.keys(IOCTLS), ...Object.keys(CONSTANTS), ...Object.keys(LINUX_CONSTANTS)].map((name) => `P("${name}", ${name});`));
  const headers = ['stdio.h', 'stddef.h', 'signal.h', 'time.h', 'fcntl.h', 'errno.h', 'sys/mman.h', 'sys/syscall.h', 'linux/kvm.h', 'asm/kvm.h'];
  return `#define _GNU_SOURCE\n${headers.map((name) => `#include <${name}>`).join('\n')}
#define KVM_X86_SHADOW_INT_MOV_SS 0x01
#define KVM_X86_SHADOW_INT_STI 0x02
#define P(name, value) printf("%s %llu\\n", name, (unsigned long long)(value))
int main(void) {\n${lines.join('\n')}\nreturn 0;\n}\n`;
}

test.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('every size, offset and number is as in linux/kvm.h', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvm-abi-'));
  try {
    writeFileSync(join(folder, 'abi.c'), program());
    execFileSync('cc', ['-o', join(folder, 'abi'), join(folder, 'abi.c')]);
    const lines = execFileSync(join(folder, 'abi'), { encoding: 'utf8' }).trim().split('\n').map((line) => line.split(' ') as [string, string]);
    const expected = new Map(lines.map(([name, value]) => [name, Number(value)]));
    const ours = new Map<string, number>();
    for (const [name, { size, fields }] of [...Object.entries(STRUCTS), ...Object.entries(LINUX_STRUCTS)]) {
      ours.set(name, size);
      for (const [field, offset] of Object.entries(fields)) ours.set(`${name}.${field}`, offset);
    }
    for (const [name, value] of [...Object.entries(IOCTLS), ...Object.entries(CONSTANTS), ...Object.entries(LINUX_CONSTANTS)]) ours.set(name, value);
    expect(ours.size).toBeGreaterThan(200);
    expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(expected));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
