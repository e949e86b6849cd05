// What a port write costs under KVM, against the same loop driven from C: processor time, both in turns. Then, from C alone, what
// exits cost by cause, and where the kernel serves them itself.
// npm run bench:kvm [-- --exits N --repeat N]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PcBus } from '../src/buses/system-bus.ts';
import { createInterpreter } from '../src/engines/interpreter/interpreter.ts';
import { KvmVcpu } from '../src/engines/kvm/kvm-vcpu.ts';
import { loadEngineModules } from '../src/host-node/engine-modules.ts';
import { kvmHere } from '../src/host-node/kvm/kvm-here.ts';
import { KvmUnavailable } from '../src/host-node/kvm/linux-kvm.ts';
import { NodeClock } from '../src/host-node/ports.ts';
import { silentLog } from '../src/machine/trace.ts';
import { LinearMemory } from '../src/memory/linear-memory.ts';

const CODE = 0x1000;
const SLICE_NS = 4e6;

const { values } = parseArgs({ options: { exits: { type: 'string', default: '20000' }, repeat: { type: 'string', default: '7' } } });
const exits = Number(values.exits);

const kvm = kvmHere();
if (kvm instanceof KvmUnavailable) throw kvm;
const memory = new LinearMemory(1 << 20);
const clock = new NodeClock();
const bus = new PcBus(silentLog);
let written = 0;
bus.ports.map(0x80, { name: 'count', length: 1, read: () => 0, write: () => void written++ });
const parts = {
  modules: loadEngineModules(), memory: memory.wasm, bus, index: 0, clock, hostTsc: () => 0, tscKhz: () => kvm.capabilities.tscKhz, random32: () => 0,
  interrupts: {
    pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
  },
};
const vcpu = new KvmVcpu({ ...parts, ...kvm, home: createInterpreter(parts) });

/** Nanoseconds of processor time of one exit. */
function ours(): number {
  // As in exits.c.
  memory.write(CODE, Uint8Array.of(0x66, 0xb9, exits, exits >> 8, exits >> 16, exits >> 24, 0xe6, 0x80, 0x66, 0x49, 0x75, 0xfa, 0xf4));
  vcpu.reset();
  vcpu.start({ rip: BigInt(CODE), segments: { cs: { selector: 0, base: 0n, limit: 0xffff, attributes: 0x9b } } });
  written = 0;
  const began = process.cpuUsage();
  for (;;) {
    const ends = clock.now() + SLICE_NS;
    if (vcpu.run(1, () => ends) === 'halt') break;
  }
  const { user, system } = process.cpuUsage(began);
  if (written !== exits) throw new Error(`${written} writes instead of ${exits}`);
  return ((user + system) * 1000) / exits;
}

const folder = mkdtempSync(join(tmpdir(), 'kvm-exits-'));
try {
  const build = (name: string): string => {
    const program = join(folder, name);
    // Built from dist/bench or started from bench.
    const sources = new URL(import.meta.url.includes('/dist/') ? '../../bench/kvm/' : 'kvm/', import.meta.url);
    execFileSync('cc', ['-O2', '-o', program, fileURLToPath(new URL(`${name}.c`, sources))]);
    return program;
  };
  const program = build('exits');
  const rows = Array.from({ length: Number(values.repeat) }, () => ({ c: Number(execFileSync(program, [String(exits)], { encoding: 'utf8' })), ts: ours() }));
  const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;
  const c = median(rows.map((row) => row.c));
  const ts = median(rows.map((row) => row.ts));
  console.log(`port exit, processor time, median of ${rows.length}: C ${(c / 1000).toFixed(2)} us, Polyvisor ${(ts / 1000).toFixed(2)} us, ratio ${(ts / c).toFixed(2)} (ratios ${rows.map((row) => (row.ts / row.c).toFixed(2)).join(' ')})`);
  console.log(`by cause, C, the best of five:\n${execFileSync(build('causes'), { encoding: 'utf8' }).trimEnd()}`);
} finally {
  vcpu.close();
  rmSync(folder, { recursive: true });
}
