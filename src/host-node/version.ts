import { readFileSync } from 'node:fs';

/** The package's version, from package.json: two folders up from dist/node, or in tests, three from dist/src. */
export function packageVersion(): string {
  for (const path of ['../../../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { name?: string; version?: string };
      if (name === 'polyvisor' && version !== undefined) return version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}
