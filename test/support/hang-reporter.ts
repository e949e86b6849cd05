import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

const nightly = process.env['POLYVISOR_NIGHTLY'] === '1';
/** Seconds: how often it looks, and when a file is named as slow. */
const LOOK = 30;
const SLOW = nightly ? 3600 : 300;
/** From then on it hangs, by a thread that never comes back to its event loop: Vitest's time-outs do not reach it. Hosts may be twenty times overloaded. */
const HANGS = nightly ? 4 * 3600 : 900;

/** Names files of tests that take long; ends the process of one that hangs, with what its threads were at, so that the run fails instead of never ending. */
export class HangReporter implements Reporter {
  /** Where each process of tests says what it is at (`hang-notes.ts`). */
  readonly #folder = mkdtempSync(join(tmpdir(), 'polyvisor-hangs-'));
  readonly #running = new Map<string, { readonly began: number; told: boolean }>();
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    process.env['POLYVISOR_HANGS'] = this.#folder;
    process.once('exit', () => rmSync(this.#folder, { recursive: true, force: true }));
  }

  onTestRunStart(): void {
    this.#timer = setInterval(() => this.#look(), 1000 * LOOK).unref();
  }
  onTestRunEnd(): void {
    clearInterval(this.#timer);
  }
  onTestModuleStart({ moduleId }: TestModule): void {
    this.#running.set(moduleId, { began: performance.now(), told: false });
  }
  onTestModuleEnd({ moduleId }: TestModule): void {
    this.#running.delete(moduleId);
  }

  #look(): void {
    for (const [file, running] of this.#running) {
      const seconds = Math.round((performance.now() - running.began) / 1000);
      if (seconds < SLOW || (running.told && seconds < HANGS)) continue;
      running.told = true;
      const { pid, test } = this.#at(file);
      console.error(`after ${seconds} s still in ${file}: ${test}`);
      if (pid === undefined) continue;
      for (const line of threadsOf(pid)) console.error(line);
      if (seconds >= HANGS) process.kill(pid, 'SIGKILL');
    }
  }

  /** The process that was the last to say that it is at a file, and its test. */
  #at(file: string): { readonly pid?: number; readonly test: string } {
    for (const pid of readdirSync(this.#folder).map(Number)) {
      const [path, test] = readFileSync(join(this.#folder, `${pid}`), 'utf8').split('\n');
      if (path === file && isChild(pid)) return { pid, test: test! };
    }
    return { test: 'in no process that is known' };
  }
}

/** Fields behind the name, from field 3 of proc(5) on; undefined: it is gone. */
function statOf(folder: string): readonly string[] | undefined {
  const text = textOf(join(folder, 'stat'));
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function isChild(pid: number): boolean {
  return Number(statOf(`/proc/${pid}`)?.[1]) === process.pid;
}

/** State, processor time in ticks and place in the kernel of each thread; of others than the main one only if they do not wait for work. */
function threadsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    const folder = `/proc/${pid}/task/${task}`;
    const [comm, place, call, stack] = ['comm', 'wchan', 'syscall', 'stack'].map((file) => textOf(join(folder, file))?.trim().split('\n').slice(0, 6).join(' ') ?? '?');
    if (Number(task) !== pid && /^(futex|do_epoll)/.test(place!)) return [];
    const stat = statOf(folder) ?? [];
    return [`  thread ${task} ${comm}: ${stat[0]}, user ${stat[11]}, system ${stat[12]}, ${place}; system call ${call}; ${stack}`];
  });
}
