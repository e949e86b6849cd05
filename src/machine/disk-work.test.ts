import { expect, it } from 'vitest';
import { ByteRuns } from '../base/byte-runs.ts';
import { MemoryPort } from '../disk/memory-port.test-support.ts';
import { DiskWork } from './disk-work.ts';

it('counts what is under way on all drives, and lets it through', async () => {
  const work = new DiskWork();
  const port = new MemoryPort(4096);
  const [disk, other] = [work.watch(port), work.watch(new MemoryPort(512))];
  expect([disk.bytes, disk.readOnly, disk.releases]).toEqual([4096, false, false]);
  const requests = [disk.write(512, new Uint8Array(512).fill(7)), other.flush()];
  expect(work.underWay).toBe(2);
  await Promise.all(requests);
  expect(work.underWay).toBe(0);
  const target = new Uint8Array(512);
  await disk.read(512, target);
  expect(target).toEqual(new Uint8Array(512).fill(7));
  await disk.zero(512, 512);
  port.quick = true;
  expect(disk.readNow(512, new ByteRuns(target, [0, 512]))).toBe(true);
  expect(target).toEqual(new Uint8Array(512));
  port.fail = true;
  await expect(disk.flush()).rejects.toThrow('damaged');
  expect(work.underWay).toBe(0);
  await disk.close();
  expect(port.closed).toBe(true);
});
