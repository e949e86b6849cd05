import { UserError } from '../base/errors.ts';
import type { Source } from './requests.ts';

/** How messages call it. */
export function nameOf(source: Source, usual: string): string {
  if (typeof source === 'string') return source;
  return source instanceof File ? source.name : usual;
}

/** All of a file. Throws UserError. */
export async function readSource(what: string, source: Source): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (typeof source !== 'string') return new Uint8Array(await readBlob(what, source));
  const response = await request(what, source);
  if (!response.ok) throw refused(what, source, response.status);
  return new Uint8Array(await response.arrayBuffer());
}

async function readBlob(what: string, blob: Blob): Promise<ArrayBuffer> {
  try {
    return await blob.arrayBuffer();
  } catch (error) {
    throw new UserError(`${what} ${nameOf(blob, '')} cannot be read (${(error as Error).message}); it may have been changed or removed since it was chosen: choose it again`);
  }
}

/** Throws UserError where no server answers. */
export async function request(what: string, url: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    throw new UserError(`${what} ${url} cannot be fetched (${(error as Error).message}); check the address and the network, and that its server allows this page (CORS)`);
  }
}

export function refused(what: string, url: string, status: number): UserError {
  return new UserError(`${what} ${url} cannot be fetched: the server answers ${status}; ${status === 404 ? 'there is no such file there: give another address' : 'give an address that this page may read'}`);
}
