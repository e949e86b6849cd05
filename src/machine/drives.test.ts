import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { parseDisk } from './drives.ts';

describe('disk', () => {
  it.each([
    ['disk.img', { file: 'disk.img' }],
    ['disk.img,if=virtio,readonly', { file: 'disk.img', interface: 'virtio', readOnly: true }],
    ['a,,b.img,if=ide', { file: 'a,b.img', interface: 'ide' }],
    ['odd,,', { file: 'odd,' }],
    ['a.img,ram', { file: 'a.img', ram: true }],
    ['ram:64M,if=nvme', { ramBytes: 64 << 20, interface: 'nvme' }],
    ['mirror:a,b,,c,if=ahci', { layout: 'mirror', files: ['a', 'b,c'], interface: 'ahci' }],
    ['stripe:a,b,chunk=4K,c', { layout: 'stripe', files: ['a', 'b', 'c'], chunkBytes: 4096 }],
    ['concat:a,./ram,readonly', { layout: 'concat', files: ['a', './ram'], readOnly: true }],
    ['./mirror:a', { file: './mirror:a' }],
  ])('%s', (text, request) => expect(parseDisk(text)).toEqual(request));

  it.each([
    ['', 'names no file'], [',readonly', 'names no file'], ['a,if=sata', '"sata" is unknown; give one of ide'], ['a,', '"" is not understood'], ['a,ro', '"ro" is not understood'],
    ['mirror:a', 'made of one file only; give mirror:FILE,FILE'], ['mirror:,b', 'names no file'], ['ram:no', 'the size "no" does not do'], ['ram:100', '"100" does not do'],
    ['stripe:a,b,chunk=0', '"0" does not do'], ['a,chunk=4K', '"chunk=4K" is not understood'], ['ram:1M,ram', '"ram" is not understood'],
  ])('refuses "%s"', (text, why) => {
    expect(() => parseDisk(text)).toThrow(UserError);
    expect(() => parseDisk(text)).toThrow(why);
  });
});
