import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { Vga, vgaFunction } from './vga.ts';

const BYTES = 1 << 20;

function make() {
  const time = { now: 0 };
  const storage = new Uint8Array(BYTES);
  const vga = new Vga(storage, { now: () => time.now });
  const out = (port: number, value: number) => vga.ports.write(port - 0x3b0, 1, value);
  const inp = (port: number) => vga.ports.read(port - 0x3b0, 1);
  const indexed = (port: number, index: number, value: number) => {
    out(port, index);
    out(port + 1, value);
  };
  const attribute = (index: number, value: number) => {
    inp(0x3da);
    out(0x3c0, index);
    out(0x3c0, value);
  };
  const dispi = (index: number, value: number) => {
    vga.dispiPorts.write(0, 2, index);
    vga.dispiPorts.write(1, 2, value);
  };
  const poke = (address: number, value: number) => vga.window.write(address - 0xa0000, 1, value);
  const peek = (address: number) => vga.window.read(address - 0xa0000, 1);
  const pixel = (x: number, y: number) => {
    const { width, pixels } = vga.picture();
    return [...pixels.subarray((y * width + x) * 4, (y * width + x) * 4 + 3)];
  };
  return { time, storage, vga, out, inp, indexed, attribute, dispi, poke, peek, pixel };
}
type Made = ReturnType<typeof make>;

/** Mode 3: registers as the IBM reference's table gives them, where they matter here. */
function textMode({ out, indexed, attribute }: Made): void {
  out(0x3c2, 0x67);
  [3, 0, 3, 0, 2].forEach((value, i) => indexed(0x3c4, i, value));
  [0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff].forEach((value, i) => indexed(0x3ce, i, value));
  [0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff].forEach((value, i) => indexed(0x3d4, i, value));
  for (let i = 0; i < 16; i++) attribute(i, i);
  [[0x10, 0x0c], [0x12, 0x0f], [0x13, 8], [0x14, 0]].forEach(([index, value]) => attribute(index!, value!));
  out(0x3c8, 0);
  for (let i = 0; i < 16; i++) for (const level of [i * 4, i, 63 - i]) out(0x3c9, level);
  out(0x3c0, 0x20);
}

describe('registers', () => {
  it('the attribute controller takes index and value in turn, beginning anew after a read of the status', () => {
    const { out, inp, attribute } = make();
    out(0x3c2, 1);
    attribute(5, 0x2a);
    inp(0x3da);
    out(0x3c0, 5);
    expect([inp(0x3c0), inp(0x3c1)]).toEqual([5, 0x2a]);
    inp(0x3da);
    out(0x3c0, 0x25);
    expect(inp(0x3c1)).toBe(0x2a);
  });

  it('the palette is written and read by threes', () => {
    const { out, inp } = make();
    out(0x3c8, 7);
    for (const level of [1, 2, 0xff, 4]) out(0x3c9, level);
    out(0x3c7, 7);
    expect([inp(0x3c7), inp(0x3c9), inp(0x3c9), inp(0x3c9), inp(0x3c9), inp(0x3c8)]).toEqual([3, 1, 2, 0x3f, 4, 8]);
  });

  it('protects the timing registers but for the line compare', () => {
    const { out, inp, indexed } = make();
    out(0x3c2, 1);
    indexed(0x3d4, 7, 0x02);
    indexed(0x3d4, 0x11, 0x80);
    indexed(0x3d4, 7, 0xff);
    indexed(0x3d4, 0, 0x55);
    out(0x3d4, 7);
    expect(inp(0x3d5)).toBe(0x12);
    out(0x3d4, 0);
    expect(inp(0x3d5)).toBe(0);
    expect(inp(0x3b5)).toBe(0xff);
  });

  it('the beam goes down the screen', () => {
    const { time, out, inp } = make();
    out(0x3c2, 1);
    const seen = new Set<number>();
    for (; time.now < 2e7; time.now += 4000) seen.add(inp(0x3da));
    expect([...seen].sort()).toEqual([0, 1, 9]);
  });
});

describe('planes', () => {
  const planar = (made: Made) => {
    made.indexed(0x3c4, 2, 15);
    made.indexed(0x3c4, 4, 6);
    made.indexed(0x3ce, 6, 5);
    made.indexed(0x3ce, 8, 0xff);
  };

  it('write mode 0: rotation, set/reset, bit mask and functions', () => {
    const made = make();
    const { indexed, poke, peek, storage } = made;
    planar(made);
    poke(0xa0000, 0x81);
    expect([...storage.subarray(0, 4)]).toEqual([0x81, 0x81, 0x81, 0x81]);
    indexed(0x3c4, 2, 5);
    indexed(0x3ce, 3, 1);
    poke(0xa0001, 0x01);
    expect([...storage.subarray(4, 8)]).toEqual([0x80, 0, 0x80, 0]);
    indexed(0x3c4, 2, 15);
    indexed(0x3ce, 3, 0x18); // exclusive or
    indexed(0x3ce, 0, 2);
    indexed(0x3ce, 1, 3); // planes 0 and 1 from set/reset
    indexed(0x3ce, 8, 0xf0);
    peek(0xa0000);
    poke(0xa0000, 0xff);
    expect([...storage.subarray(0, 4)]).toEqual([0x81, 0x71, 0x71, 0x71]);
  });

  it('write modes 1, 2 and 3, read modes 0 and 1', () => {
    const made = make();
    const { indexed, poke, peek, storage } = made;
    planar(made);
    storage.set([1, 2, 3, 4], 0);
    indexed(0x3ce, 5, 1);
    peek(0xa0000);
    poke(0xa0001, 0xff);
    expect([...storage.subarray(4, 8)]).toEqual([1, 2, 3, 4]);
    indexed(0x3ce, 5, 2);
    poke(0xa0002, 0x09);
    expect([...storage.subarray(8, 12)]).toEqual([0xff, 0, 0, 0xff]);
    indexed(0x3ce, 5, 3);
    indexed(0x3ce, 0, 4);
    peek(0xa0000);
    poke(0xa0003, 0x0f);
    expect([...storage.subarray(12, 16)]).toEqual([0, 0, 0x0f, 0]);
    indexed(0x3ce, 5, 0);
    indexed(0x3ce, 4, 2);
    expect(peek(0xa0003)).toBe(0x0f);
    indexed(0x3ce, 5, 8);
    indexed(0x3ce, 2, 4);
    indexed(0x3ce, 7, 15);
    expect(peek(0xa0003)).toBe(0x0f);
    indexed(0x3ce, 7, 11);
    expect(peek(0xa0003)).toBe(0xff);
  });

  it('nothing is outside of the window', () => {
    const made = make();
    planar(made);
    made.poke(0xb8000, 5);
    expect([made.peek(0xb8000), made.peek(0xa0000)]).toEqual([0xff, 0]);
  });
});

describe('text', () => {
  it('shows characters, attributes and the cursor, at 9 dots', () => {
    const made = make();
    const { poke, indexed, storage, vga, pixel } = made;
    textMode(made);
    [...'Hi'].forEach((letter, i) => {
      poke(0xb8000 + 2 * (80 + i), letter.charCodeAt(0));
      poke(0xb8001 + 2 * (80 + i), 0x1e);
    });
    indexed(0x3d4, 0x0f, 82);
    const text = vga.text()!;
    expect([text.columns, text.rows, text.cursor, text.cells[80], text.cells[81]]).toEqual([80, 25, 82, 0x1e48, 0x1e69]);
    expect(text.colours[14]).toBe(0xe338c7);
    for (let y = 0; y < 16; y++) storage[('H'.charCodeAt(0) * 32 + y) * 4 + 2] = 0x80;
    const { width, height } = vga.picture();
    expect([width, height]).toEqual([720, 400]);
    expect([pixel(0, 16), pixel(1, 16), pixel(8, 31)]).toEqual([[0xe3, 0x38, 0xc7], [0x10, 0x04, 0xfb], [0x10, 0x04, 0xfb]]);
    // The cursor's two lines are drawn in the cell's foreground.
    poke(0xb8001 + 2 * 82, 0x0f);
    expect([pixel(18, 28), pixel(18, 29)]).toEqual([[0, 0, 0xff], [0xf3, 0x3c, 0xc3]]);
  });
});

describe('graphics', () => {
  it('mode 13h: 256 colours, a byte a pixel', () => {
    const made = make();
    const { indexed, poke, pixel, vga, out } = made;
    textMode(made);
    indexed(0x3d4, 0x11, 0x0e);
    indexed(0x3d4, 9, 0x41);
    indexed(0x3d4, 0x14, 0x40);
    indexed(0x3c4, 2, 15);
    indexed(0x3c4, 4, 14);
    indexed(0x3ce, 5, 0x40);
    indexed(0x3ce, 6, 5);
    poke(0xa0000 + 320 * 199 + 319, 200);
    out(0x3c8, 200);
    for (const level of [63, 0, 21]) out(0x3c9, level);
    expect([vga.picture().width, vga.picture().height, pixel(319, 199), vga.text()]).toEqual([320, 200, [255, 0, 85], undefined]);
  });

  it('mode 12h: four planes', () => {
    const made = make();
    const { indexed, poke, pixel, vga } = made;
    textMode(made);
    indexed(0x3d4, 0x11, 0x0c);
    [[0x12, 0xdf], [7, 0x3e], [9, 0x40], [0x17, 0xe3]].forEach(([index, value]) => indexed(0x3d4, index!, value!));
    indexed(0x3c4, 2, 5);
    indexed(0x3c4, 4, 6);
    indexed(0x3ce, 5, 0);
    indexed(0x3ce, 6, 5);
    poke(0xa0000 + 80 * 479 + 79, 1);
    expect([vga.picture().width, vga.picture().height, pixel(639, 479)]).toEqual([640, 480, [5 * 16 | 1, 20, 0xeb]]);
  });

  it('the display interface: modes, banks and the linear frame buffer', () => {
    const made = make();
    const { dispi, poke, vga, storage, pixel } = made;
    vga.dispiPorts.write(0, 2, 0);
    expect(vga.dispiPorts.read(1, 2)).toBe(0xb0c5);
    storage.fill(7);
    dispi(1, 320);
    dispi(2, 200);
    dispi(3, 32);
    dispi(4, 0x41);
    expect([storage[320 * 200 * 4 - 1], storage[320 * 200 * 4]]).toEqual([0, 7]);
    dispi(5, 3);
    poke(0xa0000 + 320 * 4 * 160 - 3 * 65536 + 2, 0xab);
    expect(pixel(0, 160)).toEqual([0xab, 0, 0]);
    vga.frameBuffer.write(0, 4, 0x00112233);
    expect(pixel(0, 0)).toEqual([0x11, 0x22, 0x33]);
    dispi(6, 640);
    dispi(9, 1);
    vga.frameBuffer.write(640 * 4, 4, 0x00445566);
    expect(pixel(0, 0)).toEqual([0x44, 0x55, 0x66]);
    expect(vga.mmio.read(0x500 + 2 * 7, 2)).toBe(Math.floor(BYTES / 2560));
    // Nonsense is no harm: a picture beyond memory is black.
    dispi(9, 0xffff);
    expect(pixel(0, 0)).toEqual([0, 0, 0]);
    dispi(4, 0);
    for (const [depth, bytes, colour] of [[16, [0x1f, 0xf8], [255, 0, 255]], [15, [0xe0, 0x03], [0, 255, 0]], [24, [1, 2, 3], [3, 2, 1]]] as const) {
      dispi(3, depth);
      dispi(4, 0x41);
      storage.set(bytes);
      expect(pixel(0, 0)).toEqual(colour);
      dispi(4, 0);
    }
  });
});

it('saves and loads to the bit', () => {
  const made = make();
  textMode(made);
  made.poke(0xb8000, 0x41);
  made.peek(0xb8000);
  made.dispi(1, 640);
  made.dispi(2, 480);
  made.dispi(4, 0x61);
  const other = make();
  other.storage[900_000] = 1;
  other.vga.load(made.vga.save(), 1);
  expect(isDeepStrictEqual(other.vga.save(), made.vga.save())).toBe(true);
  expect(Buffer.from(other.storage).equals(made.storage)).toBe(true);
  expect(() => other.vga.load({ ...(made.vga.save() as object), memory: new Uint8Array(BYTES + 1) }, 1)).toThrow(StateError);
});

it('is a PCI function with frame buffer, registers and option ROM', () => {
  const mapped: string[] = [];
  const pci = new PciBus((change) => mapped.push(`${change.kind} ${change.block.name} ${change.base.toString(16)}`));
  const { vga } = make();
  pci.add(2, 0, vgaFunction(vga, { name: 'rom', length: 0x10000, read: () => 0, write: () => {} }));
  const write = (offset: number, value: number) => pci.writeConfig(0, 2, 0, offset, 4, value);
  write(0x10, 0xffffffff);
  write(0x30, 0xffffffff);
  expect([pci.readConfig(0, 2, 0, 0x10, 4), pci.readConfig(0, 2, 0, 0x30, 4)]).toEqual([0xfff00008, 0xffff0001]);
  write(0x10, 0xe0000000);
  write(0x30, 0xe2000000);
  write(0x04, 7);
  write(0x30, 0xe2000001);
  expect(mapped).toEqual(['map vga-memory e0000000', 'map rom e2000000']);
});
