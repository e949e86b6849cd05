import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** For package lists that another process is bringing up to date: ten minutes. */
const TRY_AGAIN_MS = 500;
const MOST_TRIES = 1200;

/** A Debian tool is missing or failed; the message says which and how. */
export class AptError extends Error {
  override readonly name = 'AptError';
}

interface Output {
  readonly stdout: string;
}

/** Runs a program and collects its output; throws an AptError when it is missing or fails. */
function run(program: string, args: readonly string[], cwd?: string): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }, ...(cwd === undefined ? {} : { cwd }) });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', () => reject(new AptError(`${program} is not installed`)));
    child.on('close', (status) => {
      if (status === 0) resolve({ stdout });
      else reject(new AptError(`${program} ${args.at(-1)} failed: ${stderr.trim().split('\n').at(-1) ?? `status ${status}`}`));
    });
  });
}

/**
 * Debian packages through the user's apt, with package lists and cache of our own: works without root, and for another
 * architecture than the system's, without changing the system. Sources and keys are the system's.
 */
export class PrivateApt {
  readonly #folder: string;
  readonly #options: readonly string[];

  /** `folder`: a place of our own; `architecture` as Debian names it. */
  constructor(folder: string, architecture: string) {
    this.#folder = folder;
    for (const part of ['state/lists/partial', 'cache/archives/partial']) mkdirSync(join(folder, part), { recursive: true });
    const status = join(folder, 'state/status');
    writeFileSync(status, '');
    const settings: Record<string, string> = {
      'Dir::State': join(folder, 'state'),
      'Dir::State::Lists': join(folder, 'state/lists'),
      'Dir::State::status': status,
      'Dir::Cache': join(folder, 'cache'),
      'APT::Architecture': architecture,
      'APT::Architectures': architecture,
      'Acquire::Languages': 'none',
      // The download user of the system may not write into a user's cache.
      ...(process.getuid?.() === 0 ? { 'APT::Sandbox::User': 'root' } : {}),
    };
    this.#options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  }

  /** Brings the package lists up to date; a list that fails is tolerated as long as the packages are found later. */
  async update(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await run('apt-get', [...this.#options, '-q', 'update']);
        return;
      } catch (error) {
        const says = (words: string): boolean => error instanceof AptError && error.message.includes(words);
        if (says('not installed')) throw error;
        // Another process of ours is about it; the lists are not whole before.
        if (says('Unable to lock') && tries < MOST_TRIES) await pause(TRY_AGAIN_MS);
        else if (readdirSync(join(this.#folder, 'state/lists')).length < 3) throw error;
        else return;
      }
    }
  }

  /** The package that a meta package depends on, by its name's beginning. */
  async dependency(metaPackage: string, prefix: string): Promise<string> {
    const { stdout } = await run('apt-cache', [...this.#options, 'depends', metaPackage]);
    const found = stdout.split('\n').map((line) => /Depends: (\S+)/.exec(line)?.[1]).find((name) => name?.startsWith(prefix));
    if (found === undefined) throw new AptError(`package ${metaPackage} names no ${prefix} package`);
    return found.replace(/:.*$/, '');
  }

  /** Downloads a package and unpacks the files that match; returns the folder and whatever `cleanUp` removes. */
  async unpack(packageName: string, pattern: string): Promise<{ folder: string; cleanUp: () => void }> {
    return this.#download(packageName, (archive, folder) => run('sh', ['-c', 'dpkg-deb --fsys-tarfile "$0" | tar -x --wildcards "$1"', archive, pattern], folder));
  }

  /** As `unpack`, for the files that `wanted` chooses by their paths (without `./` in front), which are returned too. */
  async unpackSome(packageName: string, wanted: (path: string) => boolean): Promise<{ folder: string; paths: readonly string[]; cleanUp: () => void }> {
    let paths: readonly string[] = [];
    const place = await this.#download(packageName, async (archive, folder) => {
      const { stdout } = await run('sh', ['-c', 'dpkg-deb --fsys-tarfile "$0" > contents.tar && tar -t -f contents.tar', archive], folder);
      paths = stdout.split('\n').map((line) => line.replace(/^\.\//, '')).filter(wanted);
      if (paths.length > 0) await run('tar', ['-x', '-f', 'contents.tar', ...paths.map((path) => `./${path}`)], folder);
      rmSync(join(folder, 'contents.tar'));
    });
    return { ...place, paths };
  }

  async #download(packageName: string, unpack: (archive: string, folder: string) => Promise<unknown>): Promise<{ folder: string; cleanUp: () => void }> {
    const folder = mkdtempSync(join(this.#folder, 'unpack-'));
    const cleanUp = (): void => rmSync(folder, { recursive: true, force: true });
    try {
      await run('apt-get', [...this.#options, '-q', 'download', packageName], folder);
      const archive = readdirSync(folder).find((name) => name.endsWith('.deb'));
      if (archive === undefined || statSync(join(folder, archive)).size === 0) throw new AptError(`apt-get download brought no ${packageName}`);
      await unpack(archive, folder);
      return { folder, cleanUp };
    } catch (error) {
      cleanUp();
      throw error;
    }
  }
}
