import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import type { AccessSize } from '../../src/base/addresses.ts';
import type { Vcpu } from '../../src/cpu/vcpu.ts';
import { FramePort, OWN_MAC } from '../../src/devices/network/frame-port.test-support.ts';
import { MemoryFolder } from '../../src/devices/sharing/memory-folder.test-support.ts';
import { MemoryDisk, settled } from '../../src/devices/storage/memory-disk.test-support.ts';
import type { BoardOptions } from '../../src/machine/board.ts';
import { buildMicrovmBoard } from '../../src/machine/microvm/board.ts';
import { buildPcBoard } from '../../src/machine/pc/board.ts';
import type { SystemBus } from '../../src/wiring/system-bus.ts';
import { Random } from '../../fuzz/cpu/random.ts';

// Whole boards: a hostile guest writes anything to any register of any device, whose queues lie in memory that it fills with
// anything. Nothing throws, nothing hangs, and what the board is afterwards is stored and loaded equal.

const CASES = Number(process.env['POLYVISOR_CASES'] ?? 3);
const STEPS = 3000;
const MEMORY = 2 << 20;
const BARS = 0xf0000000;
const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;

function make(build: typeof buildPcBoard, drives: BoardOptions['drives'], extra: Partial<BoardOptions>) {
  let bus: SystemBus | undefined;
  let time = 0;
  const board = build({
    memoryBytes: MEMORY, debugExitPort: undefined, drives, nics: [{ model: 'virtio', mac: OWN_MAC, port: new FramePort() }], shares: [{ tag: 'tag', folder: new MemoryFolder() }], ports: [{ name: 'port', sink: { write: () => {} } }], firmware: undefined, rng: true, serial: { write: () => {} }, virtioConsole: { write: () => {} }, balloon: (pages) => void pages.fill(0),
    clock: { now: () => time }, wallClock: { now: () => 1.7e12 }, entropy: { fill: (bytes) => void bytes.fill(7) }, log: { warn: () => {}, tracing: () => false, trace: () => {} },
    createVcpu: (parts) => {
      bus = parts.bus;
      return { stateName: 'vcpu-0', stateVersion: 1, save: () => null, load: () => {}, setA20: () => {}, reset: () => {}, codeWritten: () => {}, memoryMapChanged: () => {} } as unknown as Vcpu;
    },
    events: { powerOff: () => {}, reset: () => {}, debugExit: () => {}, kick: () => {} },
    ...extra,
  });
  return { board, bus: bus!, pass: (ns: number) => (time += ns), time: () => time };
}

const disk = (sectors: number, readOnly = false) => new MemoryDisk(sectors * 512, readOnly);
const boards = {
  pc: () => make(buildPcBoard, [
    ...(['virtio', 'nvme', 'ahci', 'scsi', 'ide'] as const).map((name) => ({ kind: 'disk', interface: name, block: disk(64) }) as const),
    { kind: 'disk', interface: 'virtio', block: disk(64, true) }, { kind: 'cdrom', block: disk(64, true) }, { kind: 'floppy', block: new MemoryDisk(1474560) },
  ], { parallel: { write: () => {} } }),
  microvm: () => make(buildMicrovmBoard, [{ kind: 'disk', interface: 'virtio', block: disk(64) }, { kind: 'disk', interface: 'virtio', block: disk(64, true) }], {}),
};

/** Ports and windows with something behind them, more often than the rest; BARs are where `placeBars` puts them. */
const PORTS = [[0, 0x10], [0x20, 2], [0x40, 4], [0x60, 5], [0x70, 2], [0x80, 0x40], [0xc0, 0x32], [0x170, 8], [0x1f0, 8], [0x378, 3], [0x3f0, 0x10], [0x4d0, 2], [0x600, 0x40], [0xcf8, 8], [0xc000, 0x100]] as const;
const WINDOWS = [[0xfec00000, 0x60], [0xfee00000, 0x400], [0xfed00000, 0x180], [0xfeb00000, 0x5000], [0xe0000000, 0x20000]] as const;
const SLOTS = 12;
const BAR_BYTES = 0x10000;

/** As firmware does, so that the devices are there to be reached. */
function placeBars(bus: SystemBus): void {
  for (let slot = 1; slot < SLOTS; slot++) {
    for (let func = 0; func < 4; func++) {
      const config = (register: number, value: number): void => {
        bus.writePort(CONFIG_ADDRESS, 4, (0x80000000 + slot * 0x800 + func * 0x100 + register) >>> 0);
        bus.writePort(CONFIG_DATA, 4, value);
      };
      for (const bar of [0, 5]) config(0x10 + 4 * bar, BARS + slot * BAR_BYTES);
      if (slot === 1) config(0x20, 0xc000);
      config(4, 7);
    }
  }
}

const TELLING = [0, 1, 2, 3, 4, 7, 8, 0xf, 0x10, 0x20, 0x41, 0x80, 0xff, 0x100, 0x1000, 0x8000, 0xffff, 0x10000, 0x80000000, 0xffffffff] as const;

test.each(['pc', 'microvm'] as const)(`the devices of %s survive ${CASES} hostile guests`, async (name) => {
  let steps = 0;
  for (let seed = 1; seed <= CASES; seed++) {
    const random = new Random(seed, name === 'pc' ? 0 : 1);
    const below = (limit: number): number => random.below(limit);
    // Addresses of its own memory are likely: queues are found there.
    const value = (): number => [() => TELLING[below(TELLING.length)]!, () => below(MEMORY) & ~0xfff, () => below(0x7fffffff) * 2][below(3)]!();
    const t = boards[name]();
    const page = new Uint8Array(0x1000);
    for (let step = 0; step < STEPS; step++) {
      if (step % 500 === 0) placeBars(t.bus);
      if (step % 100 === 0) {
        for (let i = 0; i < page.length; i++) page[i] = below(4) === 0 ? below(256) : 0;
        t.board.memory.write(below(MEMORY / 0x1000) * 0x1000, page);
      }
      const size = [1, 2, 4, 4][below(4)] as AccessSize;
      const write = below(3) !== 0;
      if (below(2) === 0) {
        const [first, bytes] = below(16) === 0 ? [0, 0x10000] : PORTS[below(PORTS.length)]!;
        const port = first + below(bytes);
        if (write) t.bus.writePort(port, size, value());
        else t.bus.readPort(port, size);
      } else {
        const slot = below(SLOTS);
        const [first, bytes] = below(3) === 0 ? WINDOWS[below(WINDOWS.length)]! : [BARS + slot * BAR_BYTES, [0x40, 0x400, 0x1000, 0x8000][below(4)]!];
        const address = first + (below(bytes) & (below(4) === 0 ? ~0 : ~3));
        if (write) t.bus.writeMmio(address, size, value());
        else t.bus.readMmio(address, size);
      }
      if (below(16) === 0) t.board.timers.runDue(t.pass(below(2 ** 30)));
      if (below(64) === 0) await settled();
      if (below(1000) === 0) t.board.reset();
      steps++;
    }
    await settled();
    const state = t.board.save();
    const other = boards[name]();
    other.pass(t.time());
    other.board.load(state);
    const again = other.board.save();
    for (const part of Object.keys(state)) expect(isDeepStrictEqual(again[part], state[part]), `${part} of case ${seed}`).toBe(true);
    t.board.halt();
    other.board.halt();
  }
  expect(steps).toBe(CASES * STEPS);
}, 3_600_000);
