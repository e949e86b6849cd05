import { parentPort, workerData } from 'node:worker_threads';
import type { HandlerMap } from '../engines/modules.ts';
import { RegionBuilder } from '../engines/translator/region-builder.ts';
import type { RegionRequest } from '../engines/translator/region-builder.ts';

// The thread that translates for one machine: requests in, modules out, in the same order.
const builder = new RegionBuilder(workerData as HandlerMap);
parentPort!.on('message', (requests: readonly RegionRequest[]) => {
  builder.build(requests, (result) => parentPort!.postMessage(result, [...new Set(result.regions.map(({ bytes }) => bytes.buffer as ArrayBuffer))]));
});
