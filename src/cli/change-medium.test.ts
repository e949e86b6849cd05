import { expect, it } from 'vitest';
import { parseChange } from './change-medium.ts';
import { LinePrompt } from './line-prompt.ts';

it('understands which drive, which image, and force', () => {
  expect(parseChange('cdrom a disc.iso')).toEqual({ kind: 'cdrom', file: 'a disc.iso', force: false });
  expect(parseChange(' floppy ')).toEqual({ kind: 'floppy', file: undefined, force: false });
  expect(parseChange('!cdrom')).toEqual({ kind: 'cdrom', file: undefined, force: true });
  expect(() => parseChange('dvd x')).toThrow('"dvd x" is not understood; give cdrom or floppy');
});

it('asks for a line, which can be corrected and cancelled', () => {
  const ask = (typed: string): { shown: string; answer: string | undefined | null; rest: string | undefined } => {
    let [shown, answer]: [string, string | undefined | null] = ['', null];
    const prompt = new LinePrompt('? ', (text) => (shown += text), (line) => (answer = line));
    const rest = prompt.feed(Buffer.from(typed));
    return { shown, answer, rest: rest === undefined ? undefined : Buffer.from(rest).toString() };
  };
  expect(ask('cdrox\x7fm ä.iso\rls\r')).toEqual({ shown: '\r\n? \r\n', answer: 'cdrom ä.iso', rest: 'ls\r' });
  expect(ask('ü\x7fx')).toEqual({ shown: '\r\n? \r\x1b[K? x', answer: null, rest: undefined });
  expect(ask('wrong\x15right\n').answer).toBe('right');
  expect(ask('cdrom\x1b').answer).toBe(undefined);
});
