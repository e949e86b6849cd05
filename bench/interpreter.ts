// Speed of the interpreter on a loop of mixed integer code, in 64-bit and 32-bit mode. Prints a table, writes
// bench-results.json. A command, never a timed test.
import { writeFileSync } from 'node:fs';
import { createLocalTranslator } from '../src/engines/translator/local-translator.ts';
import { createInterpreter } from '../src/engines/interpreter/interpreter.ts';
import { loadEngineModules } from '../src/host-node/engine-modules.ts';
import { LinearMemory } from '../src/memory/linear-memory.ts';

const CODE = 0x100000;
const PAGE_TABLES = 0x1000;
const RUNS = 5;

/**
 * mov ecx,20000000; xor eax,eax; mov ebx,12345; mov esi,180000h
 * l: add eax,ebx; xor ebx,ecx; imul edx,eax,7; mov [rsi],edx; add ebx,[rsi]; shr edx,3; test eax,1; jz s; inc ebx
 * s: lea ebx,[rbx+rax*2]; dec ecx; jnz l; hlt
 */
const programs = {
  '64-bit': 'b9002d310131c0bb39300000be0000180001d831cb6bd0078916031ec1ea03a9010000007402ffc38d1c43ffc975e2f4',
  '32-bit': 'b9002d310131c0bb39300000be0000180001d831cb6bd0078916031ec1ea03a9010000007401438d1c434975e4f4',
} as const;

const engines = { interpreter: createInterpreter, translator: createLocalTranslator } as const;

function measure(engine: keyof typeof engines, width: '64-bit' | '32-bit'): number {
  const memory = new LinearMemory(16 << 20);
  const nothing = { readPort: () => 0xff, writePort: () => {}, readMmio: () => 0xffffffff, writeMmio: () => {} };
  const interrupts = {
    pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
  };
  const vcpu = engines[engine]({ modules: loadEngineModules(), memory: memory.wasm, bus: nothing, interrupts, hostTsc: () => 0, random32: () => 0, index: 0 });
  memory.write(CODE, Uint8Array.from(Buffer.from(programs[width], 'hex')));
  // One 1 GiB page maps everything.
  memory.writeU32(PAGE_TABLES, PAGE_TABLES + 0x1007);
  memory.writeU32(PAGE_TABLES + 0x1000, 0x87);
  const long = width === '64-bit';
  const segment = (attributes: number) => ({ selector: 8, base: 0n, limit: 0xffffffff, attributes });
  vcpu.start({
    rip: BigInt(CODE), gpr: { rsp: 0x170000n }, rflags: 2n, cr0: long ? 0x80000011n : 0x11n, cr3: BigInt(PAGE_TABLES), cr4: 0x20n, efer: long ? 0x500n : 0n,
    segments: { cs: segment(long ? 0xa09b : 0xc09b), ss: segment(0xc093), ds: segment(0xc093), es: segment(0xc093) },
  });
  const start = performance.now();
  while (vcpu.run(1_000_000) !== 'halt');
  return vcpu.instructions / (performance.now() - start) / 1000;
}

const results = (['interpreter', 'translator'] as const).flatMap((engine) => (['64-bit', '32-bit'] as const).map((width) => {
  const runs = Array.from({ length: RUNS }, () => measure(engine, width)).sort((a, b) => a - b);
  return { benchmark: 'mixed integer loop', width, engine, mipsMinimum: runs[0]!, mipsMedian: runs[RUNS >> 1]!, mipsMaximum: runs[RUNS - 1]! };
}));
console.log('benchmark           width   engine       million instructions/s: median (min-max)');
for (const r of results) {
  console.log(`${r.benchmark.padEnd(20)}${r.width.padEnd(8)}${r.engine.padEnd(13)}${r.mipsMedian.toFixed(1)} (${r.mipsMinimum.toFixed(1)}-${r.mipsMaximum.toFixed(1)})`);
}
writeFileSync('bench-results.json', `${JSON.stringify({ node: process.version, results }, null, 2)}\n`);
