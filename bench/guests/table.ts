import type { Engine } from './engines.ts';
import type { Width } from './programs.ts';

/** Medians of one program. */
export interface Row {
  readonly name: string;
  readonly seconds: Readonly<Partial<Record<Engine, number>>>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** How many times faster `ours` is than `peer`, by program; programs that either lacks are left out. */
export function ratios(rows: readonly Row[], peer: Engine, ours: Engine): readonly number[] {
  return rows.flatMap(({ seconds }) => {
    const [p, o] = [seconds[peer], seconds[ours]];
    return p === undefined || o === undefined ? [] : [p / o];
  });
}

/** Pairs whose ratios are shown: above 1, ours is faster. */
export function pairs(engines: readonly Engine[]): readonly (readonly [Engine, Engine])[] {
  const peers = engines.filter((engine) => engine === 'qemu' || engine === 'v86');
  const ours = engines.includes('translator') ? 'translator' : engines.includes('interpreter') ? 'interpreter' : undefined;
  if (ours === undefined) return [];
  return [...peers.map((peer) => [peer, ours] as const), ...(ours === 'translator' && engines.includes('interpreter') ? [['interpreter', ours] as const] : [])];
}

export function renderTable(width: Width, title: string, engines: readonly Engine[], rows: readonly Row[]): string {
  const compared = pairs(engines);
  const header = [title, ...engines.map((engine) => `${engine} s`), ...compared.map(([peer, ours]) => `${peer}/${ours}`)];
  const body = rows.map(({ name, seconds }) => [
    name,
    ...engines.map((engine) => seconds[engine]?.toFixed(3) ?? '-'),
    ...compared.map(([peer, ours]) => ratios([{ name, seconds }], peer, ours)[0]?.toFixed(2) ?? '-'),
  ]);
  const mean = (peer: Engine, ours: Engine): string => {
    const values = ratios(rows, peer, ours);
    return values.length === 0 ? '-' : geometricMean(values).toFixed(2);
  };
  const foot = ['geometric mean', ...engines.map(() => ''), ...compared.map(([peer, ours]) => mean(peer, ours))];
  const lines = [header, ...body, foot];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const text = lines.map((line) => line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ').trimEnd());
  return [`${width}-bit`, text[0]!, '-'.repeat(Math.max(...text.map((line) => line.length))), ...text.slice(1)].join('\n');
}
