import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import type { AccessSize } from '../../src/base/addresses.ts';
import type { Plain, Stateful } from '../../src/base/plain.ts';
import { PcBus } from '../../src/buses/system-bus.ts';
import { Vga } from '../../src/devices/display/vga.ts';
import { FwCfg } from '../../src/devices/firmware/fw-cfg.ts';
import { Dma8237 } from '../../src/devices/legacy/dma-8237.ts';
import { Flash } from '../../src/devices/firmware/flash.ts';
import { ShadowMemory } from '../../src/devices/pci/shadow-memory.ts';
import { FloppyController } from '../../src/devices/storage/floppy/floppy-controller.ts';
import { PiixIde } from '../../src/devices/storage/ide/piix-ide.ts';
import { MemoryDisk, settled } from '../../src/devices/storage/memory-disk.test-support.ts';
import { Hpet } from '../../src/timers/hpet.ts';
import { TimerQueue } from '../../src/timers/timer-queue.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { random } from '../support/random.ts';

// Whatever a guest writes where: devices throw nothing, and what they are afterwards is stored and loaded equal.

const CASES = Number(process.env['POLYVISOR_CASES'] ?? 4);
const STEPS = 2000;

function machine() {
  const memory = new LinearMemory(2 << 20, 0x144000);
  const bus = new PcBus({ warn: () => {}, tracing: () => false, trace: () => {} });
  const line = { kind: 'level' as const, set: () => {} };
  const vga = new Vga(memory.allocate(1 << 20).data, { now: () => 12345 });
  const shadow = new ShadowMemory(memory, memory.allocate(0x20000));
  const ide = new PiixIde({
    memory, lines: [line, line],
    media: [{ kind: 'disk', block: new MemoryDisk(1 << 18), name: 'a' }, undefined, { kind: 'cdrom', block: new MemoryDisk(1 << 18, true) }, { kind: 'disk', block: new MemoryDisk(1 << 18, true), name: 'b' }],
  });
  const dma = new Dma8237(memory);
  const floppy = new FloppyController({ block: new MemoryDisk(1474560), line, dma: dma.channel(2) });
  const fwCfg = new FwCfg(memory, { items: new Map([[5, Uint8Array.of(1)]]), files: new Map([['file', new Uint8Array(300)]]) });
  bus.ports.map(0x3b0, vga.ports);
  bus.ports.map(0x1ce, vga.dispiPorts);
  bus.mmio.map(0xa0000, vga.window);
  bus.mmio.map(0xc0000, shadow);
  bus.mmio.map(0xe0000000, vga.mmio);
  bus.mmio.map(0xe1000000, vga.frameBuffer);
  for (const [channel, command, control] of [[ide.channels[0], 0x1f0, 0x3f6], [ide.channels[1], 0x170, 0x376]] as const) {
    bus.ports.map(command, channel.commandBlock);
    bus.ports.map(control, channel.controlBlock);
    bus.ports.map(command === 0x1f0 ? 0xc000 : 0xc008, channel.busMaster.registers);
  }
  bus.ports.map(0x00, dma.low);
  bus.ports.map(0x80, dma.pages);
  bus.ports.map(0xc0, dma.high);
  bus.ports.map(0x3f0, floppy.registers);
  bus.ports.map(0x3f7, floppy.changeRegister);
  bus.ports.map(0x510, fwCfg);
  const flashStorage = memory.allocate(0x4000);
  const flash: Flash = new Flash({
    data: flashStorage.data, changed: () => {},
    readsArray: (array) => memory.setWindows(flash, array ? [{ first: 0xffc00000, bytes: 0x4000, kind: 'rom', host: flashStorage.host }] : []),
  });
  const edge = { kind: 'edge' as const, pulse: () => {} };
  const timers = new TimerQueue();
  const hpet = new Hpet({ clock: { now: () => 12345 }, timers, legacy: [edge, edge], replaces: () => {}, inputs: () => ({ level: line, edge }), messages: { send: () => {} } });
  bus.mmio.map(0xffc00000, flash);
  bus.mmio.map(0xfed00000, hpet);
  const parts: readonly Stateful[] = [vga, ide, dma, floppy, fwCfg, flash, hpet];
  return { memory, bus, vga, shadow, timers, parts };
}

const PORTS = [[0x3b0, 0x30], [0x1ce, 4], [0x1f0, 8], [0x170, 8], [0x3f6, 1], [0x376, 1], [0xc000, 16], [0, 16], [0x80, 16], [0xc0, 32], [0x3f0, 6], [0x3f7, 1], [0x510, 12]] as const;
const ADDRESSES = [[0xa0000, 0x20000], [0xc0000, 0x40000], [0xe0000000, 0x1000], [0xe1000000, 1 << 20], [0xffc00000, 0x4000], [0xfed00000, 0x180]] as const;
/** Values that mean something somewhere: commands, lengths, addresses in memory. */
const TELLING = [0, 1, 2, 4, 8, 0x14, 0x1c, 0x20, 0x25, 0x35, 0x41, 0x46, 0x4a, 0x90, 0xa0, 0xc5, 0xc8, 0xca, 0xd0, 0xe0, 0xe8, 0xec, 0xe6, 0xff, 0x100, 0x8000, 0xffff, 0x10000] as const;

test(`devices of the PC survive ${CASES} hostile guests`, async () => {
  let done = 0;
  for (let seed = 1; seed <= CASES; seed++) {
    const below = random(seed);
    const value = (): number => (below(2) === 0 ? TELLING[below(TELLING.length)]! : below(0x7fffffff) * 2);
    const { memory, bus, vga, shadow, timers, parts } = machine();
    memory.write(0, Uint8Array.from({ length: 0x1000 }, () => below(256)));
    for (let step = 0; step < STEPS; step++) {
      const size = [1, 1, 2, 4][below(4)] as AccessSize;
      const ports = below(4) !== 0;
      const places = ports ? PORTS : ADDRESSES;
      const [first, length] = places[below(places.length)]!;
      const at = first + below(length);
      if (ports) {
        if (below(3) === 0) bus.readPort(at, size);
        else bus.writePort(at, size, value());
      } else if (below(3) === 0) bus.readMmio(at, size);
      else bus.writeMmio(at, size, value());
      if (below(16) === 0) timers.runDue(12345 + below(2 ** 30));
      if (below(64) === 0) await settled();
      if (below(512) === 0) shadow.apply(Uint8Array.from({ length: 7 }, () => below(256)));
    }
    const { width, height, pixels } = vga.picture();
    expect(pixels.length).toBe(width * height * 4);
    const text = vga.text();
    if (text !== undefined) expect(text.cells.length).toBe(text.columns * text.rows);
    await settled();
    const other = machine();
    for (const [i, part] of parts.entries()) {
      const state: Plain = part.save();
      other.parts[i]!.load(state, part.stateVersion);
      expect(isDeepStrictEqual(other.parts[i]!.save(), state), `${part.stateName} of case ${seed}`).toBe(true);
    }
    done++;
  }
  expect(done).toBe(CASES);
}, 300_000);
