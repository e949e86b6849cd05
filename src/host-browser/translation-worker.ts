import type { HandlerMap } from '../engines/modules.ts';
import { RegionBuilder } from '../engines/translator/region-builder.ts';
import type { RegionRequest } from '../engines/translator/region-builder.ts';
import { translate } from '../library/worker-compiler.ts';

// The thread that translates for one machine: the handlers' places first, then requests in, modules out, in the same order.
const scope = self as DedicatedWorkerGlobalScope;
let builder: RegionBuilder | undefined;
scope.onmessage = ({ data }: MessageEvent<HandlerMap | readonly RegionRequest[]>) => {
  if (builder === undefined) builder = new RegionBuilder(data as HandlerMap);
  else translate(builder, data as readonly RegionRequest[], (answer) => scope.postMessage(answer));
};
