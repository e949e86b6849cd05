import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { GDT, LINEAR, RAM_BYTES, hostOf, writeTables } from './instruction-runner.ts';
import type { Task } from './instruction-worker.ts';

const memory = new LinearMemory(RAM_BYTES).wasm;
const gate = new Int32Array(new SharedArrayBuffer(4));
const RUNS = 10_000;
const COPIES = 16;
const COUNT = RUNS * COPIES;
const RDI = 7;
const [RAX, RBX, R8] = [0, 3, 8];
let workers: Worker[] = [];
/** Why a processor has ended: the others would wait for it at the gate for ever. */
let lost: unknown;

beforeAll(() => {
  writeTables(memory);
  const url = new URL('../../dist/test/threads/instruction-worker.js', import.meta.url);
  workers = [0, 1].map((index) => new Worker(url, { workerData: { memory, index, gate } }));
  for (const worker of workers) {
    worker.on('error', (error) => {
      lost ??= error;
      for (const other of workers) void other.terminate();
    });
  }
});
afterAll(() => Promise.all(workers.map((worker) => worker.terminate())));

/** Both processors run their code at the same time; their registers behind it. */
async function both(tasks: readonly Omit<Task, 'copies' | 'times'>[]): Promise<bigint[][]> {
  if (lost !== undefined) throw lost;
  Atomics.store(gate, 0, tasks.length);
  return Promise.all(tasks.map(async (task, i) => {
    const answer = once(workers[i]!, 'message');
    workers[i]!.postMessage({ copies: COPIES, times: RUNS, ...task } satisfies Task);
    return ((await answer) as [bigint[]])[0];
  }));
}

function peek(linear: number, bytes: number): bigint {
  const view = new Uint8Array(memory.buffer);
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(view[hostOf(linear + i)]!);
  return value;
}
function poke(linear: number, bytes: number, value: bigint): void {
  for (let i = 0; i < bytes; i++) new Uint8Array(memory.buffer)[hostOf(linear + i)] = Number((value >> BigInt(8 * i)) & 0xffn);
}

/** What lies around the operand must stay as it is. */
const NEIGHBOUR = 0x5an;
function place(address: number, bytes: number): void {
  poke(address - 8, 8 + bytes + 8, 0n);
  poke(address - 1, 1, NEIGHBOUR);
  poke(address + bytes, 1, NEIGHBOUR);
}
function expectNeighbours(address: number, bytes: number): void {
  expect([peek(address - 1, 1), peek(address + bytes, 1)]).toEqual([NEIGHBOUR, NEIGHBOUR]);
}

const places = [
  ['aligned', (bytes: number) => LINEAR + 0x1000 + 2 * bytes],
  ['misaligned', () => LINEAR + 0x1013],
  ['over a cache line', (bytes: number) => LINEAR + 0x1080 - bytes / 2],
  ['over a page', (bytes: number) => LINEAR + 0x3000 - bytes / 2],
] as const;
const sizes = [
  [1, 'f0 fe', ''], [2, '66 f0 ff', '66'], [4, 'f0 ff', ''], [8, 'f0 48 ff', '48'],
] as const;

describe.each(sizes)('locked accesses of %i bytes by two processors', (bytes, step, size) => {
  const byte = bytes === 1;
  const prefix = `${size === '66' ? '66 ' : ''}f0 ${size === '48' ? '48 ' : ''}`;
  const cut = (value: number | bigint): bigint => BigInt.asUintN(bytes * 8, BigInt(value));
  describe.each(places.slice(0, byte ? 1 : 4))('%s', (_, at) => {
    const address = at(bytes);
    const registers = [[RDI, BigInt(address)]] as const;

    test('INC and DEC, ADD, SUB and XADD lose nothing', async () => {
      place(address, bytes);
      const decrement = step.slice(0, -2) + (byte ? 'fe 0f' : 'ff 0f');
      await both([{ code: `${step} 07`, registers }, { code: `${step} 07 ${decrement} ${step} 07`, registers }]);
      expect(peek(address, bytes)).toBe(cut(2 * COUNT));
      expectNeighbours(address, bytes);

      // add [rdi], ecx; sub [rdi], edx; xadd [rdi], eax: eax sums up nothing, so it is set anew: mov eax, 5
      const [add, sub, xadd] = byte ? ['00 0f', '28 17', '0f c0 07'] : ['01 0f', '29 17', '0f c1 07'];
      place(address, bytes);
      const code = `${prefix}${add} ${prefix}${sub} b8 05 00 00 00 ${prefix}${xadd}`;
      await both([[77n, 11n], [1000n, 3n]].map(([rcx, rdx]) => ({ code, registers: [...registers, [1, rcx!], [2, rdx!]] })));
      expect(peek(address, bytes)).toBe(cut((77 - 11 + 5 + 1000 - 3 + 5) * COUNT));
      expectNeighbours(address, bytes);
    });

    test('NOT, NEG, XOR and BTC toggle, OR and AND, BTS and BTR keep to their bits', async () => {
      const high = 1n << BigInt(bytes * 8 - 1);
      place(address, bytes);
      // xor [rdi], eax: each with its own bits. An odd number of times in all.
      const xor = byte ? '30 07' : '31 07';
      await both([{ code: `${prefix}${xor} ${prefix}${xor} ${prefix}${xor}`, registers: [...registers, [RAX, 0x15n]] }, { code: `${prefix}${byte ? '08 07' : '09 07'} ${prefix}${byte ? '20 1f' : '21 1f'}`, registers: [...registers, [RAX, high], [RBX, ~high]] }]);
      expect(peek(address, bytes)).toBe(COUNT % 2 === 0 ? 0n : 0x15n);

      poke(address, bytes, 0x33n);
      const [not, neg] = byte ? ['f6 17', 'f6 1f'] : ['f7 17', 'f7 1f'];
      await both([{ code: `${prefix}${neg}`, registers }, { code: `${prefix}${neg}`, registers }]);
      expect(peek(address, bytes)).toBe(0x33n);
      await both([{ code: `${prefix}${not}`, registers }, { code: `${prefix}${not}`, registers }]);
      expect(peek(address, bytes)).toBe(0x33n);
      expectNeighbours(address, bytes);
      if (byte) return;

      poke(address, bytes, 0n);
      // btc [rdi], 3 and bts, btr [rdi], eax, whose carry is what they left: adc r8, 0
      await both([{ code: `${prefix}0f ba 3f 03`, registers }, { code: `${prefix}0f ab 07 ${prefix}0f b3 07 49 83 d0 00`, registers: [...registers, [RAX, BigInt(bytes * 8 - 1)], [R8, 0n]] }])
        .then(([, answer]) => expect(answer![R8]).toBe(BigInt(COUNT)));
      expect(peek(address, bytes)).toBe(0n);
      expectNeighbours(address, bytes);
    });

    test('XCHG, without the prefix, passes values around and loses none', async () => {
      place(address, bytes);
      poke(address, bytes, 1n);
      const xchg = `${size} ${byte ? '86 07' : '87 07'}`;
      const answers = await both([2n, 4n].map((value) => ({ code: xchg, registers: [...registers, [RAX, value]] })));
      expect([peek(address, bytes), ...answers.map((answer) => cut(answer[RAX]!))].sort()).toEqual([1n, 2n, 4n]);
      expectNeighbours(address, bytes);
    });

    test('CMPXCHG succeeds as often as it says', async () => {
      place(address, bytes);
      // mov eax, [rdi]; lea ecx, [rax+1]; cmpxchg [rdi], ecx; sete bl; movzx ebx, bl; add r8, rbx
      const load = `${size} ${byte ? '8a 07' : '8b 07'}`;
      const code = `${load} ${size === '48' ? '48 ' : ''}8d 48 01 ${prefix}${byte ? '0f b0 0f' : '0f b1 0f'} 0f 94 c3 0f b6 db 49 01 d8`;
      const answers = await both([0, 1].map(() => ({ code, registers: [...registers, [R8, 0n]] })));
      expect(peek(address, bytes)).toBe(cut(answers[0]![R8]! + answers[1]![R8]!));
      expect(answers[0]![R8]! + answers[1]![R8]!).toBeGreaterThan(BigInt(COUNT));
      expectNeighbours(address, bytes);
    });
  });
});

test('one byte of what another access splits: a count in each half', async () => {
  const address = LINEAR + 0x107e;
  place(address, 4);
  // inc dword [rdi] and inc word [rdi+2], which is aligned
  await both([{ code: 'f0 ff 07', registers: [[RDI, BigInt(address)]] }, { code: '66 f0 ff 47 02', registers: [[RDI, BigInt(address)]] }]);
  expect(peek(address, 4)).toBe(BigInt.asUintN(32, BigInt(COUNT) + (BigInt(COUNT) << 16n)));
  expectNeighbours(address, 4);
});

test.each([['CMPXCHG8B', 'f0 0f c7 0f', 8, 0x1064], ['CMPXCHG8B', 'f0 0f c7 0f', 8, 0x1ffc], ['CMPXCHG16B', 'f0 48 0f c7 0f', 16, 0x1070]] as const)('%s: %s, halves change together', async (_, exchange, bytes, offset) => {
  const address = LINEAR + offset;
  const half = bytes / 2;
  place(address, bytes);
  const w = half === 8 ? '48 ' : '';
  // mov eax, [rdi]; mov edx, [rdi+half]; lea ebx, [rax+1]; lea ecx, [rdx+1]; cmpxchg; sete bl; movzx ebx, bl; add r8, rbx; xor eax, edx; or r9, rax
  const code = `${w}8b 07 ${w}8b 57 0${half} ${w}8d 58 01 ${w}8d 4a 01 ${exchange} 0f 94 c3 0f b6 db 49 01 d8 48 31 d0 49 09 c1`;
  const answers = await both([0, 1].map(() => ({ code, registers: [[RDI, BigInt(address)], [R8, 0n], [9, 0n]] })));
  const successes = answers[0]![R8]! + answers[1]![R8]!;
  expect([peek(address, half), peek(address + half, half)]).toEqual([successes, successes]);
  expect(answers.map((answer) => answer[9])).toEqual([0n, 0n]);
  expect(successes).toBeGreaterThan(BigInt(COUNT));
  expectNeighbours(address, bytes);
});

// SDM 3A, 9.1.2.1. One processor loads FS again and again; the other clears the accessed bit and changes another bit of the same byte.
test('a segment load marks the descriptor accessed and touches nothing else', async () => {
  poke(GDT + 8, 8, 0x00cf92000000ffffn);
  // btr qword [rdi], 40; btr qword [rdi], 41 (writable); adc r8, 0; bts qword [rdi], 41; adc r9, 0
  const code = 'f0 48 0f ba 37 28 f0 48 0f ba 37 29 49 83 d0 00 f0 48 0f ba 2f 29 49 83 d1 00';
  const [, counts] = await both([{ code: '8e e0', registers: [[RAX, 8n]] }, { code, registers: [[RDI, BigInt(GDT + 8)], [R8, 0n], [9, 0n]] }]);
  expect([counts![R8], counts![9]]).toEqual([BigInt(COUNT), 0n]);
  expect(peek(GDT + 8, 8) & ~(1n << 40n)).toBe(0x00cf92000000ffffn);
});
