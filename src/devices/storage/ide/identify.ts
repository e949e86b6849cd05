/** Words of an ASCII field of IDENTIFY DEVICE: the first character of a pair in the upper byte, padded with spaces. */
export function identifyText(text: string, words: number): Uint16Array {
  const padded = text.padEnd(words * 2).slice(0, words * 2);
  return Uint16Array.from({ length: words }, (_, i) => (padded.charCodeAt(2 * i) << 8) | padded.charCodeAt(2 * i + 1));
}
