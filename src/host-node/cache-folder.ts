import { homedir } from 'node:os';
import { join } from 'node:path';

/** `$XDG_CACHE_HOME/polyvisor`, else `~/.cache/polyvisor`. */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'];
  return join(base !== undefined && base !== '' ? base : join(homedir(), '.cache'), 'polyvisor');
}
