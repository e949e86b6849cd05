import { describe, expect, it } from 'vitest';
import { StateError } from '../../../base/errors.ts';
import { LinearMemory } from '../../../memory/linear-memory.ts';
import { Dma8237 } from '../../legacy/dma-8237.ts';
import { MemoryDisk, settled } from '../memory-disk.test-support.ts';
import { FloppyController } from './floppy-controller.ts';

const BYTES = 1474560;
const BUSY = 0x10;

function make(block: MemoryDisk | undefined = new MemoryDisk(BYTES)) {
  const memory = new LinearMemory(1 << 20);
  const dma = new Dma8237(memory);
  const irq = { high: false };
  const floppy = new FloppyController({ block, line: { kind: 'level', set: (high) => (irq.high = high) }, dma: dma.channel(2) });
  const out = (port: number, value: number) => floppy.registers.write(port, 1, value);
  const msr = () => floppy.registers.read(4, 1);
  const send = (...bytes: number[]) => {
    for (const byte of bytes) {
      expect(msr() & 0xc0).toBe(0x80);
      out(5, byte);
    }
  };
  const results = () => {
    const bytes: number[] = [];
    while ((msr() & 0xc0) === 0xc0) bytes.push(floppy.registers.read(5, 1));
    return bytes;
  };
  const setUpDma = (mode: number, address: number, bytes: number) => {
    for (const [port, value] of [[12, 0], [11, mode], [4, address], [4, address >> 8], [5, bytes - 1], [5, (bytes - 1) >> 8], [10, 2]] as const) dma.low.write(port, 1, value & 0xff);
    dma.pages.write(1, 1, address >> 16);
  };
  const read = (address: number, bytes: number) => {
    const data = new Uint8Array(bytes);
    memory.read(address, data);
    return Buffer.from(data);
  };
  const start = () => {
    out(2, 0x1c);
    floppy.changeRegister.write(0, 1, 0);
    for (let i = 0; i < 4; i++) {
      send(8);
      results();
    }
    send(3, 0xdf, 2);
    send(7, 0);
    send(8);
    results();
  };
  const seek = (cylinder: number) => {
    send(0x0f, 0, cylinder);
    send(8);
    expect(results()).toEqual([0x20, cylinder]);
  };
  return { block, memory, dma, irq, floppy, out, msr, send, results, setUpDma, read, start, seek };
}

describe('FloppyController', () => {
  it('tells four changes after a reset, then the end of a seek', () => {
    const { floppy, out, msr, send, results, irq, start } = make();
    expect(msr()).toBe(0);
    out(2, 0x0c);
    expect([msr(), irq.high]).toEqual([0x80, true]);
    const told: number[][] = [];
    for (let i = 0; i < 5; i++) {
      send(8);
      told.push(results());
    }
    expect(told).toEqual([[0xc0, 0], [0xc1, 0], [0xc2, 0], [0xc3, 0], [0x80]]);
    expect(irq.high).toBe(false);
    start();
    send(0x0f, 0, 40);
    expect(irq.high).toBe(true);
    send(8);
    expect([results(), irq.high]).toEqual([[0x20, 40], false]);
    expect(floppy.changeRegister.read(0, 1)).toBe(0);
    send(4, 0);
    expect(results()).toEqual([0x28]);
    send(7, 1); // there is no second drive
    send(8);
    expect(results()).toEqual([0x71, 40]);
  });

  it('interrupts only while DMAGATE of the digital output register is set', () => {
    const { out, irq } = make();
    out(2, 0x14);
    const seen = [irq.high];
    for (const value of [0x1c, 0x14, 0x1c]) {
      out(2, value);
      seen.push(irq.high);
    }
    expect(seen).toEqual([false, true, false, true]);
  });

  it('reads sectors over both heads until the DMA count ends', async () => {
    const { block, read, send, results, setUpDma, start, seek, msr, irq } = make();
    start();
    seek(3);
    setUpDma(0x46, 0x8000, 20 * 512);
    send(0xe6, 0, 3, 0, 17, 2, 18, 27, 0xff);
    expect([msr(), irq.high]).toEqual([BUSY, false]);
    await settled();
    expect(irq.high).toBe(true);
    expect(results()).toEqual([0, 0, 0, 4, 0, 1, 2]);
    expect(irq.high).toBe(false);
    const first = ((3 * 2) * 18 + 16) * 512;
    expect(read(0x8000, 20 * 512).equals(block!.contents.subarray(first, first + 20 * 512))).toBe(true);
    setUpDma(0x46, 0x8000, 512);
    send(0x66, 4, 3, 1, 18, 2, 18, 27, 0xff);
    await settled();
    expect(results()).toEqual([4, 0, 0, 4, 1, 1, 2]);
  });

  it('stops at the end of the track without a terminal count', async () => {
    const { send, results, setUpDma, start } = make();
    start();
    setUpDma(0x46, 0x8000, 4096);
    send(0x46, 0, 0, 0, 18, 2, 18, 27, 0xff);
    await settled();
    expect(results()).toEqual([0x40, 0x80, 0, 1, 0, 1, 2]);
  });

  it('writes and formats', async () => {
    const { block, memory, send, results, setUpDma, start, seek } = make();
    start();
    memory.write(0x8000, new Uint8Array(1024).fill(0xa5));
    setUpDma(0x4a, 0x8000, 1024);
    send(0xc5, 0, 0, 0, 2, 2, 18, 27, 0xff);
    await settled();
    expect(results()).toEqual([0, 0, 0, 0, 0, 4, 2]);
    expect(block!.contents.subarray(512, 1536).every((byte) => byte === 0xa5)).toBe(true);
    seek(79);
    setUpDma(0x4a, 0x8000, 72);
    send(0x4d, 4, 2, 18, 84, 0xf6);
    await settled();
    expect(results()[0]).toBe(4);
    expect(block!.contents.subarray(-18 * 512).every((byte) => byte === 0xf6)).toBe(true);
    expect(block!.contents.at(-18 * 512 - 1)).not.toBe(0xf6);
  });

  it('says what is wrong', async () => {
    const block = new MemoryDisk(BYTES, true);
    const { floppy, send, results, setUpDma, start } = make(block);
    start();
    const code = async (...command: number[]) => {
      setUpDma(command[0]! === 0x45 ? 0x4a : 0x46, 0x8000, 512);
      send(...command);
      await settled();
      return results().slice(0, 2);
    };
    expect(await code(0x45, 0, 0, 0, 1, 2, 18, 27, 0xff)).toEqual([0x40, 2]); // write-protected
    expect(await code(0x46, 0, 5, 0, 1, 2, 18, 27, 0xff)).toEqual([0x40, 4]); // another cylinder
    expect(await code(0x46, 0, 0, 0, 19, 2, 36, 27, 0xff)).toEqual([0x40, 4]);
    block.fail = true;
    expect(await code(0x46, 0, 0, 0, 1, 2, 18, 27, 0xff)).toEqual([0x40, 0x20]);
    floppy.changeRegister.write(0, 1, 2);
    send(0x4a, 0);
    expect(results().slice(0, 2)).toEqual([0x40, 1]);
    send(0x1f);
    expect(results()).toEqual([0x80]);
    send(0x10);
    expect(results()).toEqual([0x90]);
  });

  it('a reset ends what is under way', async () => {
    const { block, out, send, setUpDma, start, msr, read } = make();
    start();
    block!.hold();
    setUpDma(0x46, 0x8000, 512);
    send(0x46, 0, 0, 0, 1, 2, 18, 27, 0xff);
    out(2, 0x18);
    out(2, 0x1c);
    block!.release();
    await settled();
    expect(msr()).toBe(0x80);
    expect(read(0x8000, 4)).toEqual(Buffer.alloc(4));
  });

  it('shows another disk by the change line, until the head has moved; the transfer under way fails', async () => {
    const { block, floppy, send, setUpDma, start, seek, results, read } = make();
    start();
    expect(floppy.changeRegister.read(0, 1)).toBe(0);
    block!.hold();
    setUpDma(0x46, 0x8000, 512);
    send(0x46, 0, 0, 0, 1, 2, 18, 27, 0xff);
    const other = new MemoryDisk(737280);
    floppy.change(other);
    block!.release();
    await settled();
    expect(results().slice(0, 2)).toEqual([0x48, 0]);
    expect([floppy.changeRegister.read(0, 1), read(0x8000, 2).equals(Buffer.alloc(2))]).toEqual([0x80, true]);
    seek(1);
    expect(floppy.changeRegister.read(0, 1)).toBe(0);
    floppy.changeRegister.write(0, 1, 2); // 720 KB: half the rate
    setUpDma(0x46, 0x8000, 512);
    send(0x46, 0, 1, 0, 2, 2, 9, 27, 0xff);
    await settled();
    expect(results().slice(0, 2)).toEqual([0, 0]);
    expect(read(0x8000, 512).equals(other.contents.subarray(19 * 512, 20 * 512))).toBe(true);
    floppy.change(undefined);
    seek(2);
    expect(floppy.changeRegister.read(0, 1)).toBe(0x80);
  });

  it('saves and loads, in the middle of a transfer too', async () => {
    const { block, send, setUpDma, start, floppy, dma } = make();
    start();
    block!.hold();
    setUpDma(0x46, 0x8000, 512);
    send(0x46, 0, 0, 0, 2, 2, 18, 27, 0xff);
    const other = make();
    other.dma.load(dma.save(), 1);
    other.floppy.load(floppy.save(), 1);
    expect(other.floppy.save()).toEqual(floppy.save());
    await settled();
    expect(other.read(0x8000, 512).equals(other.block!.contents.subarray(512, 1024))).toBe(true);
    expect(other.results()).toEqual([0, 0, 0, 0, 0, 3, 2]);
    expect(() => other.floppy.load({ ...(floppy.save() as object), command: new Uint8Array(0) }, 1)).toThrow(StateError);
    expect(() => other.floppy.load({ ...(floppy.save() as object), offset: BYTES + 1 }, 1)).toThrow(StateError);
  });
});
