// Runs a guest on v86, its serial port on standard output: one JSON argument says which. A process of its own, like
// the other engines. It does not notice power-off; whoever started it ends it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

interface Machine {
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
  readonly bios: string;
  readonly vgaBios: string;
  readonly memoryMiB: number;
}

// Not resolved by the compiler: the build goes without this peer.
const { V86 } = (await import('v86' as string)) as { V86: new (options: object) => { add_listener(event: string, listener: (byte: number) => void): void } };

const machine = JSON.parse(process.argv[2] ?? '') as Machine;

function file(path: string): { buffer: ArrayBuffer } {
  const bytes = readFileSync(path);
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer };
}

const emulator = new V86({
  wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
  bios: file(machine.bios),
  vga_bios: file(machine.vgaBios),
  bzimage: file(machine.kernel),
  initrd: file(machine.initrd),
  cmdline: machine.append,
  memory_size: machine.memoryMiB << 20,
  vga_memory_size: 2 << 20,
  acpi: true,
  autostart: true,
});

let line: number[] = [];
emulator.add_listener('serial0-output-byte', (byte: number) => {
  line.push(byte);
  if (byte !== 10) return;
  process.stdout.write(Uint8Array.from(line));
  line = [];
});
