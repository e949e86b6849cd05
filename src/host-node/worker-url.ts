import { existsSync } from 'node:fs';

/** Where a worker thread's file lies: threads run what is built, from dist/src/host-node, and from src/host-node in tests. */
export function workerUrl(name: string): URL {
  const url = [new URL(`./${name}.js`, import.meta.url), new URL(`../../dist/src/host-node/${name}.js`, import.meta.url)].find((candidate) => existsSync(candidate));
  if (url === undefined) throw new Error('dist/src is missing: run npm run build');
  return url;
}
