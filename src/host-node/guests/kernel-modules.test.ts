import { expect, it } from 'vitest';
import { isWantedModule, moduleEntries } from './kernel-modules.ts';

const ROOT = 'lib/modules/6.1.0-1-amd64';
const module = (path: string, info: string) => ({ path: `${ROOT}/kernel/${path}`, data: new TextEncoder().encode(`\x7fELF\0license=GPL\0${info}\0`) });

it('chooses drivers of what a machine may have', () => {
  expect([`${ROOT}/kernel/drivers/block/virtio_blk.ko`, `${ROOT}/kernel/drivers/block/loop.ko`, 'virtio_blk'].map(isWantedModule)).toEqual([true, false, false]);
});

it('lists dependencies, nearest first, and aliases as modprobe reads them', () => {
  const entries = moduleEntries([
    module('drivers/block/virtio_blk.ko', 'alias=virtio:d00000002v*\0depends=virtio,virtio_ring'),
    module('drivers/virtio/virtio.ko', 'depends='),
    module('drivers/virtio/virtio_ring.ko', 'depends=virtio'),
    module('drivers/char/virtio-rng.ko', 'alias=virtio:d00000004v*\0depends=virtio-ring'),
  ]);
  const text = (name: string): string => new TextDecoder().decode(entries.find((entry) => entry.path === `${ROOT}/${name}`)!.data);
  expect(text('modules.dep').split('\n')).toEqual([
    'kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko',
    'kernel/drivers/virtio/virtio.ko:',
    'kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko',
    'kernel/drivers/char/virtio-rng.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko',
    '',
  ]);
  expect(text('modules.alias')).toBe('alias virtio:d00000002v* virtio_blk\nalias virtio:d00000004v* virtio_rng\n');
  const folders = entries.filter((entry) => entry.data === undefined).map((entry) => entry.path);
  expect(folders.slice(0, 4)).toEqual(['lib', 'lib/modules', ROOT, `${ROOT}/kernel`]);
});

it('refuses a module whose dependency is not among them', () => {
  expect(() => moduleEntries([module('drivers/block/virtio_blk.ko', 'depends=virtio')])).toThrow(/virtio_blk needs virtio/);
  expect(() => moduleEntries([module('drivers/block/virtio_blk.ko', 'author=x')])).toThrow(/does not say/);
});
