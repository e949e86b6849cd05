import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { checkEngine, checkMemory, checkTimeout, parseMemorySize, parsePort } from './configuration.ts';
import { parseTraceKinds } from './trace.ts';

const MIB = 1 << 20;

describe('memory size', () => {
  it.each([
    ['512M', 512 * MIB], ['1G', 1024 * MIB], ['1g', 1024 * MIB], ['64MiB', 64 * MIB], ['64MB', 64 * MIB], ['65536K', 64 * MIB], ['67108864', 64 * MIB], [' 8M ', 8 * MIB], ['3967M', 3967 * MIB],
  ])('%s', (text, bytes) => expect(parseMemorySize(text)).toBe(bytes));

  it.each([
    ['', 'not understood'], ['lots', 'not understood'], ['-1M', 'not understood'], ['1.5G', 'not understood'], ['512B', 'not understood'], ['12T', 'not understood'], ['0', 'too small'],
    ['7M', 'too small'], ['3968M', 'too large'], ['99999999999999999999G', 'too large'], ['8388609', 'no multiple of 4 KiB'],
  ])('refuses "%s" and says what would be right', (text, why) => {
    expect(() => parseMemorySize(text)).toThrow(UserError);
    expect(() => parseMemorySize(text)).toThrow(why);
    expect(() => parseMemorySize(text)).toThrow('give 8M to 3967M');
  });

  it('refuses numbers that are no number of bytes', () => {
    for (const bytes of [Number.NaN, -4096, 8 * MIB + 0.5, Number.POSITIVE_INFINITY]) expect(() => checkMemory(bytes)).toThrow(UserError);
  });
});

describe('the other options', () => {
  it('takes the engines there are', () => {
    expect(checkEngine('auto')).toBe('auto');
    for (const name of ['interpreter', 'translator', 'hybrid', 'kvm']) expect(checkEngine(name)).toBe(name);
    expect(() => checkEngine('qemu')).toThrow('give one of auto, interpreter');
  });
  it('takes ports in decimal and hexadecimal', () => {
    expect(parsePort('0xf4')).toBe(0xf4);
    expect(parsePort('1281')).toBe(1281);
    for (const text of ['', 'f4', '-1', '0x10000', '1e3', '0b1']) expect(() => parsePort(text)).toThrow('no I/O port');
  });
  it('takes times that a timer can wait', () => {
    expect(checkTimeout(0.5)).toBe(0.5);
    for (const seconds of [0, -1, Number.NaN, 2_147_484, Number.POSITIVE_INFINITY]) expect(() => checkTimeout(seconds)).toThrow('no time');
  });
  it('takes kinds of trace, and lists them otherwise', () => {
    expect(parseTraceKinds('port, mmio')).toEqual(['port', 'mmio']);
    expect(parseTraceKinds('all')).toContain('exception');
    expect(() => parseTraceKinds('port,prot')).toThrow('trace kind "prot" is unknown; give one or more of port, mmio, interrupt, exception, machine');
    expect(() => parseTraceKinds('')).toThrow(UserError);
  });
});
