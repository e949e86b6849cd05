import { readFileSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import { disassemble } from '../isa/x86/decode/disassembler.ts';

/** Lines `address  bytes  text` for a file of raw machine code. */
export function disassembleFile(file: string, options: { readonly bits: string; readonly address: string }): string {
  const bits = Number(options.bits);
  if (bits !== 16 && bits !== 32 && bits !== 64) throw new UserError(`--bits "${options.bits}" is no code size; give 16, 32 or 64`);
  let address: bigint;
  try {
    address = BigInt(options.address);
  } catch {
    throw new UserError(`--address "${options.address}" is no number; give one like 0x7c00`);
  }
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(file === '-' ? 0 : file));
  } catch {
    throw new UserError(`file ${file} cannot be read; give a file of raw machine code`);
  }
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { text, length } = disassemble(bytes.subarray(at, at + 15), address + BigInt(at), bits);
    const hex = [...bytes.subarray(at, at + length)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    lines.push(`${(address + BigInt(at)).toString(16).padStart(8)}  ${hex.padEnd(30)}  ${text}`);
    at += length;
  }
  return `${lines.join('\n')}\n`;
}
