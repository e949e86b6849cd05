import type { VirtualMachine } from '../host-node/virtual-machine.ts';
import type { Report } from '../host-node/report.ts';
import type { CommandIo } from './io.ts';

const INTERVAL_MS = 1000;
/** Causes shown, those with the most exits first. */
const CAUSES = 4;

type Figures = Pick<Report, 'engine' | 'wallSeconds' | 'idleSeconds' | 'engines'>;

/** Who executed the guest between two reports, and what it left guest code for: `translator* 61 %, idle 39 % | a second: port 1240, ...`. */
export function describeShares(before: Figures, after: Figures): string {
  const seconds = Math.max(after.wallSeconds - before.wallSeconds, 1e-6);
  const percent = (part: number): string => `${Math.round((100 * part) / seconds)} %`;
  const used = Object.entries(after.engines).map(([name, { seconds: total }]) => ({ name, part: total - (before.engines[name]?.seconds ?? 0) }));
  const shares = used.filter(({ name, part }) => name === after.engine || part / seconds >= 0.005).map(({ name, part }) => `${name}${name === after.engine ? '*' : ''} ${percent(part)}`);
  const exits = new Map<string, number>();
  for (const [name, { exits: counts }] of Object.entries(after.engines)) {
    for (const [cause, count] of Object.entries(counts)) exits.set(cause, (exits.get(cause) ?? 0) + count - (before.engines[name]?.exits[cause] ?? 0));
  }
  const most = [...exits].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]).slice(0, CAUSES);
  const causes = most.map(([cause, count]) => `${cause} ${Math.round(count / seconds)}`).join(', ');
  return `${shares.join(', ')}, idle ${percent(after.idleSeconds - before.idleSeconds)}${causes === '' ? '' : ` | a second: ${causes}`}`;
}

/** The last row of the terminal, written anew every second until it is switched off. */
export class LiveMeter {
  readonly #vm: Pick<VirtualMachine, 'report'>;
  readonly #io: CommandIo;
  #timer: NodeJS.Timeout | undefined;
  #before: Report | undefined;

  constructor(vm: Pick<VirtualMachine, 'report'>, io: CommandIo) {
    this.#vm = vm;
    this.#io = io;
  }

  toggle(): void {
    if (this.#timer !== undefined) {
      this.stop();
      return;
    }
    this.#before = this.#vm.report();
    this.#show('measuring');
    this.#timer = setInterval(() => {
      const now = this.#vm.report();
      this.#show(describeShares(this.#before!, now));
      this.#before = now;
    }, INTERVAL_MS);
  }
  stop(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#show(undefined);
  }

  /** Cursor kept, last row, erased, reversed (ECMA-48; DECSC and DECRC). */
  #show(text: string | undefined): void {
    this.#io.stderr.write(`\x1b7\x1b[999;1H\x1b[2K${text === undefined ? '' : `\x1b[7m ${text} \x1b[0m`}\x1b8`);
  }
}
