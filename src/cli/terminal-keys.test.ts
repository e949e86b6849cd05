import { describe, expect, it } from 'vitest';
import { TerminalKeys } from './terminal-keys.ts';

const text = (parts: (Uint8Array | string)[]): string[] => parts.map((part) => (typeof part === 'string' ? `<${part}>` : Buffer.from(part).toString('latin1')));
const feed = (...chunks: string[]): string[] => {
  const keys = new TerminalKeys();
  const parts: (Uint8Array | string)[] = [];
  for (const chunk of chunks) {
    for (let rest: Uint8Array = Buffer.from(chunk, 'latin1'); rest.length > 0; ) {
      const [part, behind] = keys.take(rest);
      if (typeof part === 'string' || part.length > 0) parts.push(part);
      rest = behind;
    }
  }
  return text(parts);
};

describe('keys of the terminal', () => {
  it('go to the guest as they are, but for Ctrl-A', () => {
    expect(feed('ls\r\x03\x1b[A\xff\x00')).toEqual(['ls\r\x03\x1b[A\xff\x00']);
  });
  it('are commands behind Ctrl-A, in either case, in order with the rest', () => {
    expect(feed('a\x01xb')).toEqual(['a', '<quit>', 'b']);
    expect(feed('\x01X\x01h\x01H\x01?\x01b\x01p')).toEqual(['<quit>', '<help>', '<help>', '<help>', '<break>', '<power>']);
  });
  it('are split anywhere', () => expect(feed('a\x01', 'x')).toEqual(['a', '<quit>']));
  it('send Ctrl-A when it is typed twice', () => expect(feed('\x01\x01x', '\x01', '\x01')).toEqual(['\x01x', '\x01']));
  it('are dropped behind Ctrl-A when they are no command', () => expect(feed('\x01zq')).toEqual(['q']));
});
