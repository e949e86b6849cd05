import { describe, expect, test } from 'vitest';
import type { VcpuRegisters } from '../../cpu/vcpu.ts';
import { loadEngineModules } from '../../host-node/engine-modules.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { createInterpreter } from '../interpreter/interpreter.ts';
import type { InterpreterOptions } from '../interpreter/interpreter.ts';
import { createTranslator } from './translator.ts';

const CODE = 0x100000;
const TABLES = 0x1000;

/** Programs for 64-bit code at CODE, ending in HLT; from nasm. */
const programs = {
  /** l: inc byte [rel imm+1]; imm: add eax, 0; dec ecx; jnz l */
  'code that rewrites the instruction behind the store': 'b92c01000031c0fe05010000000500000000ffc975f1f4',
  /** fib(15), CALL and RET */
  'calls that recurse': 'bf0f000000e801000000f483ff02721657ffcfe8f3ffffff5f508d7ffee8e9ffffff5a01d0c389f8c3',
  /** o: test cl, 1; jz b; a: add eax, 3; dec ecx; jz e; test cl, 2; jnz o; b: add eax, 5; dec ecx; jnz a; e: */
  'a loop with two entries': 'b9f401000031c0f6c101740c83c003ffc9740cf6c10275ef83c005ffc975edf4',
  /** add, adc, shl edx, cl; jc; inc; rcr; jno; pushfq: flags that cross blocks */
  'flags from one block to the next': 'b92c010000b87856341231db01c083d30089c2d3e27204ffc3eb02d1db7105355a5a5a5affc99c5e4801f783f90075dcf4',
  /** jmp rdx to m or m + 1: m: mov eax, 0x9007c383, in whose middle is add ebx, 7; nop */
  'jumps into the middle of an instruction': 'b9c800000031c0488d150f000000f6c1017507488d1502000000ffe2b883c3079001c3ffc975e0f4',
} as const;

interface Outcome {
  readonly registers: VcpuRegisters;
  readonly instructions: number;
  readonly regions: number;
}

function run(create: typeof createInterpreter, code: string, slice = 1000): Outcome {
  const memory = new LinearMemory(16 << 20);
  const bus = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
  const interrupts = {
    pending: () => false, acknowledge: () => -1, takeNmi: () => false, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
  };
  const vcpu = create({ modules: loadEngineModules(), memory: memory.wasm, bus, interrupts, hostTsc: () => 0n, random32: () => 0, index: 0 });
  memory.write(CODE, Uint8Array.from(Buffer.from(code, 'hex')));
  memory.writeU32(TABLES, TABLES + 0x1007);
  memory.writeU32(TABLES + 0x1000, 0x87);
  const segment = (attributes: number) => ({ selector: 8, base: 0n, limit: 0xffffffff, attributes });
  vcpu.start({
    rip: BigInt(CODE), gpr: { rsp: 0x170000n }, rflags: 2n, cr0: 0x80000011n, cr3: BigInt(TABLES), cr4: 0x20n, efer: 0x500n,
    segments: { cs: segment(0xa09b), ss: segment(0xc093), ds: segment(0xc093), es: segment(0xc093) },
  });
  for (let slices = 0; vcpu.run(slice) !== 'halt'; slices++) if (slices > 100_000) throw new Error('the program does not end');
  return { registers: vcpu.registers(), instructions: vcpu.instructions, regions: vcpu.exitCounts()['regions'] ?? 0 };
}

const eager = (options: InterpreterOptions) => createTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 0 } });

describe('translated code does what interpreted code does, to the instruction', () => {
  for (const [name, code] of Object.entries(programs)) {
    test(name, () => {
      const { regions, ...translated } = run(eager, code);
      const { regions: _, ...interpreted } = run(createInterpreter, code);
      expect(regions).toBeGreaterThan(0);
      expect(translated).toEqual(interpreted);
    });
    test(`${name}, in slices of a few instructions`, () => {
      const { regions: _, ...translated } = run(eager, code, 7);
      const { regions: __, ...interpreted } = run(createInterpreter, code, 7);
      expect(translated.registers).toEqual(interpreted.registers);
      expect(translated.instructions).toBe(interpreted.instructions);
    });
  }
});

test('code that is rewritten again and again is translated ever less often', () => {
  const { regions } = run((options) => createTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 16 } }), programs['code that rewrites the instruction behind the store']);
  expect(regions).toBeLessThan(30);
});
