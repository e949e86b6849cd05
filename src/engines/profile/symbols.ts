import { UserError } from '../../base/errors.ts';
import type { Profile } from './profiler.ts';

/** Names of code by address, from a System.map or /proc/kallsyms (lines of address, type, name). */
export class Symbols {
  readonly #addresses: readonly bigint[];
  readonly #names: readonly string[];

  private constructor(entries: readonly (readonly [bigint, string])[]) {
    this.#addresses = entries.map(([address]) => address);
    this.#names = entries.map(([, name]) => name);
  }

  /** Throws UserError, `name` in it, for a text that holds no addresses. */
  static parse(text: string, name: string): Symbols {
    const entries: (readonly [bigint, string])[] = [];
    for (const line of text.split('\n')) {
      const match = /^([0-9a-f]{8,16}) [tTwW] (\S+)/i.exec(line);
      if (match !== null) entries.push([BigInt(`0x${match[1]}`), match[2]!]);
    }
    const used = entries.filter(([address]) => address !== 0n);
    if (used.length === 0) throw new UserError(`map ${name} names no code; give the System.map of the guest's kernel, or its /proc/kallsyms read as root (distributions may ship an empty System.map)`);
    used.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return new Symbols(used);
  }

  /** How far the kernel lies from where the map has it (KASLR). */
  offsetFor(entry: Profile['entry']): bigint {
    const at = entry === undefined ? -1 : this.#names.indexOf(entry.symbol);
    return at < 0 ? 0n : entry!.address - this.#addresses[at]!;
  }

  /** The symbol that an address of the map belongs to. */
  find(address: bigint): string | undefined {
    let low = 0;
    let high = this.#addresses.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#addresses[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : this.#names[low - 1];
  }
}
