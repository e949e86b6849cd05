import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { EngineCommand } from './engines.ts';
import { processCpuSeconds, processMemory } from './process-figures.ts';
import type { ProcessMemory } from './process-figures.ts';

/** One program's run on one engine. Times in seconds. */
export interface ProgramTiming {
  readonly name: string;
  /** By the guest's CLOCK_MONOTONIC. */
  readonly guestSeconds: number;
  /** Between the two lines on the console, by the host's clock. */
  readonly hostSeconds: number;
  /** Processor time of the engine's process, all threads, meanwhile. */
  readonly cpuSeconds: number;
  readonly checksum: string;
}

export interface SessionResult {
  readonly programs: readonly ProgramTiming[];
  /** From the start of the process to the first line of the guest's init. */
  readonly userlandSeconds: number | null;
  /** From the start of the process to its end after power-off; null when it had to be ended. */
  readonly powerOffSeconds: number | null;
  /** After the last program; the guest waits a second before power-off. */
  readonly memory: ProcessMemory | null;
  /** What went wrong; the programs before are good. */
  readonly failures: readonly string[];
}

/** Longest silence on the console before a run is given up. */
const SILENCE_SECONDS = 240;

/** Runs a guest to its end and reads its console. */
export function runSession(command: EngineCommand, guestBytes: number, echo: (line: string) => void): Promise<SessionResult> {
  return new Promise((resolve) => {
    const start = performance.now();
    const cpuSeconds = (): number => (command.ramOffset === undefined ? NaN : processCpuSeconds(child.pid!));
    const seconds = (since: number): number => (performance.now() - since) / 1000;
    const child = spawn(command.program, [...command.args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    const programs: ProgramTiming[] = [];
    const failures: string[] = [];
    let userlandSeconds: number | null = null;
    let memory: ProcessMemory | null = null;
    let running: { readonly name: string; readonly at: number; readonly cpu: number } | undefined;
    let ended = false;
    let partial = '';
    let errors = '';
    const console: string[] = [];

    const giveUp = (reason: string): void => {
      failures.push(reason);
      kill();
    };
    let silence = setTimeout(() => {}, 0);
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => giveUp(`nothing on the console for ${SILENCE_SECONDS} s${running === undefined ? '' : ` in ${running.name}`}`), SILENCE_SECONDS * 1000);
    };
    heard();

    const take = (line: string): void => {
      const [word, name, ...rest] = line.trim().split(' ');
      if (word === 'userland') userlandSeconds = seconds(start);
      else if (word === 'begin' && name !== undefined) running = { name, at: performance.now(), cpu: cpuSeconds() };
      else if (word === 'bench' && running !== undefined && name === running.name) {
        const timing = { name, guestSeconds: Number(rest[0]), hostSeconds: seconds(running.at), cpuSeconds: cpuSeconds() - running.cpu, checksum: rest[1] ?? '' };
        programs.push(timing);
        echo(`${name} ${timing.guestSeconds.toFixed(3)} s`);
        running = undefined;
      } else if (word === 'failed') failures.push(`${name} ended with status ${rest[0]} in the guest: ${console.slice(-3).join(' | ')}`);
      else if (word === 'end' && name === undefined) {
        ended = true;
        memory = processMemory(child.pid!, guestBytes, command.ramOffset);
        if (command.endsAtMarker) kill();
      } else if (line.trim() !== '') console.push(line);
    };
    child.stdout.on('data', (chunk: Buffer) => {
      heard();
      const lines = `${partial}${chunk.toString('latin1')}`.split(/\r*\n/);
      partial = lines.pop()!;
      lines.forEach(take);
    });
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    child.on('error', (error) => giveUp(error.message));
    child.on('close', (status) => {
      clearTimeout(silence);
      process.off('exit', kill);
      if (!ended && failures.length === 0) failures.push(`it ended early with status ${status}${running === undefined ? '' : ` in ${running.name}`}: ${[...console.slice(-5), ...errors.trim().split('\n').slice(0, 3)].join(' | ')}`);
      const powerOff = ended && !command.endsAtMarker && status === 0;
      resolve({ programs, userlandSeconds, powerOffSeconds: powerOff ? seconds(start) : null, memory, failures });
    });
  });
}

/** What a run of ours reports (docs/report.md). */
export function readReport(file: string): Readonly<Record<string, unknown>> | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  } catch {
    return null;
  }
}
