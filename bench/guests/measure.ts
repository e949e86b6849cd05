import { GUEST_MEMORY_MIB, commandLine, executes } from './engines.ts';
import type { Engine, RunFiles } from './engines.ts';
import type { NativeRun } from './native.ts';
import type { Width } from './programs.ts';
import { readReport, runSession } from './session.ts';
import type { SessionResult } from './session.ts';
import { median } from './table.ts';
import type { Row } from './table.ts';

/** A session, with what the engine says of itself. */
export interface Measured extends SessionResult {
  readonly report: Readonly<Record<string, unknown>> | null;
}

export type Sessions = ReadonlyMap<Engine, Measured[]>;

/** Runs the programs `repeat` times on each engine, engines in turn, so that a noisy minute hits all alike. */
export async function measure(engines: readonly Engine[], width: Width, files: RunFiles, names: readonly string[], repeat: number, log: (line: string) => void): Promise<Sessions> {
  const sessions = new Map<Engine, Measured[]>(engines.map((engine) => [engine, []]));
  for (let round = 0; round < repeat; round++) {
    for (let turn = 0; turn < engines.length; turn++) {
      const engine = engines[(round + turn) % engines.length]!;
      const note = `${width}-bit ${engine} ${round + 1}/${repeat}`;
      const result = await runSession(commandLine(engine, width, files), GUEST_MEMORY_MIB << 20, (line) => log(`${note}: ${line}`));
      const report = engine === 'translator' || engine === 'translator-first' || engine === 'hybrid' || engine === 'interpreter' ? readReport(files.report) : null;
      const missing = names.filter((name) => !result.programs.some((program) => program.name === name));
      const failures = [...result.failures];
      if (missing.length > 0) failures.push(`without a result: ${missing.join(', ')}`);
      if (report !== null && report['engine'] !== executes(engine)) failures.push(`asked for the ${engine}, but the report of the run names ${String(report['engine'])}`);
      for (const failure of failures) log(`${note}: FAILED: ${failure}`);
      sessions.get(engine)!.push({ ...result, failures, report });
    }
  }
  return sessions;
}

/** Medians by program and engine of one of the clocks. */
export function rowsOf(sessions: Sessions, names: readonly string[], key: 'guestSeconds' | 'hostSeconds' | 'cpuSeconds'): readonly Row[] {
  return names.map((name) => ({ name, seconds: medians(sessions, (result) => result.programs.filter((program) => program.name === name).map((program) => program[key])) }));
}

/** Median by engine over all runs of whatever `values` finds in one. */
export function medians(sessions: Sessions, values: (result: Measured) => readonly (number | null)[]): Partial<Record<Engine, number>> {
  return Object.fromEntries([...sessions].flatMap(([engine, results]) => {
    const found = results.flatMap(values).filter((value) => value !== null && Number.isFinite(value));
    return found.length === 0 ? [] : [[engine, median(found as number[])]];
  }));
}

/** Checksums that differ between engines, runs, or from the host processor's. */
export function checksumFailures(sessions: Sessions, names: readonly string[], native: ReadonlyMap<string, NativeRun>): string[] {
  return names.flatMap((name) => {
    const seen = new Map<string, Set<string>>();
    const see = (checksum: string, where: string): void => void seen.set(checksum, (seen.get(checksum) ?? new Set()).add(where));
    for (const [engine, results] of sessions) {
      for (const program of results.flatMap((result) => result.programs)) if (program.name === name) see(program.checksum, engine);
    }
    const expected = native.get(name);
    if (expected !== undefined) see(expected.checksum, 'the host processor');
    return seen.size < 2 ? [] : [`${name}: checksums differ: ${[...seen].map(([checksum, where]) => `${checksum} on ${[...where].join(' and ')}`).join(', ')}`];
  });
}

/** Programs for whose time the machine was too busy: an engine's process had less than 85 % of a processor. */
export function disturbed(sessions: Sessions): readonly string[] {
  return [...sessions].flatMap(([engine, results]) => {
    const shares = results.flatMap((result) => result.programs.map((program) => program.cpuSeconds / program.hostSeconds)).filter(Number.isFinite);
    const low = shares.filter((share) => share < 0.85).length;
    return low === 0 ? [] : [`${engine} had less than 85 % of a processor in ${low} of ${shares.length} measurements`];
  });
}

/**
 * Runs whose programs together took another time by the guest's clock than by the host's: a guest that misses ticks
 * looks fast. Single programs differ more, as lines on the console come late.
 */
export function clockDoubts(sessions: Sessions): readonly string[] {
  return [...sessions].flatMap(([engine, results]) => results.flatMap(({ programs }) => {
    const guest = programs.reduce((sum, { guestSeconds }) => sum + guestSeconds, 0);
    const host = programs.reduce((sum, { hostSeconds }) => sum + hostSeconds, 0);
    return Math.abs(guest - host) <= 0.5 + 0.05 * host ? [] : [`${engine}: the guest's clock says ${guest.toFixed(1)} s for its programs, the host's ${host.toFixed(1)} s`];
  }));
}
