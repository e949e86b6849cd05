import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, readSync, closeSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomWords } from '../../../../test/support/random.ts';
import { generateInstruction } from '../opcodes/generate.ts';
import { existsIn } from '../opcodes/row.ts';
import { opcodeRows } from '../opcodes/table.ts';
import { disassemble } from './disassembler.ts';

type CodeSize = 16 | 32 | 64;

function text(hex: string, codeSize: CodeSize = 64, address = 0x1000n): string {
  return disassemble(Uint8Array.from(hex.split(' ').map((byte) => Number.parseInt(byte, 16))), address, codeSize).text;
}

describe('disassemble', () => {
  it.each<[string, string, CodeSize?]>([
    ['48 89 e5', 'mov    rbp,rsp'],
    ['88 e1', 'mov    cl,ah'],
    ['40 88 e1', 'mov    cl,spl'],
    ['48 8d 05 f9 ff ff ff', 'lea    rax,[rip-0x7]        # 0x1000'],
    ['64 48 8b 04 25 28 00 00 00', 'mov    rax,QWORD PTR fs:0x28'],
    ['42 8b 44 a5 fc', 'mov    eax,DWORD PTR [rbp+r12*4-0x4]'],
    ['8b 42 fe', 'mov    ax,WORD PTR [bp+si-0x2]', 16],
    ['eb fe', 'jmp    0x1000'],
    ['eb fe', 'jmp    0x1000', 16],
    ['48 b8 88 77 66 55 44 33 22 11', 'movabs rax,0x1122334455667788'],
    ['48 83 e4 f0', 'and    rsp,0xfffffffffffffff0'],
    ['6a ff', 'push   0xffffffffffffffff'],
    ['f3 48 ab', 'rep stos QWORD PTR es:[rdi],rax'],
    ['f3 a6', 'repz cmps BYTE PTR ds:[esi],BYTE PTR es:[edi]', 32],
    ['f0 0f b1 0a', 'lock cmpxchg DWORD PTR [rdx],ecx'],
    ['48 98', 'cdqe'],
    ['48 cf', 'iretq'],
    ['67 e3 00', 'jecxz  0x1003'],
    ['ea 34 12 00 f0', 'jmp    0xf000:0x1234', 16],
    ['66 0f 1f 44 00 00', 'nop    WORD PTR [rax+rax*1+0x0]'],
    ['66 90', 'xchg   ax,ax'],
    ['d8 c1', 'fadd   st,st(1)'],
    ['db 28', 'fld    TBYTE PTR [rax]'],
    ['66 48 0f 6e c0', 'movq   xmm0,rax'],
    ['66 0f 3a 44 c1 11', 'pclmulhqhqdq xmm0,xmm1'],
    ['0f c2 c1 01', 'cmpltps xmm0,xmm1'],
    ['66 0f 38 10 c1', 'pblendvb xmm0,xmm1,xmm0'],
    ['8c 18', 'mov    WORD PTR [rax],ds'],
    ['0f 20 c0', 'mov    rax,cr0'],
  ])('%s is %s', (hex, expected, codeSize) => {
    expect(text(hex, codeSize)).toBe(expected);
  });

  it('calls what is no instruction bad, and takes one byte of it', () => {
    expect(disassemble(Uint8Array.from([0x06, 0x90]), 0n, 64)).toEqual({ text: '(bad)', length: 1 });
    expect(disassemble(Uint8Array.from([0x48, 0x8b]), 0n, 64)).toEqual({ text: '(bad)', length: 1 });
  });
});

// GNU objdump as the peer.

const hasObjdump = ((): boolean => {
  try {
    return execFileSync('objdump', ['--info'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).includes('elf64-x86-64');
  } catch {
    return false;
  }
})();

interface PeerLine {
  readonly address: number;
  readonly text: string;
  readonly length: number;
}

function parseListing(listing: string): PeerLine[] {
  const found = [...listing.matchAll(/^\s*([0-9a-f]+):\t(.*)$/gm)].map((match) => ({ address: Number.parseInt(match[1]!, 16), text: match[2]!.trim() }));
  return found.slice(0, -1).map((line, i) => ({ ...line, length: found[i + 1]!.address - line.address }));
}

/** Prefixes printed as words, branch hints and processors named in brackets are left out of the comparison. */
function mnemonic(line: string): string {
  const words = line.replace(/\s+/g, ' ').split(' ');
  while (words.length > 1 && /^(lock|rep|repz|repnz|bnd|data16|data32|addr16|addr32|rex(\.\w+)?|[cdefgs]s|notrack|xacquire|xrelease)$/.test(words[0]!)) words.shift();
  return words[0]!.replace(/,p[nt]$/, '').replace(/\(\d+$/, '');
}

/** Where objdump is not followed, and why. */
const knownDifferences: readonly { readonly why: string; readonly applies: (theirs: string, mine: string) => boolean }[] = [
  { why: 'second encodings of x87 operations, which processors carry out', applies: (theirs, mine) => theirs.includes('(bad)') && /^(fcom|fcomp|fxch|fstp)$/.test(mine) },
  { why: 'the register forms of the prefetch opcode are NOPs; its other memory forms hint at nothing here', applies: (theirs, mine) => theirs.includes('prefetch') && mine === 'nop' },
  { why: 'MPX is not offered: its opcodes are NOPs', applies: (theirs, mine) => /\bbnd\w+ /.test(theirs) && mine === 'nop' },
  { why: 'NOPs that CET and CLDEMOTE gave a meaning', applies: (theirs, mine) => /rdssp|cldemote/.test(theirs) && mine === 'nop' },
  { why: 'the fences take every ModRM.rm', applies: (theirs, mine) => theirs.includes('(bad)') && /^[ms]fence$/.test(mine) },
  { why: '66 does not matter here', applies: (theirs, mine) => theirs.includes('(bad)') && /^(wbinvd|vmmcall|nop|bsf|bsr)$/.test(mine) },
  { why: 'objdump 2.40 does not know SALC', applies: (theirs, mine) => theirs.includes('(bad)') && mine === 'salc' },
  { why: 'REX.W goes before 66', applies: (theirs, mine) => theirs.includes('rex.W') && /^(fldenv|fnstenv|fnsave|frstor)$/.test(mine) },
  { why: 'objdump takes WAIT for a prefix', applies: (_theirs, mine) => mine === 'fwait' },
];

describe.skipIf(!hasObjdump)('disassemble against objdump (skipped where binutils is not installed)', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'disassembler-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Each instruction in a slot of its own, filled up with one-byte NOPs so that objdump is in step again at the next. */
  const SLOT = 32;
  function listing(items: readonly Uint8Array[], codeSize: CodeSize): Map<number, PeerLine> {
    const image = new Uint8Array(items.length * SLOT).fill(0x90);
    items.forEach((bytes, i) => image.set(bytes, i * SLOT));
    const file = join(folder, `${codeSize}.bin`);
    writeFileSync(file, image);
    const mode = codeSize === 64 ? ['-m', 'i386:x86-64', '-M', 'intel,intel64'] : ['-m', codeSize === 32 ? 'i386' : 'i8086', '-M', 'intel'];
    const output = execFileSync('objdump', ['-D', '-z', '-b', 'binary', ...mode, '--no-show-raw-insn', file], { encoding: 'utf8', maxBuffer: 1 << 28 });
    return new Map(parseListing(output).map((line) => [line.address, line]));
  }

  it.each<CodeSize>([16, 32, 64])('gives each row its length and mnemonic in %i-bit code', (codeSize) => {
    const draw = randomWords(0x9e3779b9);
    const items = opcodeRows.flatMap((row, index) => (existsIn(row, codeSize) ? [0, 1].map(() => generateInstruction(draw, codeSize, index)) : []));
    const peer = listing(items, codeSize);
    const differences: string[] = [];
    items.forEach((bytes, i) => {
      const theirs = peer.get(i * SLOT)!;
      const mine = disassemble(bytes, BigInt(i * SLOT), codeSize);
      const name = mnemonic(mine.text);
      if (mnemonic(theirs.text) === name && theirs.length === mine.length) return;
      if (knownDifferences.some((known) => known.applies(theirs.text, name))) return;
      differences.push(`${Buffer.from(bytes).toString('hex')}: ${theirs.length} ${theirs.text} / ${mine.length} ${mine.text}`);
    });
    expect(items.length).toBeGreaterThan(1500);
    expect(differences).toEqual([]);
  });

  it.skipIf(process.arch !== 'x64' || process.platform !== 'linux')('prints the code of this Node as objdump does (skipped off x86-64 Linux)', () => {
    const file = process.execPath;
    const section = /\.text\s+([0-9a-f]+)\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)/.exec(execFileSync('objdump', ['-h', '-j', '.text', file], { encoding: 'utf8' }))!;
    const [size, start, offset] = section.slice(1).map((value) => Number.parseInt(value, 16)) as [number, number, number];
    const bytes = new Uint8Array(Math.min(size, 200_000));
    const from = Math.min(0x100000, size - bytes.length) & ~15;
    const descriptor = openSync(file, 'r');
    readSync(descriptor, bytes, 0, bytes.length, offset + from);
    closeSync(descriptor);
    const raw = join(folder, 'text.bin');
    writeFileSync(raw, bytes);
    const output = execFileSync('objdump', ['-D', '-z', '-b', 'binary', '-m', 'i386:x86-64', '-M', 'intel,intel64', '--no-show-raw-insn', `--adjust-vma=${start + from}`, raw], { encoding: 'utf8', maxBuffer: 1 << 28 });
    // objdump writes negative RIP-relative displacements and a SIB without index in ways of its own.
    const plain = (line: string): string => line.replace(/\s+#.*$/, '').replace(/\s+/g, ' ').replace(/^((data16|cs|ds|rex\S*|lock|notrack) )+/, '').replace(/,p[nt] /, ' ')
      .replace(/rip\+0xffffffff([89a-f][0-9a-f]{7})/, (_all, low: string) => `rip-0x${(0x100000000 - Number.parseInt(low, 16)).toString(16)}`).replace(/\+[re]iz\*\d/, '');
    const differences: string[] = [];
    let compared = 0;
    for (const line of parseListing(output).slice(64)) {
      const at = line.address - start - from;
      // EVEX has no rows; what lies between functions may be data.
      if (bytes[at] === 0x62 || line.text.includes('(bad)')) continue;
      const mine = disassemble(bytes.subarray(at), BigInt(line.address), 64);
      compared++;
      if (plain(mine.text) !== plain(line.text) || mine.length !== line.length) differences.push(`${line.text} / ${mine.text}`);
    }
    expect(compared).toBeGreaterThan(20_000);
    expect(differences.slice(0, 20)).toEqual([]);
  });
});
