import { assertNever } from '../base/assert-never.ts';
import { UserError } from '../base/errors.ts';
import type { Console } from '../library/console.ts';
import { wasmProblem } from '../library/wasm-features.ts';
import { BrowserMachine } from './browser-machine.ts';
import { loadEngineModules } from './engine-modules.ts';
import { namesStored, removeStored } from './opfs.ts';
import { PagedConsole } from './paged-console.ts';
import type { ConsoleName, Notice, Order, WireError } from './protocol.ts';

// The worker that is the machine's thread: one machine for life.

const scope = self as DedicatedWorkerGlobalScope;
const tell = (notice: Notice, transfer: Transferable[] = []): void => scope.postMessage(notice, transfer);
let machine: BrowserMachine | undefined;
const consoles = new Map<ConsoleName, PagedConsole>();

scope.onmessage = ({ data }: MessageEvent<Order>) => {
  switch (data.kind) {
    case 'create': case 'restore':
      make(data).catch((error: unknown) => tell({ kind: 'refused', error: wireError(error) }));
      break;
    case 'kept':
      kept(data).catch((error: unknown) => tell({ kind: 'refused', error: wireError(error) }));
      break;
    case 'call':
      call(data).catch((error: unknown) => tell({ kind: 'failure', id: data.id, error: wireError(error) }));
      break;
    case 'type':
      consoles.get(data.console)?.console.write(data.bytes);
      break;
    case 'seen':
      consoles.get(data.console)?.seen(data.bytes);
      break;
    default:
      assertNever(data);
  }
};

async function make(order: Order & { readonly kind: 'create' | 'restore' }): Promise<void> {
  const problem = wasmProblem('this browser');
  if (problem !== undefined) throw new UserError(`${problem}; update it: Chrome from version 112, Firefox from 121 and Safari from 18.2 have them`);
  const modules = await loadEngineModules(new URL('.', import.meta.url));
  const log = { warn: (text: string) => tell({ kind: 'warning', text }), tracing: () => false, trace: () => {} };
  const made = machine = await (order.kind === 'create' ? BrowserMachine.create(order.options, modules, log) : BrowserMachine.restore(order.stored, order.options, modules, log));
  const show = (name: ConsoleName, console: Console | undefined): void => {
    if (console !== undefined) consoles.set(name, new PagedConsole(console, (bytes) => tell({ kind: 'console', console: name, bytes })));
  };
  show('serial', made.console);
  show('virtio', made.virtioConsole);
  for (const name of ['reset', 'halted', 'poweroff'] as const) made.on(name, () => tell({ kind: 'event', name, arguments: [] }));
  // An error may be something that cannot be sent.
  made.on('died', ({ cause: _, ...end }) => tell({ kind: 'event', name: 'died', arguments: [end] }));
  made.on('exit', (end) => {
    const told = end.kind === 'died' ? { ...end, cause: undefined } : end;
    // Comes last, so all output goes before it.
    void Promise.all([...consoles.values()].map(({ sent }) => sent)).then(() => tell({ kind: 'event', name: 'exit', arguments: [told] }));
  });
  tell({ kind: 'made', engine: made.engine, engines: made.engines, virtioConsole: made.virtioConsole !== undefined, display: made.hasDisplay, tablet: made.hasTablet });
}

async function kept({ shelf, remove }: Order & { readonly kind: 'kept' }): Promise<void> {
  if (remove !== undefined) await removeStored(shelf, remove);
  tell({ kind: 'kept', names: await namesStored(shelf) });
}

async function call({ id, name, arguments: values }: Order & { readonly kind: 'call' }): Promise<void> {
  const made = machine!;
  const before = made.engine;
  const value = name === 'screen' ? screen(made) : await (made[name] as (...values: unknown[]) => unknown).apply(made, [...values]);
  if (made.engine !== before) tell({ kind: 'engine', engine: made.engine });
  tell({ kind: 'answer', id, value });
}

/** Without the class, which is lost on the way. */
function screen(made: BrowserMachine): unknown {
  const { picture, cells } = made.screenshot();
  return { picture, cells };
}

function wireError(error: unknown): WireError {
  return error instanceof Error ? { name: error.name, message: error.message } : { name: 'Error', message: String(error) };
}
