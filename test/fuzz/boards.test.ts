import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Vcpu } from '../../src/cpu/vcpu.ts';
import { FramePort, OWN_MAC } from '../../src/devices/network/frame-port.test-support.ts';
import { MemoryFolder } from '../../src/devices/sharing/memory-folder.test-support.ts';
import { MemoryDisk, settled } from '../../src/devices/storage/memory-disk.test-support.ts';
import type { BoardOptions } from '../../src/machine/board.ts';
import { buildMicrovmBoard } from '../../src/machine/microvm/board.ts';
import { buildPcBoard } from '../../src/machine/pc/board.ts';
import type { SystemBus } from '../../src/wiring/system-bus.ts';
import { accessAnything, pick } from '../support/hostile-guest.ts';
import type { Places } from '../support/hostile-guest.ts';
import { random } from '../support/random.ts';
import type { Random } from '../support/random.ts';

// Whole boards: a hostile guest reads and writes anything in any width, at one device most of the time and at any other now and
// then; queues lie in memory that it fills with anything. Nothing throws, nothing hangs, and what the board is afterwards is
// stored and loaded equal. Queues that are set up well enough to get going are the matter of queues.test.ts.

/** POLYVISOR_CASES=1000 of the nightly set: a million operations for each device. */
const OPERATIONS = 1000 * Number(process.env['POLYVISOR_CASES'] ?? 2);
/** Of one board. */
const MOST_OPERATIONS = 10_000;
const MEMORY = 2 << 20;
const BARS = 0xf0000000;
const VIDEO_MEMORY = 0xd0000000;
const VIDEO_REGISTERS = 0xd8000000;
const ROM_BYTES = 0x10000;
const FLASH_BYTES = 0x4000;
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
  ], { nics: (['virtio', 'rtl8139'] as const).map((model) => ({ model, mac: OWN_MAC, port: new FramePort() })), parallel: { write: () => {} }, firmware: { firmware: new Uint8Array(ROM_BYTES), nvram: { contents: new Uint8Array(FLASH_BYTES) }, vgaBios: new Uint8Array(512) } }),
  microvm: () => make(buildMicrovmBoard, [{ kind: 'disk', interface: 'virtio', block: disk(64) }, { kind: 'disk', interface: 'virtio', block: disk(64, true) }], {}),
};
type BoardName = keyof typeof boards;

const CORE: Readonly<Record<string, Places>> = {
  'interrupt controllers': { ports: [[0x20, 2], [0xa0, 2], [0x4d0, 2]] },
  'the interval timer and the speaker': { ports: [[0x40, 4], [0x61, 1]] },
  'the clock': { ports: [[0x70, 2]] },
  'the serial port': { ports: [[0x3f8, 8]] },
  'the I/O APIC': { windows: [[0xfec00000, 0x60]] },
  'the local APIC': { windows: [[0xfee00000, 0x400]] },
};
const SLOTS = 14;
const BAR_BYTES = 0x10000;
/** Where `placeBars` puts the registers of PCI cards, of which most are at the start. */
const card = (slot: number): Places => ({ windows: [0x40, 0x400, 0x1000, 0x8000].map((bytes) => [BARS + slot * BAR_BYTES, bytes] as const) });

/** What may be hostile to which device; of PCI cards those that the board has, in order. */
const DEVICES: Readonly<Record<BoardName, Readonly<Record<string, Places>>>> = {
  pc: {
    ...CORE,
    'x87 errors': { ports: [[0xf0, 2]] },
    'keyboard and mouse': { ports: [[0x60, 1], [0x64, 1], [0x92, 1]] },
    'the printer': { ports: [[0x378, 3]] },
    'DMA controllers': { ports: [[0, 0x10], [0x80, 0x10], [0xc0, 0x20]] },
    'the floppy drive': { ports: [[0x3f0, 6], [0x3f0, 6], [0x3f7, 1], [0, 0x10], [0x80, 0x10]] },
    'IDE drives': { ports: [[0x1f0, 8], [0x170, 8], [0x3f6, 1], [0x376, 1], [0xc000, 0x10]] },
    'the display': { ports: [[0x3b0, 0x30], [0x1ce, 4]], windows: [[0xa0000, 0x20000], [VIDEO_MEMORY, 1 << 20], [VIDEO_REGISTERS, 0x1000]] },
    HPET: { windows: [[0xfed00000, 0x180]] },
    'power management': { ports: [[0x600, 0x40], [0xb2, 2]] },
    'PCI configuration': { ports: [[CONFIG_ADDRESS, 8]], windows: [[0xe0000000, 0x20000]] },
    'memory below the BIOS': { windows: [[0xc0000, 0x40000]] },
    'firmware configuration': { ports: [[0x510, 12], [0x402, 1]] },
    'flash memory': { windows: [[2 ** 32 - ROM_BYTES - FLASH_BYTES, FLASH_BYTES]] },
    ...Object.fromEntries(['virtio disk', 'NVMe', 'read-only virtio disk', 'AHCI', 'virtio SCSI', 'network card', 'entropy', 'balloon', 'virtio console', 'shared folder'].map((name, at) => [name, card(3 + at)])),
  },
  microvm: {
    ...CORE,
    ...Object.fromEntries(['disk', 'read-only disk', 'network card', 'entropy', 'console', 'balloon', 'shared folder'].map((name, at) => [`virtio-mmio ${name}`, { windows: [[0xfeb00000 + 0x1000 * at, 0x100], [0xfeb00000 + 0x1000 * at, 0x1000]] }])),
  },
};

/** As firmware does, so that the devices are there to be reached; what lies below the BIOS changes. */
function placeBars(bus: SystemBus, below: Random): void {
  const config = (slot: number, func: number, register: number, value: number): void => {
    bus.writePort(CONFIG_ADDRESS, 4, (0x80000000 + slot * 0x800 + func * 0x100 + register) >>> 0);
    bus.writePort(CONFIG_DATA, 4, value);
  };
  for (let slot = 3; slot < SLOTS; slot++) {
    for (const bar of [0, 5]) config(slot, 0, 0x10 + 4 * bar, BARS + slot * BAR_BYTES);
    config(slot, 0, 4, 7);
  }
  config(0, 0, 0x58, below(2 ** 31) * 2);
  config(0, 0, 0x5c, below(2 ** 31) * 2);
  for (const [func, register, value] of [[1, 0x20, 0xc000], [1, 4, 7], [3, 0x40, 0x601], [3, 0x80, 1], [3, 4, 7]] as const) config(1, func, register, value);
  for (const [register, value] of [[0x10, VIDEO_MEMORY], [0x18, VIDEO_REGISTERS], [4, 7]] as const) config(2, 0, register, value);
}

describe.each(['pc', 'microvm'] as const)(`${OPERATIONS} hostile operations of a guest on the board %s`, (name) => {
  const places = Object.values(DEVICES[name]);
  test.each(Object.keys(DEVICES[name]))('are survived by %s', async (device) => {
    const aim = DEVICES[name][device]!;
    let reached = 0;
    for (let left = OPERATIONS, seed = 1; left > 0; seed++) {
      const below = random(seed);
      const t = boards[name]();
      const page = new Uint8Array(0x1000);
      for (let step = 0; left > 0 && step < MOST_OPERATIONS; step++) {
        if (step % 500 === 0) placeBars(t.bus, below);
        if (step % 100 === 0) {
          for (let i = 0; i < page.length; i++) page[i] = below(4) === 0 ? below(256) : 0;
          t.board.memory.write(below(MEMORY / 0x1000) * 0x1000, page);
        }
        accessAnything(t.bus, aim, below, MEMORY);
        left--;
        reached++;
        if (below(4) === 0) accessAnything(t.bus, pick(below, places), below, MEMORY);
        if (below(16) === 0) t.board.timers.runDue(t.pass(below(2 ** 30)));
        if (below(64) === 0) await settled();
        if (below(1000) === 0) t.board.reset();
      }
      await settled();
      const { display } = t.board;
      if (display !== undefined) {
        const { width, height, pixels } = display.picture();
        expect(pixels.length).toBe(width * height * 4);
        const text = display.text();
        if (text !== undefined) expect(text.cells.length).toBe(text.columns * text.rows);
      }
      const state = t.board.save();
      const other = boards[name]();
      other.pass(t.time());
      other.board.load(state);
      const again = other.board.save();
      for (const part of Object.keys(state)) expect(isDeepStrictEqual(again[part], state[part]), `${part} of case ${seed}`).toBe(true);
      t.board.halt();
      other.board.halt();
    }
    expect(reached).toBe(OPERATIONS);
  }, 3_600_000);
});
