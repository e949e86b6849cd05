import { describe, expect, it } from 'vitest';
import { apicIdsOf, bootOrderOf, checkCpus, processorCount } from './topology.ts';

describe('processors', () => {
  it('are a number, cores of one socket then, or any of sockets, cores and threads', () => {
    expect(checkCpus('4')).toEqual({ sockets: 1, cores: 4, threads: 1 });
    expect(checkCpus('sockets=2')).toEqual({ sockets: 2, cores: 1, threads: 1 });
    expect(checkCpus('threads=2,sockets=3,cores=4')).toEqual({ sockets: 3, cores: 4, threads: 2 });
    expect(checkCpus({ threads: 2 })).toEqual({ sockets: 1, cores: 1, threads: 2 });
    for (const cpus of [1, 2, 64]) expect(processorCount(checkCpus(cpus))).toBe(cpus);
  });

  it('are refused in one line that says what would be right', () => {
    const wanted = 'give a number from 1 to 64, or for instance sockets=1,cores=2,threads=2';
    for (const text of ['0', '-1', '1.5', 'two', '', 'cores=0,sockets=2']) expect(() => checkCpus(text)).toThrow(`number of processors "${text}" makes no sense; ${wanted}`);
    expect(() => checkCpus('65')).toThrow(`processors "65" are 65, more than a machine may have; ${wanted}`);
    expect(() => checkCpus('sockets=9,cores=8')).toThrow('processors "sockets=9,cores=8" are 72, more than a machine may have');
    expect(() => checkCpus('sockets=99999999999999999999,cores=8')).toThrow('more than a machine may have');
    expect(() => checkCpus('sockets=2,dies=2')).toThrow(`not understood at "dies=2"; ${wanted}`);
    expect(() => checkCpus('2,cores=2')).toThrow('not understood at "2"');
    expect(() => checkCpus('cores=2,cores=2')).toThrow('give cores twice');
    expect(() => checkCpus({ sockets: 1.5 })).toThrow('"sockets=1.5,cores=1,threads=1" makes no sense');
  });

  it('have an identifier each, with bits of their own for thread, core and socket', () => {
    expect(apicIdsOf(checkCpus(5))).toEqual([0, 1, 2, 3, 4]);
    expect(apicIdsOf(checkCpus({ sockets: 2, cores: 3 }))).toEqual([0, 1, 2, 4, 5, 6]);
    expect(apicIdsOf(checkCpus({ sockets: 2, cores: 2, threads: 2 }))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(apicIdsOf(checkCpus({ sockets: 2, cores: 1, threads: 3 }))).toEqual([0, 1, 2, 4, 5, 6]);
    expect(bootOrderOf(checkCpus({ sockets: 2, cores: 2, threads: 2 }))).toEqual([0, 2, 4, 6, 1, 3, 5, 7]);
    for (let sockets = 1; sockets <= 64; sockets++) {
      for (let cores = 1; sockets * cores <= 64; cores++) {
        for (let threads = 1; sockets * cores * threads <= 64; threads++) {
          const ids = apicIdsOf({ sockets, cores, threads });
          expect([new Set(ids).size, Math.max(...ids) < 255]).toEqual([ids.length, true]);
        }
      }
    }
  });
});
