import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why this host cannot make TAP interfaces in namespaces of their own; undefined: it can. */
export const noTap: string | undefined = (() => {
  if (process.getuid?.() !== 0) return 'only root may make TAP interfaces';
  if (spawnSync('ip', ['-V']).status !== 0) return 'ip is missing; install iproute2';
  const name = `pvtest${process.pid % 100000}`;
  const made = spawnSync('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap'], { encoding: 'utf8' });
  if (made.status !== 0) return `no TAP interface can be made (${made.stderr.trim()})`;
  spawnSync('ip', ['link', 'delete', name]);
  const space = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  if (space.status !== 0) return `no network namespace can be made (${space.stderr.trim()})`;
  spawnSync('ip', ['netns', 'delete', name]);
  return undefined;
})();

let made = 0;

/**
 * A TAP interface whose host side is a network namespace of its own, so that nothing of the host's network is in the way: `enter`
 * must follow once a machine has opened the interface.
 */
export class TapNetwork {
  readonly tap: string;
  readonly folder = mkdtempSync(join(tmpdir(), 'polyvisor-tap-'));
  /** Of the host in the namespace. */
  readonly address = '10.77.0.1';
  readonly #space: string;
  readonly #children: ChildProcess[] = [];

  constructor() {
    this.tap = this.#space = `pv${process.pid % 100000}-${made++}`;
    execFileSync('ip', ['netns', 'add', this.#space]);
    execFileSync('ip', ['tuntap', 'add', 'dev', this.tap, 'mode', 'tap']);
  }

  enter(): void {
    execFileSync('ip', ['link', 'set', this.tap, 'netns', this.#space]);
    for (const command of [`addr add ${this.address}/24 dev ${this.tap}`, `link set ${this.tap} up`, 'link set lo up']) this.run('ip', ...command.split(' '));
  }
  /** Back again, so that another machine finds it. */
  leave(): void {
    this.run('ip', 'link', 'set', this.tap, 'netns', '1');
  }

  /** Runs a program in the namespace and returns what it has printed. */
  run(program: string, ...args: readonly string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.#space, program, ...args], { encoding: 'utf8' });
  }
  /** Runs it aside; resolves with its output once it has ended. */
  runAside(program: string, ...args: readonly string[]): Promise<string> {
    const child = this.start(program, ...args);
    let output = '';
    child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()));
    return new Promise((resolve) => child.once('close', () => resolve(output)));
  }
  /** Starts a server; it is killed at the end. */
  start(program: string, ...args: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.#space, program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.push(child);
    return child;
  }

  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    spawnSync('ip', ['netns', 'delete', this.#space]);
    spawnSync('ip', ['link', 'delete', this.tap], { stdio: 'ignore' });
    rmSync(this.folder, { recursive: true, force: true });
  }
}
