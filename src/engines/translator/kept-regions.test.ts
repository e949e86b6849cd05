import { expect, test } from 'vitest';
import { loadEngineModules } from '../../host-node/engine-modules.ts';
import { KeptRegions } from './kept-regions.ts';
import type { KeptRegion, RegionShelf } from './kept-regions.ts';
import { RegionBuilder } from './region-builder.ts';
import type { BuildResult, RegionRequest } from './region-builder.ts';
import { loopRequest } from './region-request.test-support.ts';
import type { Callee } from './region.ts';

/** As a file would: what is taken is a copy of what was put. */
class Shelf implements RegionShelf {
  readonly #regions = new Map<number, KeptRegion[]>();
  puts = 0;
  taken = 0;
  take(key: number): KeptRegion[] {
    const found = structuredClone(this.#regions.get(key) ?? []);
    this.taken += found.length;
    return found.reverse();
  }
  put(key: number, region: KeptRegion): void {
    this.puts++;
    this.#regions.set(key, [...(this.#regions.get(key) ?? []), structuredClone(region)]);
  }
}

const { handlers } = loadEngineModules();

function build(shelf: Shelf, ...requests: RegionRequest[]): BuildResult {
  let result: BuildResult | undefined;
  new RegionBuilder(handlers, undefined, new KeptRegions(shelf)).build(requests, (made) => (result = made));
  return result!;
}

/** A page that begins with some code, all of which was executed from its beginning on. */
function codeRequest(code: readonly number[], change: Partial<RegionRequest> = {}): RegionRequest {
  const bytes = new Uint8Array(4096).fill(0xf4);
  bytes.set(code);
  return loopRequest({ bytes, ...change });
}

test('what was made once is not made again, in whatever page the code lies', () => {
  const shelf = new Shelf();
  const [first] = build(shelf, loopRequest()).modules;
  const [again] = build(shelf, loopRequest({ page: 9 })).modules;
  expect(shelf.puts).toBe(1);
  expect(again!.regions).toEqual(first!.regions.map((region) => ({ ...region, kept: true })));
  expect(again!.bytes).toBe(first!.bytes);
});

test('other code, other modes and other places in the page are something else', () => {
  const shelf = new Shelf();
  build(shelf, loopRequest());
  for (const other of [codeRequest([0xff, 0xc9, 0x75, 0xfc, 0xf4]), loopRequest({ long: false }), loopRequest({ long: false, flat: false }), codeRequest([0xf4, 0xff, 0xc8, 0x75, 0xfc, 0xf4], { offset: 1 })]) {
    const { puts } = shelf;
    build(shelf, other);
    expect(shelf.puts).toBe(puts + 1);
    build(shelf, other);
    expect(shelf.puts).toBe(puts + 1);
  }
});

test('bytes that are not part of the region do not count', () => {
  const shelf = new Shelf();
  build(shelf, loopRequest());
  const request = loopRequest();
  request.bytes.fill(0x90, 5);
  build(shelf, request);
  expect(shelf.puts).toBe(1);
});

test('constants that may be addresses of a kernel that lies elsewhere are the requester\'s own', () => {
  // mov rdi, sign-extended immediate; mov rax, [rbx*8 + displacement]; movabs rcx, address; add gs:[rip + distance], eax; hlt
  const code = (address: number, distance: number): number[] => {
    const four = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >>> 24) & 0xff];
    return [0x48, 0xc7, 0xc7, ...four(address), 0x48, 0x8b, 0x04, 0xdd, ...four(address + 64), 0x48, 0xb9, ...four(address + 128), 0xff, 0xff, 0xff, 0xff, 0x65, 0x01, 0x05, ...four(distance), 0xf4];
  };
  const shelf = new Shelf();
  const module = (result: BuildResult): number => result.modules[0]!.bytes;
  const first = module(build(shelf, codeRequest(code(0x81234560, 0x7edc0000))));
  expect(module(build(shelf, codeRequest(code(0x9fe34560, 0x601c0000))))).toBe(first);
  expect(shelf.puts).toBe(1);
  // What is no such address where it is translated is part of the translation.
  const other = new Shelf();
  for (const address of [0x01234560, 0x02234560]) build(other, codeRequest(code(address, 0x7edc0000)));
  expect(other.puts).toBe(2);
});

test('inlined functions have to be the same, too, and those of the requester are verified', () => {
  // call +0x1ffb (to 0x2000); dec eax; jnz to the call
  const caller = [0xe8, 0xfb, 0x1f, 0, 0, 0xff, 0xc8, 0x75, 0xf7, 0xf4];
  const executed = new Uint8Array(512);
  executed[0] = 0b100001;
  const callee = (bytes: readonly number[], change: Partial<Callee> = {}): Callee => ({ at: 0x2000, page: 3, offset: 0, record: 1000, bytes: Uint8Array.from(bytes), executed: [0], ...change });
  const request = (own: readonly Callee[]): RegionRequest => codeRequest(caller, { executed, callees: own });
  const shelf = new Shelf();
  build(shelf, request([callee([0xff, 0xc1, 0xc3])]));
  const found = build(shelf, request([callee([0xff, 0xc1, 0xc3], { page: 5, record: 2000 })]));
  expect(shelf.puts).toBe(1);
  expect(found.modules[0]!.regions[0]!.inlined).toMatchObject([{ callee: { page: 5, record: 2000 } }]);
  build(shelf, request([callee([0xff, 0xc9, 0xc3])]));
  expect(shelf.puts).toBe(2);
  build(shelf, request([]));
  expect(shelf.puts).toBe(3);
});

test('who knows more of where indirect calls go has a region that knows it, too', () => {
  // call rax; dec ecx; jnz to the call; the second function is called from elsewhere
  const executed = new Uint8Array(512);
  executed[0] = 0b101;
  const request = (...targets: number[]): RegionRequest => codeRequest([0xff, 0xd0, 0xff, 0xc9, 0x75, 0xfa, 0xf4], { executed, guesses: new Map([[2, targets], [900, [64]]]) });
  const shelf = new Shelf();
  const puts = [[], [0x2000], [], [0x2000], [0x2000, 0x3000], [0x3000]].map((targets) => {
    build(shelf, request(...targets));
    return shelf.puts;
  });
  expect(puts).toEqual([1, 2, 2, 2, 3, 3]);
});

test('a block that is part of a region that was found needs none of its own', () => {
  // dec eax; jz to the jnz; dec ecx; jnz to the beginning
  const executed = new Uint8Array(512);
  executed[0] = 0b1010001;
  const request = (offset: number): RegionRequest => codeRequest([0xff, 0xc8, 0x74, 0x02, 0xff, 0xc9, 0x75, 0xf8, 0xf4], { executed, offset });
  const shelf = new Shelf();
  build(shelf, request(0));
  const { covered, modules } = build(shelf, request(4), request(0));
  expect(covered).toEqual([0]);
  expect(modules[0]!.regions.map((region) => region.request)).toEqual([1]);
  expect(shelf.puts).toBe(1);
});

test('guest code made to look like other code is compared a few times only', () => {
  const shelf = new Shelf();
  const similar = (k: number): RegionRequest => codeRequest([...new Array<number>(16).fill(0x90), 0xb0, k, 0xff, 0xc8, 0x75, 0xea, 0xf4]);
  for (let k = 0; k < 40; k++) build(shelf, similar(k));
  expect(shelf.puts).toBe(40);
  let compared = 0;
  new KeptRegions({ put: () => undefined, * take(key) {
    for (const region of shelf.take(key)) {
      compared++;
      yield region;
    }
  } }).find(similar(200));
  expect(compared).toBe(8);
});

test('regions with a profile\'s counters are made each time', () => {
  const shelf = new Shelf();
  build(shelf, loopRequest({ counters: 4096 }));
  build(shelf, loopRequest({ counters: 4096 }));
  expect(shelf.puts).toBe(0);
});
