import { constants, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { parentPort } from 'node:worker_threads';
import { KeptRegions } from '../engines/translator/kept-regions.ts';
import { RegionBuilder } from '../engines/translator/region-builder.ts';
import { SharedBuilder } from '../engines/translator/shared-builder.ts';
import { translate } from '../library/worker-compiler.ts';
import type { TranslationOrder } from '../library/worker-compiler.ts';
import { RegionFile } from './region-file.ts';
import type { TranslationMessage } from './translation-thread.ts';

// On Linux a thread has a niceness of its own: where processors are few, the guest's thread is to have the first.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

// Else the first call of each region would compile it, in the guest's thread. For modules from now on: the interpreter, of whose
// thousands of handlers few are used, was loaded before.
setFlagsFromString('--no-wasm-lazy-compilation');

// V8's compiler takes as long for our own TypeScript, of which it does too much inlining, as for the guest's code: with less of that a
// program's first run takes 5 % less time, all threads' 7 % (`bench:guests --only syscalls`), and runs after it no more.
setFlagsFromString('--max-inlined-bytecode-size-cumulative=200');

// The thread that translates for the processors of one machine: a port for each, on it orders in and modules out, in the same sequence.
let builder: SharedBuilder | undefined;
let file: RegionFile | undefined;
parentPort!.on('message', (message: TranslationMessage) => {
  if (message === null) {
    builder = undefined;
    file?.close();
    file = undefined;
    return;
  }
  const { handlers, kept, port } = message;
  if (kept !== undefined) file ??= new RegionFile(kept);
  const shared = (builder ??= new SharedBuilder(new RegionBuilder(handlers, undefined, file === undefined ? undefined : new KeptRegions(file))));
  port.on('message', (order: TranslationOrder) => translate(shared, order, (answer) => port.postMessage(answer)));
});
