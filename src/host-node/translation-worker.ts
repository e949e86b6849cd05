import { constants, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import type { HandlerMap } from '../engines/modules.ts';
import { RegionBuilder } from '../engines/translator/region-builder.ts';
import type { RegionRequest } from '../engines/translator/region-builder.ts';
import { translate } from '../library/worker-compiler.ts';

// On Linux a thread has a niceness of its own: where processors are few, the guest's thread is to have the first.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

// Else the first call of each region would compile it, in the guest's thread. For modules from now on: the interpreter, of whose
// thousands of handlers few are used, was loaded before.
setFlagsFromString('--no-wasm-lazy-compilation');

// V8's compiler takes as long for our own TypeScript, of which it does too much inlining, as for the guest's code: with less of that a
// program's first run takes 5 % less time, all threads' 7 % (`bench:guests --only syscalls`), and runs after it no more.
setFlagsFromString('--max-inlined-bytecode-size-cumulative=200');

// The thread that translates for one machine: requests in, modules out, in the same order.
const builder = new RegionBuilder(workerData as HandlerMap);
parentPort!.on('message', (requests: readonly RegionRequest[]) => translate(builder, requests, (answer) => parentPort!.postMessage(answer)));
