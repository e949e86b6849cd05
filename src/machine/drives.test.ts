import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { parseDisk } from './drives.ts';

describe('disk', () => {
  it.each([
    ['disk.img', { file: 'disk.img' }],
    ['disk.img,if=virtio,readonly', { file: 'disk.img', interface: 'virtio', readOnly: true }],
    ['a,,b.img,if=ide', { file: 'a,b.img', interface: 'ide' }],
    ['odd,,', { file: 'odd,' }],
  ])('%s', (text, request) => expect(parseDisk(text)).toEqual(request));

  it.each([
    ['', 'names no file'], [',readonly', 'names no file'], ['a,if=scsi', '"scsi" is unknown; give one of ide'], ['a,', '"" is not understood'], ['a,ro', '"ro" is not understood'],
  ])('refuses "%s"', (text, why) => {
    expect(() => parseDisk(text)).toThrow(UserError);
    expect(() => parseDisk(text)).toThrow(why);
  });
});
