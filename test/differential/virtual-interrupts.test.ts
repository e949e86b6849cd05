import { expect, test } from 'vitest';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { InterpreterOptions } from '../../src/engines/interpreter/interpreter.ts';
import { createLocalTranslator } from '../../src/engines/translator/local-translator.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { CODE, FlatGuest, STACK } from '../support/flat-guest.ts';
import { Random } from './generate.ts';

// Virtual-8086 mode with VME and ring 3 with PVI (SDM 3A, 20.3 and 20.4): no host's user mode has them, so the translator is held
// against the interpreter alone. Random code of what they are about, from random flags, until an exception's handler halts.

const CASES = process.env['POLYVISOR_NIGHTLY'] === '1' ? 4000 : 60;
const MEMORY = 1 << 20;
const TSS = 0x5000;
const IO_MAP = 0x88;
const VIRTUAL_STACK = 0x20000;
const [VME_PVI, VM] = [3n, 0x20000];
const SEGMENT = CODE >> 4;
/** cli, sti; pushf, popf, of both sizes; iret; int n; nop, push ax, pop bx, mov cl, 1 */
const pieces = [[0xfa], [0xfb], [0x9c], [0x9d], [0x66, 0x9c], [0x66, 0x9d], [0xcf], [0xcd, 0x21], [0xcd, 0x80], [0x90], [0x50], [0x5b], [0xb1, 0x01]] as const;

const engines = {
  interpreter: createInterpreter,
  translator: (options: InterpreterOptions) => createLocalTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 0 } }),
} as const;

/** A machine that runs cases: registers and stacks behind one, and the regions made for it; undefined when it does not end. */
function machine(name: keyof typeof engines) {
  const memory = new LinearMemory(MEMORY);
  const bus = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
  const interrupts = {
    pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
  };
  const guest = new FlatGuest(memory, 256, [{ access: 0xfb }, { access: 0xf3 }]);
  const cpu = engines[name]({ modules: loadEngineModules(), memory: memory.wasm, bus, interrupts, hostTsc: () => 0, random32: () => 0, index: 0 });
  const run = (random: Random, virtual: boolean): { readonly result: unknown; readonly made: number } | undefined => {
    const bits = (count: number): number => random.below(2 ** count);
    const code = Array.from({ length: 4 + random.below(20) }, () => random.pick(pieces)).flat();
    // What POPF and IRET find: addresses in the code, its segment, flags with VIF, VIP, IOPL, NT and TF now and then.
    const flags = (): number => 2 | (bits(16) & (random.below(4) === 0 ? 0x7fd5 : 0x3ed5)) | (random.below(3) === 0 ? bits(6) << 16 : 0);
    const words = new Uint8Array(0x800);
    const view = new DataView(words.buffer);
    for (let at = 0; at + 6 <= words.length; at += 6) [random.below(code.length), SEGMENT, flags() & 0xffff].forEach((word, i) => view.setUint16(at + i * 2, word, true));
    memory.write(VIRTUAL_STACK, words);
    memory.write(STACK - 0x100, new Uint8Array(0x100));
    for (let vector = 0; vector < 256; vector++) memory.writeU32(vector * 4, ((SEGMENT << 16) | random.below(code.length)) >>> 0);
    const tss = new Uint8Array(0x100);
    new DataView(tss.buffer).setUint32(4, STACK, true);
    tss[8] = 0x10;
    tss[0x66] = IO_MAP;
    for (let i = IO_MAP - 32; i < IO_MAP; i++) tss[i] = random.next();
    memory.write(TSS, tss);
    const real = (selector: number) => ({ selector, base: BigInt(selector << 4), limit: 0xffff, attributes: 0xf3 });
    const flat = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
    const [cs, data] = virtual ? [real(SEGMENT), real(VIRTUAL_STACK >> 4)] : [flat(0x1b, 0xc0fb), flat(0x23, 0xc0f3)];
    const first = (flags() & ~0x100) | (bits(2) << 12) | (virtual ? VM : 0);
    cpu.reset();
    const start = guest.enter(code, { rflags: BigInt(virtual ? first : first & ~VM), cr4: VME_PVI, rip: virtual ? 0n : BigInt(CODE) });
    cpu.start({
      ...start, gpr: { rsp: BigInt(0x400 + (virtual ? 0 : VIRTUAL_STACK)), rax: BigInt(flags()) },
      segments: { cs, ss: data, ds: data, es: data, fs: data, gs: data, tr: { selector: 0x28, base: BigInt(TSS), limit: 0xff, attributes: 0x8b } },
    });
    const before = cpu.translation()?.regions.made ?? 0;
    for (let slices = 0; slices < 20; slices++) {
      if (cpu.run(100) !== 'halt') continue;
      const stacks = [[VIRTUAL_STACK, 0x800], [STACK - 0x100, 0x100]].map(([at, length]) => {
        const bytes = new Uint8Array(length!);
        memory.read(at!, bytes);
        return Buffer.from(bytes).toString('hex');
      });
      return { result: { registers: cpu.registers(), stacks }, made: (cpu.translation()?.regions.made ?? 0) - before };
    }
    return undefined;
  };
  return run;
}

test.each([['virtual-8086 mode with VME', true], ['ring 3 with PVI', false]] as const)('%s: translated code does what interpreted code does', (_, virtual) => {
  const [interpreter, translator] = [machine('interpreter'), machine('translator')];
  let ended = 0;
  let regions = 0;
  for (let seed = 1; seed <= CASES; seed++) {
    const [expected, actual] = [interpreter(new Random(2 * seed), virtual), translator(new Random(2 * seed), virtual)];
    expect(actual?.result, `seed ${seed}`).toEqual(expected?.result);
    if (expected !== undefined) ended++;
    regions += actual?.made ?? 0;
  }
  expect(ended).toBeGreaterThan(CASES / 2);
  expect(regions).toBeGreaterThan(CASES / 4);
});
