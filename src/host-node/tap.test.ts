import { userInfo } from 'node:os';
import { describe, expect, test } from 'vitest';
import { TapNetwork, noTap } from '../../test/support/tap-network.ts';
import { UserError } from '../base/errors.ts';
import { TapPort } from './tap.ts';

const log = { warn: () => {}, tracing: () => false, trace: () => {} };
const open = (name: string): TapPort => TapPort.open(name, log);

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
});
