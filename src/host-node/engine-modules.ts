import { existsSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import type { EngineModules } from '../engines/modules.ts';
import { keepCodeTogether } from './code-placement.ts';

let loaded: EngineModules | undefined;

function read(name: string): Uint8Array<ArrayBuffer> {
  // From dist/src/host-node; from dist/node, or src/host-node in tests.
  const base = [new URL('../../generated/', import.meta.url), new URL('../../dist/generated/', import.meta.url)].find((url) => existsSync(new URL('runtime.wasm', url)));
  if (base === undefined) throw new Error('dist/generated is missing: run npm run build');
  return new Uint8Array(readFileSync(new URL(name, base)));
}

/** Names what was built: another text for other sources. */
export function buildId(): string {
  return new TextDecoder().decode(read('build.id'));
}

/** The engines' compiled parts, from dist/generated; read and compiled once a process. */
export function loadEngineModules(): EngineModules {
  if (loaded !== undefined) return loaded;
  const places = read('handlers.places');
  // Keeps slow paths out of the way of what runs (Branch Hinting): known to V8 for long, on by default from version 13.7 on.
  setFlagsFromString('--experimental-wasm-branch-hinting');
  keepCodeTogether();
  loaded = {
    runtime: new WebAssembly.Module(read('runtime.wasm')),
    interpreter: new WebAssembly.Module(read('interpreter.wasm')),
    handlers: { places: new Uint16Array(places.buffer, places.byteOffset, places.length / 2), traits: read('handlers.traits') },
  };
  return loaded;
}
