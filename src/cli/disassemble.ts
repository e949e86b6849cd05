import { readFileSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import { StreamSink } from '../host-node/stream-sink.ts';
import { fileTrouble } from '../host-node/words.ts';
import { disassemble } from '../isa/x86/decode/disassembler.ts';
import { elfCodeSize, executableSections, isElfFile } from './executable-sections.ts';
import type { CodePiece } from './executable-sections.ts';
import type { CommandIo } from './io.ts';

export interface DisassembleOptions {
  readonly bits?: string;
  readonly address?: string;
}

const LONGEST_INSTRUCTION = 15;
/** Bytes an objdump line shows. */
const BYTES_SHOWN = 10;
const LINES_AT_ONCE = 1000;

/** Disassembles the code sections of an ELF file, or a file of raw machine code. Throws UserError. */
export async function disassembleFile(file: string, options: DisassembleOptions, io: CommandIo): Promise<void> {
  const bytes = readInput(file);
  const elf = isElfFile(bytes);
  const bits = options.bits === undefined ? (elf ? elfCodeSize(bytes, file) : 64) : parseBits(options.bits);
  if (elf && options.address !== undefined) throw new UserError(`--address is for raw machine code; ${file} is an ELF file, which says where its code lies`);
  const raw = { name: file, address: options.address === undefined ? 0n : parseAddress(options.address), bytes };
  const pieces: CodePiece[] = elf ? executableSections(bytes) : [raw];
  if (pieces.length === 0) throw new UserError(`file ${file} is an ELF file without code sections`);
  await write(lines(pieces, bits, elf), io);
}

function readInput(file: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(file === '-' ? 0 : file));
  } catch (error) {
    throw new UserError(`file ${file} ${fileTrouble(error)}; give an ELF file or raw machine code`);
  }
}

function parseBits(text: string): 16 | 32 | 64 {
  if (text === '16') return 16;
  if (text === '32') return 32;
  if (text === '64') return 64;
  throw new UserError(`code size "${text}" is none; give --bits 16, 32 or 64`);
}

function parseAddress(text: string): bigint {
  if (/^(0x[0-9a-f]{1,16}|[0-9]{1,19})$/i.test(text.trim())) return BigInt(text);
  throw new UserError(`address "${text}" is no number; give one like 0x7c00`);
}

function* lines(pieces: readonly CodePiece[], bits: 16 | 32 | 64, headings: boolean): Generator<string> {
  for (const piece of pieces) {
    if (headings) yield `${piece === pieces[0] ? '' : '\n'}section ${piece.name}:`;
    for (let at = 0; at < piece.bytes.length; ) {
      const address = piece.address + BigInt(at);
      const { text, length } = disassemble(piece.bytes.subarray(at, at + LONGEST_INSTRUCTION), address, bits);
      const hex = Array.from(piece.bytes.subarray(at, at + length), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
      yield `${address.toString(16).padStart(8)}:  ${hex.padEnd(3 * BYTES_SHOWN)}  ${text}`;
      at += length;
    }
  }
}

/** Ends early, and quietly, when the reader goes away. */
async function write(text: Iterable<string>, io: CommandIo): Promise<void> {
  const sink = new StreamSink(io.stdout);
  let failure: NodeJS.ErrnoException | undefined;
  io.stdout.on('error', (error: NodeJS.ErrnoException) => {
    failure = error;
    sink.close();
  });
  const encoder = new TextEncoder();
  let batch: string[] = [];
  const flush = async (): Promise<void> => {
    sink.write(encoder.encode(`${batch.join('\n')}\n`));
    batch = [];
    // A turn of the event loop lets an error arrive.
    await (sink.ready() ?? new Promise<void>((resolve) => void setImmediate(resolve)));
    if (failure !== undefined && failure.code !== 'EPIPE') throw new UserError(`standard output ${fileTrouble(failure)}`);
  };
  for (const line of text) {
    batch.push(line);
    if (batch.length < LINES_AT_ONCE) continue;
    await flush();
    if (failure !== undefined) return;
  }
  if (batch.length > 0) await flush();
}
