import { expect, test } from 'vitest';
import type { RunningEngine } from '../../src/machine/engines.ts';
import { Random } from '../../fuzz/cpu/random.ts';
import { kvmIsMissing } from '../support/kvm.ts';
import { PAGES_BESIDES, bytes32, runToEnd, userGuest } from '../support/user-guest.ts';

const FIRST = 0x20;
const COUNT = 24;
/** Longer than a slice, so that the hybrid engine runs it directly. */
const TURNS = 300_000;
const engines: readonly RunningEngine[] = kvmIsMissing() ? ['interpreter', 'translator'] : ['interpreter', 'translator', 'hybrid', 'kvm'];

/** Writes into the last of `COUNT` pages behind FIRST, computes, and so on to the first; each time the kernel is entered. */
const user = ((): number[] => {
  const page = [
    0x44, 0x89, 0xf8, 0xc1, 0xe0, 12, 0x4c, 0x01, 0xb8, ...bytes32(FIRST << 12), // mov eax,r15d; shl eax,12; add [rax+FIRST*4096],r15
    0xb9, ...bytes32(TURNS), 0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x0b, // mov ecx,TURNS; dec ecx; jnz; ud2
  ];
  return [0x41, 0xbf, ...bytes32(COUNT), ...page, 0x41, 0xff, 0xcf, 0x75, 256 - page.length - 5, 0xb8, ...bytes32(0x1234), 0x0f, 0x0b]; // mov r15d,COUNT; (page); dec r15d; jnz; mov eax,1234h; ud2
})();
const pages = Array.from({ length: COUNT }, (_, i) => FIRST + 1 + i);
const ofTheGuest = (written: readonly number[]): number[] => written.filter((page) => !PAGES_BESIDES.includes(page));

test.each(engines)('pages that a guest or a device has written are known: %s', (engine) => {
  const { vcpu, memory, begin } = userGuest(user, engine);
  memory.logWrites(true);
  expect(memory.takeWritten()).toEqual([]);
  for (let round = 0; round < 2; round++) {
    runToEnd(vcpu, () => 1e6, () => {});
    const written = memory.takeWritten();
    expect(ofTheGuest(written)).toEqual(pages);
    // The kernel's stack.
    expect(written).toContain(9);
    expect(memory.takeWritten()).toEqual([]);
    memory.write(0x50ff0, new Uint8Array(32));
    memory.writeU32(0x60000, 1);
    const at = memory.place(0x61000, 0x2000)!;
    memory.storage.fill(1, at, at + 0x2000);
    memory.wrote(0x61000, 0x2000);
    expect(memory.takeWritten()).toEqual([0x50, 0x51, 0x60, 0x61, 0x62]);
    begin();
  }
  if (engine === 'hybrid') expect(vcpu.engines!.usage()[engine]!.exits['visits']).toBeGreaterThan(COUNT / 2);
  memory.logWrites(false);
  runToEnd(vcpu, () => 1e6, () => {});
  expect(() => memory.takeWritten()).toThrow('no log of writes is kept');
  memory.logWrites(true);
  expect(memory.takeWritten()).toEqual([]);
  vcpu.close!();
}, 60_000);

test('a copy that is brought up to date by the log alone stays equal while engines change at random', () => {
  const { vcpu, memory, begin } = userGuest(user, 'interpreter');
  const random = new Random(7, 0);
  memory.logWrites(true);
  const copy = memory.view(0, memory.bytes).slice();
  let taken = 0;
  const update = (): void => {
    for (const page of memory.takeWritten()) {
      copy.set(memory.view(page << 12, 4096), page << 12);
      taken++;
    }
    expect(Buffer.compare(copy, memory.view(0, memory.bytes))).toBe(0);
  };
  for (let round = 0; round < 3; round++) {
    runToEnd(vcpu, () => 2000 + random.below(200_000), () => {
      if (random.below(3) > 0) update();
      vcpu.engines!.switchTo(engines[random.below(engines.length)]!);
      if (random.below(3) === 0) memory.write(0x70000 + 4096 * random.below(32), Uint8Array.of(random.below(256)));
    });
    update();
    begin();
  }
  expect(vcpu.engines!.switches.count).toBeGreaterThan(10);
  // Not by copying everything.
  expect(taken).toBeGreaterThan(3 * COUNT);
  expect(taken).toBeLessThan(vcpu.engines!.switches.count * 40);
  vcpu.close!();
}, 60_000);
