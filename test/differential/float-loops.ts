import { runNative } from '../support/native.ts';

// The same machine code on the host and in a guest: for each instruction a loop over a table of operands. So hundreds of
// thousands of cases take seconds, and the translator sees code that is hot.

export interface FloatOperation {
  /** AT&T syntax; operands in XMM0 (also the destination) and XMM1, 32(%rsi) is XMM1 in memory; integers in RDX, results in RAX. */
  readonly asm: string;
  /** What the operands hold. */
  readonly lane: 'f32' | 'f64' | 'i32' | 'i64';
}

/** MXCSR, 12 bytes unused, first operand, second operand. */
export const INPUT_BYTES = 48;
/** MXCSR, flags (or FAULTED), RAX, XMM0. */
export const OUTPUT_BYTES = 32;
export const FAULTED = 0xbad;

/**
 * A loop: RSI the inputs, RDI the outputs, ECX how many. R12 tells the exception handler where to go on; MXCSR is as the
 * exception left it. XMM0 is not compared then, which keeps its old value.
 */
function loop(asm: string, number: number): string {
  return `
  .globl loop${number}
  loop${number}:
    lea 2f(%rip), %r12
  1:
    movaps 16(%rsi), %xmm0
    movaps 32(%rsi), %xmm1
    mov 32(%rsi), %rdx
    xor %eax, %eax
    mov $${FAULTED}, %ebx
    ldmxcsr (%rsi)
    ${asm}
    pushfq
    pop %rbx
  2:
    stmxcsr (%rdi)
    mov %ebx, 4(%rdi)
    mov %rax, 8(%rdi)
    movaps %xmm0, 16(%rdi)
    add $${INPUT_BYTES}, %rsi
    add $${OUTPUT_BYTES}, %rdi
    dec %ecx
    jnz 1b
    ret`;
}

function program(operations: readonly FloatOperation[]): string {
  const text = operations.map(({ asm }, i) => loop(asm, i)).join('\n').split('\n').map((line) => `"${line.trim()}\\n"`).join('\n');
  return `
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
__asm__(".text\\n.p2align 4\\n.globl code_start\\ncode_start:\\n"
${text}
"hlt\\n.globl code_end\\ncode_end:\\n");
extern char code_start[], code_end[];
${operations.map((_, i) => `extern char loop${i}[];`).join('\n')}
static char *loops[] = { ${operations.map((_, i) => `loop${i}`).join(', ')} };
static void landed(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  registers[REG_RIP] = registers[REG_R12];
}
int main(void) {
  uint32_t count = sizeof loops / sizeof *loops, size = code_end - code_start, cases;
  fwrite(&count, 4, 1, stdout);
  fwrite(&size, 4, 1, stdout);
  for (uint32_t i = 0; i < count; i++) { uint32_t at = loops[i] - code_start; fwrite(&at, 4, 1, stdout); }
  fwrite(code_start, size, 1, stdout);
  struct sigaction action = { .sa_sigaction = landed, .sa_flags = SA_SIGINFO };
  sigaction(SIGFPE, &action, 0);
  if (fread(&cases, 4, 1, stdin) != 1) return 1;
  char *in = aligned_alloc(64, cases * ${INPUT_BYTES} + 64 & ~63), *out = aligned_alloc(64, cases * ${OUTPUT_BYTES} + 64 & ~63);
  for (uint32_t i = 0; i < count; i++) {
    if (fread(in, ${INPUT_BYTES}, cases, stdin) != cases) return 1;
    char *rsi = in, *rdi = out;
    uint32_t ecx = cases, normal = 0x1f80;
    __asm__ volatile("sub $128, %%rsp; call *%[loop]; add $128, %%rsp; ldmxcsr %[normal]" : "+S"(rsi), "+D"(rdi), "+c"(ecx)
      : [loop] "r"(loops[i]), [normal] "m"(normal) : "rax", "rbx", "rdx", "r12", "xmm0", "xmm1", "memory", "cc");
    fwrite(out, ${OUTPUT_BYTES}, cases, stdout);
  }
  return 0;
}`;
}

export interface NativeLoops {
  readonly code: Uint8Array;
  /** Where each operation's loop begins in the code. */
  readonly entries: readonly number[];
  /** Outputs of each operation. */
  readonly outputs: readonly Buffer[];
}

/** Runs each operation on its own inputs, which are as many for each. */
export function runNativeLoops(operations: readonly FloatOperation[], inputs: readonly Uint8Array[]): NativeLoops {
  const cases = inputs[0]!.length / INPUT_BYTES;
  const result = runNative(program(operations), Buffer.concat([Buffer.from(Uint32Array.of(cases).buffer), ...inputs]));
  const count = result.readUInt32LE(0);
  const size = result.readUInt32LE(4);
  const outputs = 8 + 4 * count + size;
  return {
    code: result.subarray(8 + 4 * count, outputs),
    entries: operations.map((_, i) => result.readUInt32LE(8 + 4 * i)),
    outputs: operations.map((_, i) => result.subarray(outputs + i * cases * OUTPUT_BYTES, outputs + (i + 1) * cases * OUTPUT_BYTES)),
  };
}
