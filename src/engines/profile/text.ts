import type { Profile } from './profiler.ts';
import type { Symbols } from './symbols.ts';

const hex = (address: bigint): string => address.toString(16);

/** Name of the code at an address: the kernel's symbol, or the page that it lies in. */
function naming(profile: Profile, symbols: Symbols | undefined): (address: bigint, user: boolean) => string {
  const offset = symbols?.offsetFor(profile.entry) ?? 0n;
  return (address, user) => (user ? undefined : symbols?.find(address - offset)) ?? `${hex((address >> 12n) << 12n)}`;
}

/** A table of regions, most time first, for people. */
export function profileText(profile: Profile, symbols: Symbols | undefined): string {
  const name = naming(profile, symbols);
  const total = profile.samples.reduce((sum, { ns }) => sum + ns, 0);
  const translated = profile.regions.reduce((sum, { ns }) => sum + ns, 0);
  const ms = (ns: number): string => (ns / 1e6).toFixed(1);
  const share = (ns: number): string => `${total === 0 ? '0.0' : ((100 * ns) / total).toFixed(1)} %`;
  const lines = [
    `# ${ms(total)} ms sampled, of them ${ms(translated)} ms (${share(translated)}) in ${profile.regions.length} translated regions; the rest was interpreted.`,
    '# Time: each slice of the guest counts for the instruction at which it ended. Instructions: in the region and executed in it.',
    `# ${'time ms'.padStart(8)} ${'share'.padStart(7)} ${'executions'.padStart(12)} ${'instructions'.padStart(14)} ${'size'.padStart(6)} ${'wasm bytes'.padStart(10)}  mode    addresses                          symbol or page`,
  ];
  const sorted = [...profile.regions].sort((a, b) => b.ns - a.ns || b.instructions - a.instructions);
  for (const { entry, start, end, user, size, translatedBytes, executions, instructions, ns } of sorted) {
    lines.push(`${ms(ns).padStart(10)} ${share(ns).padStart(7)} ${String(executions).padStart(12)} ${String(instructions).padStart(14)} ${String(size).padStart(6)} ${String(translatedBytes).padStart(10)}  ${user ? 'user  ' : 'kernel'}  ${`${hex(start)}-${hex(end)}`.padEnd(34)} ${name(entry, user)}`);
  }
  if (profile.uncounted > 0) lines.push(`# ${profile.uncounted} more regions were not counted`);
  return `${lines.join('\n')}\n`;
}

/** Folded stacks of two frames, mode and function (or page), with us: what flame graph tools read. */
export function foldedText(profile: Profile, symbols: Symbols | undefined): string {
  const name = naming(profile, symbols);
  const sums = new Map<string, number>();
  for (const { rip, user, ns } of profile.samples) {
    const stack = `${user ? 'user' : 'kernel'};${name(rip, user)}`;
    sums.set(stack, (sums.get(stack) ?? 0) + ns);
  }
  const lines = [...sums].map(([stack, ns]) => [stack, Math.round(ns / 1000)] as const).filter(([, us]) => us > 0).sort(([, a], [, b]) => b - a);
  return lines.map(([stack, us]) => `${stack} ${us}\n`).join('');
}
