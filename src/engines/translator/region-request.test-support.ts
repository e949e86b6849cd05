import type { RegionRequest } from './region-builder.ts';

/** dec eax; jnz -4: a loop at the start of a page, and a request for it. */
export function loopRequest(change: Partial<RegionRequest> = {}): RegionRequest {
  const bytes = new Uint8Array(4096);
  bytes.set([0xff, 0xc8, 0x75, 0xfc, 0xf4]);
  const executed = new Uint8Array(512);
  executed[0] = 1;
  return { page: 7, bytes, offset: 0, long: true, flat: true, executed, callees: [], ...change };
}
