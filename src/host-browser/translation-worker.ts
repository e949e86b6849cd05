import { RegionBuilder } from '../engines/translator/region-builder.ts';
import { SharedBuilder } from '../engines/translator/shared-builder.ts';
import { translate } from '../library/worker-compiler.ts';
import type { TranslationOrder } from '../library/worker-compiler.ts';
import type { TranslationClient } from './translation-thread.ts';

// The thread that translates for the processors of one machine: a port for each, on it orders in and modules out, in the same sequence.
const scope = self as DedicatedWorkerGlobalScope;
let builder: SharedBuilder | undefined;
scope.onmessage = ({ data: { handlers, port } }: MessageEvent<TranslationClient>) => {
  const shared = (builder ??= new SharedBuilder(new RegionBuilder(handlers)));
  port.onmessage = ({ data }: MessageEvent<TranslationOrder>) => translate(shared, data, (answer) => port.postMessage(answer));
};
