import { closeSync, openSync } from 'node:fs';
import { userInfo } from 'node:os';
import { describe, expect, test } from 'vitest';
import { TapNetwork, noTap } from '../../test/support/tap-network.ts';
import { UserError } from '../base/errors.ts';
import { loadKoffi } from './koffi.ts';
import { TapPort } from './tap.ts';

const log = { warn: () => {}, tracing: () => false, trace: () => {} };
const open = (name: string): TapPort => TapPort.open(name, log);

/** Opens an interface and leaves it as QEMU does: with headers of 12 bytes, as drivers that merge buffers have them (linux/if_tun.h). */
function leaveLongHeaders(name: string): void {
  const ioctl = loadKoffi().load(null).func('int ioctl(int fd, unsigned long request, void *argument)');
  const fd = openSync('/dev/net/tun', 'r+');
  const request = Buffer.alloc(40);
  request.write(name, 'latin1');
  request.writeUInt16LE(0x5002, 16); // IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
  expect([ioctl(fd, 0x400454ca, request), ioctl(fd, 0x400454d8, new Uint8Array(Int32Array.of(12).buffer))]).toEqual([0, 0]); // TUNSETIFF, TUNSETVNETHDRSZ
  closeSync(fd);
}

describe.skipIf(process.platform !== 'linux')('TapPort', () => {
  test('says in a line what is wrong with an interface, and what would help', () => {
    expect(() => open('pv-nowhere')).toThrow(new UserError(`there is no network interface pv-nowhere; as root: ip tuntap add dev pv-nowhere mode tap user ${userInfo().username} && ip link set pv-nowhere up`));
    expect(() => open('a-name-too-long-for-linux')).toThrow('"a-name-too-long-for-linux" is too long for a network interface\'s name; give at most 15 letters');
  });

  test.skipIf(noTap !== undefined)(`takes a TAP that nobody else has, and no other interface${noTap === undefined ? '' : ` (SKIPPED: ${noTap})`}`, () => {
    const network = new TapNetwork();
    try {
      const port = open(network.tap);
      expect(() => open(network.tap)).toThrow(`the TAP interface ${network.tap} is in use by another machine or program; give each its own`);
      port.close();
      open(network.tap).close();
      expect(() => open('lo')).toThrow('the network interface lo is no TAP interface, or one of several queues');
    } finally {
      network.remove();
    }
  });

  test.skipIf(noTap !== undefined)(`reads frames as they are whatever another program has made of the interface${noTap === undefined ? '' : ` (SKIPPED: ${noTap})`}`, () => {
    const network = new TapNetwork();
    try {
      leaveLongHeaders(network.tap);
      const port = open(network.tap);
      network.enter();
      // Nobody answers, but the question arrives.
      expect(() => network.run('ping', '-c', '1', '-W', '1', '10.77.0.9')).toThrow('Command failed');
      const frames: string[] = [];
      for (let frame = port.receive(); frame !== undefined; frame = port.receive()) frames.push(Buffer.from(frame.bytes).toString('hex'));
      expect(frames.filter((frame) => /^f{12}.{12}0806/.test(frame)).length).toBeGreaterThan(0);
      port.close();
    } finally {
      network.remove();
    }
  });
});
