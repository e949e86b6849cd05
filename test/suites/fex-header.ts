/** What a test of FEX's `unittests/ASM` says of itself in JSON between `%ifdef CONFIG` and `%endif`. */
export interface FexHeader {
  readonly width: 32 | 64;
  /** In the suite's words: 'AVX', '3DNOW', 'LINUX', ... */
  readonly features: readonly string[];
  /** Values of registers at the end, 64 bits each, low ones first; as many as the test cares about. */
  readonly registers: ReadonlyMap<string, readonly bigint[]>;
  /** Memory that the test wants, by address: number of bytes. */
  readonly regions: ReadonlyMap<bigint, bigint>;
  /** Its contents at the beginning. */
  readonly contents: ReadonlyMap<bigint, Uint8Array>;
  readonly environment: Readonly<Record<string, string>>;
}

interface RawHeader {
  readonly MODE?: string;
  readonly HOSTFEATURES?: readonly string[];
  readonly REGDATA?: Readonly<Record<string, string | readonly string[]>>;
  readonly MEMORYREGIONS?: Readonly<Record<string, string>>;
  readonly MEMORYDATA?: Readonly<Record<string, string>>;
  readonly ENV?: Readonly<Record<string, string>>;
}

/** Undefined for a file that is not a test. Throws when what stands there is no JSON. */
export function parseFexHeader(source: string): FexHeader | undefined {
  const text = /%ifdef CONFIG([^]*?)%endif/.exec(source)?.[1];
  if (text === undefined) return undefined;
  const raw = Object.fromEntries(Object.entries(JSON.parse(text) as object).map(([key, value]) => [key.toUpperCase(), value as unknown])) as RawHeader;
  return {
    width: raw.MODE?.toUpperCase() === '32BIT' ? 32 : 64,
    features: (raw.HOSTFEATURES ?? []).map((name) => name.toUpperCase()),
    registers: new Map(Object.entries(raw.REGDATA ?? {}).map(([name, value]) => [name.toUpperCase(), (typeof value === 'string' ? [value] : value).map(numberOf)])),
    regions: new Map(Object.entries(raw.MEMORYREGIONS ?? {}).map(([address, size]) => [numberOf(address), numberOf(size)])),
    contents: new Map(Object.entries(raw.MEMORYDATA ?? {}).map(([address, value]) => [numberOf(address), contentsOf(value)])),
    environment: raw.ENV ?? {},
  };
}

const numberOf = (text: string): bigint => BigInt(text.replaceAll('_', ''));

/** Words of hexadecimal digits, each with its lowest byte last. */
function contentsOf(value: string): Uint8Array {
  return Buffer.concat(value.trim().split(/\s+/).map((word) => {
    const digits = word.replace(/^0x/, '');
    return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex').reverse();
  }));
}
