import type { Report } from 'polyvisor/browser';
import { Chart } from './chart.ts';

const sum = (values: Iterable<number | null>): number => [...values].reduce<number>((total, value) => total + (value ?? 0), 0);
const canvas = (id: string): HTMLCanvasElement => document.querySelector<HTMLCanvasElement>(`#${id}-chart`)!;

type FigureName = 'mips' | 'exits' | 'busy' | 'code';

/** The figures beside the machine: what has changed since the last report. */
export class Figures {
  readonly #charts: Readonly<Record<FigureName, Chart>> = { mips: new Chart(canvas('mips')), exits: new Chart(canvas('exits')), busy: new Chart(canvas('busy'), 1), code: new Chart(canvas('code')) };
  #last: Report | undefined;

  show(report: Report): void {
    const last = this.#last;
    this.#last = report;
    const seconds = last === undefined ? 0 : report.wallSeconds - last.wallSeconds;
    if (last === undefined || seconds <= 0) return;
    const instructions = (sum(Object.values(report.instructions)) - sum(Object.values(last.instructions))) / seconds;
    const exits = (sum(Object.values(exitsOf(report))) - sum(Object.values(exitsOf(last)))) / seconds;
    const busy = Math.max(0, Math.min(1, 1 - (report.idleSeconds - last.idleSeconds) / seconds));
    const code = report.translation?.cache.bytes ?? 0;
    this.#put('mips', instructions / 1e6, `${(instructions / 1e6).toFixed(instructions < 1e7 ? 1 : 0)} MIPS`);
    this.#put('exits', exits, `${Math.round(exits).toLocaleString('en')} /s`);
    this.#put('busy', busy, `${Math.round(busy * 100)} %`);
    this.#put('code', code, `${(code / 2 ** 20).toFixed(1)} MiB`);
    document.querySelector('#engine')!.textContent = `Engine: ${report.engine}. Guest memory: ${report.memory.guestBytes >> 20} MiB. ${(sum(Object.values(report.instructions)) / 1e9).toFixed(2)} billion instructions in ${report.wallSeconds.toFixed(0)} s.`;
  }
  clear(): void {
    this.#last = undefined;
    for (const [name, chart] of Object.entries(this.#charts)) {
      chart.clear();
      document.querySelector(`#${name}`)!.textContent = '–';
    }
  }

  #put(name: FigureName, value: number, text: string): void {
    this.#charts[name].add(value);
    document.querySelector(`#${name}`)!.textContent = text;
  }
}

/** What leaves guest code, without what is only counted. */
function exitsOf({ exits }: Report): Readonly<Record<string, number>> {
  const { blocksDecoded: _, instructionsDecoded: __, codePagesEvicted: ___, tlbMiss: ____, ...left } = exits;
  return left;
}
