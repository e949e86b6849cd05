import { UserError } from '../base/errors.ts';
import type { EngineModules } from '../engines/modules.ts';

/** The engines' compiled parts, which lie beside the worker's script. Throws UserError. */
export async function loadEngineModules(base: URL): Promise<EngineModules> {
  const [runtime, interpreter, places, traits] = await Promise.all([
    load(base, 'runtime.wasm').then(compile), load(base, 'interpreter.wasm').then(compile),
    load(base, 'handlers.places').then((response) => response.arrayBuffer()), load(base, 'handlers.traits').then((response) => response.arrayBuffer()),
  ]);
  return { runtime, interpreter, handlers: { places: new Uint16Array(places), traits: new Uint8Array(traits) } };
}

async function load(base: URL, name: string): Promise<Response> {
  const url = new URL(name, base);
  const response = await fetch(url).catch((error: unknown) => error as Error);
  if (response instanceof Error || !response.ok) {
    const why = response instanceof Error ? response.message : `the server answers ${response.status}`;
    throw new UserError(`${url.href} cannot be loaded (${why}); serve the whole folder of the browser's bundle`);
  }
  return response;
}

/** Servers that do not know the type application/wasm prevent compiling while it arrives. */
async function compile(response: Response): Promise<WebAssembly.Module> {
  const type = response.headers.get('content-type') ?? '';
  return type.startsWith('application/wasm') ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}
