// For tests: the system's C compiler, and modules of single runtime files.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Why native comparison is impossible here, or undefined when it is possible. */
export function nativeUnavailable(): string | undefined {
  if (process.arch !== 'x64') return `host is ${process.arch}, not x64`;
  if (process.platform !== 'linux') return `host runs ${process.platform}, not linux`;
  return spawnSync('cc', ['--version']).status === 0 ? undefined : 'no C compiler called cc';
}

/** Compiles a C program, feeds it `input` and returns what it wrote. */
export function runNative(source: string, input: Uint8Array): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-native-'));
  try {
    const file = join(folder, 'program.c');
    writeFileSync(file, source);
    const compiled = spawnSync('cc', ['-O1', '-msse4.2', '-w', '-o', join(folder, 'program'), file], { encoding: 'utf8' });
    if (compiled.status !== 0) throw new Error(`the test's C program does not compile:\n${compiled.stderr}`);
    const result = spawnSync(join(folder, 'program'), [], { input, maxBuffer: 1 << 30 });
    if (result.status !== 0) throw new Error(`the test's C program failed: ${result.signal ?? result.status}`);
    return result.stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Compiles one AssemblyScript file below src/runtime as a module of its own over a fresh memory. */
export function instantiateRuntimeFile(name: string, host: Record<string, unknown> = {}): { exports: Record<string, (...args: never[]) => never>; memory: WebAssembly.Memory } {
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-runtime-'));
  try {
    const asc = join(dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')), 'bin/asc.js');
    const output = join(folder, 'module.wasm');
    const result = spawnSync(process.execPath, [
      asc, join('src/runtime', name), '-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--sharedMemory', '--maximumMemory', '65536', '--memoryBase', '4096',
      '--enable', 'threads', '--enable', 'simd', '--disableWarning', '112', '--outFile', output,
    ], { cwd: root, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`${name} does not compile:\n${result.stdout}${result.stderr}`);
    const memory = new WebAssembly.Memory({ initial: 2100, maximum: 65536, shared: true });
    const module = new WebAssembly.Module(readFileSync(output));
    const abort = (): never => {
      throw new Error('runtime module aborted');
    };
    const refuse = (): never => {
      throw new Error('this test gives the runtime no host');
    };
    // Whatever the file imports of the host and the test does not give must not be called.
    const hostImports = new Proxy(host, { get: (target, key) => target[key as string] ?? refuse });
    const instance = new WebAssembly.Instance(module, { env: { memory, abort }, host: hostImports } as never);
    return { exports: instance.exports as never, memory };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A small deterministic generator (xorshift64*). */
export function randomWords(seed: bigint): () => bigint {
  let state = seed;
  return () => {
    state ^= state >> 12n;
    state = BigInt.asUintN(64, state ^ (state << 25n));
    state ^= state >> 27n;
    return BigInt.asUintN(64, state * 0x2545f4914f6cdd1dn);
  };
}
