#!/usr/bin/env node
// The demo page on this host: `npm run demo:web [-- PORT]`.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../src/base/errors.ts';
import { catalogue } from '../src/host-node/guests/catalogue.ts';
import { fetchSeabios } from '../src/host-node/guests/firmware.ts';
import { demoGuests } from './guests.ts';
import { serve } from './static-server.ts';

const DEFAULT_PORT = 8086;
const folder = mkdtempSync(join(tmpdir(), 'polyvisor-demo-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(0));

try {
  const port = process.argv[2] === undefined ? DEFAULT_PORT : Number(process.argv[2]);
  if (!(Number.isInteger(port) && port >= 0 && port < 65536)) throw new UserError(`port "${process.argv[2]}" is none; give a number from 0 to 65535, or leave it out`);
  if (!existsSync('dist/demo/index.html')) throw new UserError('the page is not built; start it with npm run demo:web in the package\'s folder');
  const progress = (line: string): void => console.error(line);
  const { guests, routes } = await demoGuests(catalogue, progress, () => fetchSeabios(progress), folder);
  writeFileSync(join(folder, 'guests.json'), JSON.stringify(guests));
  const { url } = await serve({ port, routes: { '/': 'dist/demo/', '/polyvisor/': 'dist/browser/', '/guests.json': join(folder, 'guests.json'), ...routes } });
  console.log(`The demo is at ${url} (Ctrl-C ends it).`);
} catch (error) {
  const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
  if (!(error instanceof UserError) && !inUse) throw error;
  console.error(`demo: ${inUse ? 'the port is in use; give another one: npm run demo:web -- 8087' : (error as Error).message}`);
  process.exit(1);
}
