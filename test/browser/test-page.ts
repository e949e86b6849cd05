import { EventEmitter } from 'node:events';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { serve } from '../../web/static-server.ts';
import type { StaticServerOptions } from '../../web/static-server.ts';

/** What pages say to the server, by asking for `/told?…`. */
export type Told = EventEmitter<{ told: [what: string] }>;

/** A static server with the test's page at `/`, the bundle at `/polyvisor/` and the 64-bit Debian guest at `/guest/`, besides `routes`. */
export async function serveTestPage(options: Partial<StaticServerOptions>): Promise<{ readonly url: string; readonly told: Told; close(): void }> {
  const { kernel, initrd } = await catalogue.find(({ name }) => name === 'linux')!.fetch(() => {});
  if (initrd === undefined) throw new Error('the guest has no initrd');
  const { server, url } = await serve({
    ...options, routes: { '/': 'test/browser/page/', '/polyvisor/': 'dist/browser/', '/guest/kernel': kernel, '/guest/initrd': initrd, ...options.routes },
  });
  const told: Told = new EventEmitter();
  server.on('request', ({ url: asked = '' }) => {
    const [path, what] = asked.split('?');
    if (path === '/told') told.emit('told', decodeURIComponent(what ?? ''));
  });
  return {
    url, told,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
