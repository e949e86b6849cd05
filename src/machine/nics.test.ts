import { expect, it } from 'vitest';
import { parseMac, parseNet, parseNic, settleNics } from './nics.ts';

const random = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => i + 0xa0);

it('understands networks and cards', () => {
  expect(parseNet('tap:tap0')).toEqual({ tap: 'tap0' });
  expect(parseNet('hub:my.net-1')).toEqual({ hub: 'my.net-1' });
  expect(parseNet('none')).toBe('none');
  expect(parseNic('virtio')).toEqual({ model: 'virtio' });
  expect(parseNic('virtio,mac=52:54:00:AB:cd:ef')).toEqual({ model: 'virtio', mac: '52:54:00:AB:cd:ef' });
  expect([...parseMac('52:54:00:AB:cd:ef')]).toEqual([0x52, 0x54, 0, 0xab, 0xcd, 0xef]);
});

it.each([
  ['tap', /"tap" is not understood; give tap:NAME/], ['tap:', /has no name that can be/], ['tap:a/b', /has no name/], ['tap:0123456789abcdef', /at most 15/], ['hub:../x', /has no name/], ['hub:.x', /has no name/], ['bridge:x', /not understood/],
])('refuses the network %s', (text, message) => {
  expect(() => parseNet(text)).toThrow(message);
});

it.each([
  ['ne2000', /"ne2000" is unknown; give virtio, e1000/], ['virtio,ma=1', /"ma=1" is not understood/], ['virtio,mac=1:2', /no MAC address; give six bytes/], ['virtio,mac=53:54:00:00:00:01', /one of a group/], ['virtio,mac=00:00:00:00:00:00', /means "none"/],
  ['virtio,mac=52:54:00:00:00:01,mac=52:54:00:00:00:01', /not understood/],
])('refuses the card %s', (text, message) => {
  expect(() => parseNic(text)).toThrow(message);
});

it('brings networks and cards together in order', () => {
  const settle = (nets: readonly string[], nics: readonly string[]) => settleNics(nets.map(parseNet), nics.map(parseNic), random);
  expect(settle([], [])).toEqual([]);
  expect(settle(['none'], [])).toEqual([]);
  expect(settle(['hub:a'], [])).toEqual([{ model: 'virtio', mac: '52:54:00:a0:a1:a2', net: { hub: 'a' } }]);
  expect(settle([], ['virtio'])).toEqual([{ model: 'virtio', mac: '52:54:00:a0:a1:a2', net: 'none' }]);
  expect(settle(['none', 'tap:t'], ['virtio,mac=52:54:00:00:00:01', 'virtio,mac=52:54:00:00:00:02']).map(({ net }) => net)).toEqual(['none', { tap: 't' }]);
  expect(() => settle(['hub:a', 'hub:b'], ['virtio,mac=52:54:00:00:00:0A', 'virtio,mac=52:54:00:00:00:0a'])).toThrow(/two network cards have the MAC address 52:54:00:00:00:0a/);
  expect(() => settleNics([], Array.from({ length: 9 }, (_, i) => ({ mac: `52:54:00:00:00:0${i}` })), random)).toThrow(/9 network cards are too many/);
});
