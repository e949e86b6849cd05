import type { Engine } from './engines.ts';

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
  const peers = engines.filter((engine) => engine === 'qemu' || engine === 'v86' || engine === 'chromium');
  const ours = engines.includes('translator') ? 'translator' : engines.includes('interpreter') ? 'interpreter' : undefined;
  if (ours === undefined) return [];
  return [...peers.map((peer) => [peer, ours] as const), ...(ours === 'translator' && engines.includes('interpreter') ? [['interpreter', ours] as const] : [])];
}

/** Geometric mean of each pair's ratios; pairs without a program in common are left out. */
export function ratioMeans(engines: readonly Engine[], rows: readonly Row[]): Readonly<Record<string, number>> {
  return Object.fromEntries(pairs(engines).flatMap(([peer, ours]) => {
    const values = ratios(rows, peer, ours);
    return values.length === 0 ? [] : [[`${peer}/${ours}`, geometricMean(values)]];
  }));
}

export function meansLine(label: string, engines: readonly Engine[], rows: readonly Row[]): string {
  const means = Object.entries(ratioMeans(engines, rows)).map(([pair, mean]) => `${pair} ${mean.toFixed(2)}`);
  return `geometric mean ${label}: ${means.length === 0 ? '-' : means.join(', ')}`;
}

/** `native`: seconds on the host processor, shown beside where given. */
export function renderTable(title: string, engines: readonly Engine[], rows: readonly Row[], native: ReadonlyMap<string, number> = new Map()): string {
  const compared = pairs(engines);
  const besides = native.size > 0;
  const header = [title, ...engines.map((engine) => `${engine} s`), ...(besides ? ['native s'] : []), ...compared.map(([peer, ours]) => `${peer}/${ours}`)];
  const body = rows.map(({ name, seconds }) => [
    name,
    ...engines.map((engine) => seconds[engine]?.toFixed(3) ?? '-'),
    ...(besides ? [native.get(name)?.toFixed(3) ?? '-'] : []),
    ...compared.map(([peer, ours]) => ratios([{ name, seconds }], peer, ours)[0]?.toFixed(2) ?? '-'),
  ]);
  const means = ratioMeans(engines, rows);
  const foot = compared.length === 0 ? [] : [['geometric mean', ...engines.map(() => ''), ...(besides ? [''] : []), ...compared.map(([peer, ours]) => means[`${peer}/${ours}`]?.toFixed(2) ?? '-')]];
  const lines = [header, ...body, ...foot];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const text = lines.map((line) => line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ').trimEnd());
  return [text[0]!, '-'.repeat(Math.max(...text.map((line) => line.length))), ...text.slice(1)].join('\n');
}

/** Memory of the engines' processes after the last program. */
export function renderMemory(engines: readonly Engine[], beyondRam: Partial<Record<Engine, number>>, resident: Partial<Record<Engine, number>>): string {
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  const parts = engines.flatMap((engine) => {
    const [beyond, all] = [beyondRam[engine], resident[engine]];
    return beyond === undefined || all === undefined ? [] : [`${engine} ${mib(beyond)} (${mib(all)} in all)`];
  });
  return `memory beyond guest RAM after the set, MiB: ${parts.length === 0 ? '-' : parts.join(', ')}`;
}
