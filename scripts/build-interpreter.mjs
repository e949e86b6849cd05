// Generates the interpreter (dist/generated/interpreter.wasm and its handler map) from the compiled semantics.
import { mkdirSync, writeFileSync } from 'node:fs';
import { buildInterpreter } from '../dist/src/engines/interpreter/requests.js';

const out = new URL('../dist/generated/', import.meta.url);
mkdirSync(out, { recursive: true });
const { wasm, map } = buildInterpreter({ minimum: 0, maximum: 65536 });
writeFileSync(new URL('interpreter.wasm', out), wasm);
writeFileSync(new URL('handlers.places', out), new Uint8Array(map.places.buffer, map.places.byteOffset, map.places.byteLength));
writeFileSync(new URL('handlers.traits', out), map.traits);
console.log(`interpreter: ${map.traits.length} handlers, ${(wasm.length / 1024).toFixed(0)} KiB`);
