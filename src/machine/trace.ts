import { UserError } from '../base/errors.ts';
import type { Log } from '../host/log.ts';
import type { InterruptInput } from '../wiring/interrupt-input.ts';

/** What `--trace` can show. */
export const TRACE_KINDS = ['port', 'mmio', 'interrupt', 'exception', 'machine', 'firmware', 'device'] as const;
export type TraceKind = (typeof TRACE_KINDS)[number];

/** `port,interrupt` or `all`. */
export function parseTraceKinds(text: string): TraceKind[] {
  const wanted = text.split(',').map((kind) => kind.trim());
  if (wanted.includes('all')) return [...TRACE_KINDS];
  for (const kind of wanted) {
    if (!(TRACE_KINDS as readonly string[]).includes(kind)) throw new UserError(`trace kind "${kind}" is unknown; give one or more of ${TRACE_KINDS.join(', ')}, separated by commas, or all`);
  }
  return wanted as TraceKind[];
}

/** A log that keeps nothing: for machines nobody watches. */
export const silentLog: Log = { warn: () => {}, tracing: () => false, trace: () => {} };

/** The interrupt input, with a trace of what the processor takes; the input itself when nobody asked for one. */
export function traceInterrupts(input: InterruptInput, log: Log): InterruptInput {
  if (!log.tracing('interrupt')) return input;
  return {
    pending: () => input.pending(),
    acknowledge: () => {
      const vector = input.acknowledge();
      log.trace('interrupt', vector < 0 ? 'none left to acknowledge' : `vector 0x${vector.toString(16)}`);
      return vector;
    },
    takeNmi: () => {
      const taken = input.takeNmi();
      if (taken) log.trace('interrupt', 'non-maskable');
      return taken;
    },
    giveBackNmi: () => input.giveBackNmi(),
    offerEoi: (settle) => input.offerEoi?.(settle) === true,
    settleEoi: () => input.settleEoi?.(),
    readTaskPriority: () => input.readTaskPriority(),
    writeTaskPriority: (value) => input.writeTaskPriority(value),
    readMsr: (index) => input.readMsr(index),
    writeMsr: (index, value) => input.writeMsr(index, value),
  };
}
