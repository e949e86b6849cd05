/**
 * Features that the engines implement in full: rows of others decode as undefined. CPUID (src/runtime/cpuid.ts) announces
 * the same ones; a test compares the two.
 */
export const implementedFeatures: ReadonlySet<string> = new Set(['mmx', 'fxsr', 'sse', 'sse2', 'popcnt', 'movbe', 'rdtscp']);
