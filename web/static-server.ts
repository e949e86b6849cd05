import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

/** What a static server is to serve, and how. */
export interface StaticServerOptions {
  /** Files and folders by the path of their address; a folder's ends with a slash. The longest that fits counts. */
  readonly routes: Readonly<Record<string, string>>;
  /** Cross-origin isolation, which shared memory wants (HTML, COOP and COEP). Default: yes. */
  readonly isolated?: boolean;
  /** Answers requests for ranges. Default: yes. */
  readonly ranges?: boolean;
  /** 0: any. */
  readonly port?: number;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.json': 'application/json',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png',
};

/** A plain static server on this host only: files, types, ranges, and the headers that isolate a page. */
export async function serve(options: StaticServerOptions): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer((request, response) => answer(options, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { server, url: `http://127.0.0.1:${address.port}/` };
}

function answer({ routes, isolated = true, ranges = true }: StaticServerOptions, request: IncomingMessage, response: ServerResponse): void {
  const refuse = (status: number): void => void response.writeHead(status, { 'content-type': 'text/plain' }).end(`${status}\n`);
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405);
  const path = pathOf(request.url ?? '/');
  const file = path === undefined ? undefined : find(routes, path);
  const found = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
  if (file === undefined || found === undefined || !found.isFile()) return refuse(404);
  const headers: Record<string, string> = {
    'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
    'last-modified': found.mtime.toUTCString(),
    'cache-control': 'no-cache',
    ...(isolated ? { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp', 'cross-origin-resource-policy': 'same-origin' } : {}),
    ...(ranges ? { 'accept-ranges': 'bytes' } : {}),
  };
  const wanted = /^bytes=([0-9]+)-([0-9]*)$/.exec((ranges ? request.headers.range : undefined) ?? '');
  let [first, last] = [0, found.size - 1];
  if (wanted !== null) {
    first = Number(wanted[1]);
    last = wanted[2] === '' ? last : Math.min(last, Number(wanted[2]));
    if (first > last) return void response.writeHead(416, { ...headers, 'content-range': `bytes */${found.size}` }).end();
    headers['content-range'] = `bytes ${first}-${last}/${found.size}`;
  }
  response.writeHead(wanted === null ? 200 : 206, { ...headers, 'content-length': String(last - first + 1) });
  if (request.method === 'HEAD' || last < first) return void response.end();
  createReadStream(file, { start: first, end: last }).on('error', () => response.destroy()).pipe(response);
}

function pathOf(url: string): string | undefined {
  try {
    const path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
    return path.includes('\0') ? undefined : path;
  } catch {
    return undefined;
  }
}

/** Nothing outside of what is served. */
function find(routes: StaticServerOptions['routes'], path: string): string | undefined {
  const route = Object.keys(routes).filter((candidate) => (candidate.endsWith('/') ? path.startsWith(candidate) : path === candidate)).sort((a, b) => b.length - a.length)[0];
  if (route === undefined) return undefined;
  const root = normalize(routes[route]!);
  if (!route.endsWith('/')) return root;
  const file = join(root, path.slice(route.length) || 'index.html');
  return file.startsWith(root.endsWith(sep) ? root : root + sep) ? file : undefined;
}
