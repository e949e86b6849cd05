import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { processCpuSeconds } from '../guests/process-figures.ts';

/** How long a command may take. */
const PATIENCE_MS = 300_000;

/** A guest with a shell on its serial console, which is the process's standard input and output. */
export class ShellGuest {
  readonly #child: ChildProcess;
  #output = '';
  #errors = '';
  #heard: () => void = () => {};
  #ended = false;

  constructor(program: string, args: readonly string[]) {
    this.#child = spawn(program, [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    process.once('exit', this.kill);
    this.#child.stdout!.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString('latin1');
      this.#heard();
    });
    this.#child.stderr!.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#child.on('close', () => {
      this.#ended = true;
      this.#heard();
    });
  }

  /** Processor time of the process, all its threads. */
  get cpuSeconds(): number {
    return processCpuSeconds(this.#child.pid!);
  }

  /** Everything up to and with the pattern, which is taken away. */
  async waitFor(pattern: RegExp): Promise<string> {
    const until = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = pattern.exec(this.#output);
      if (found !== null) {
        const end = found.index + found[0].length;
        const text = this.#output.slice(0, end);
        this.#output = this.#output.slice(end);
        return text;
      }
      if (this.#ended || performance.now() > until) throw new Error(`the guest ${this.#ended ? 'has ended' : 'is silent'}: ${this.#output.slice(-300)} ${this.#errors.slice(-300)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#heard = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Runs a command; returns what it has printed. Throws when its status is not 0. */
  async run(command: string): Promise<string> {
    this.#child.stdin!.write(`${command}; echo "[sta""tus $?]"\n`);
    const output = await this.waitFor(/\[status \d+\]\r?\n/);
    if (!output.includes('[status 0]')) throw new Error(`${command}: ${output.trim()}`);
    return output.slice(0, output.lastIndexOf('[status'));
  }

  readonly kill = (): void => {
    process.off('exit', this.kill);
    this.#child.kill('SIGKILL');
  };
  /** The same, and waits until it has let its images go. */
  async end(): Promise<void> {
    this.kill();
    while (!this.#ended) await new Promise<void>((resolve) => (this.#heard = resolve));
  }
}
