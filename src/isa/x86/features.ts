/**
 * Features that the engines implement in full: rows of others decode as undefined. CPUID (src/runtime/cpuid.ts) announces
 * the same ones; a test compares the two.
 */
export const implementedFeatures: ReadonlySet<string> = new Set([
  'mmx', 'fxsr', 'sse', 'sse2', 'sse3', 'ssse3', 'sse4.1', 'sse4.2', 'cx16', 'popcnt', 'movbe', 'rdtscp',
  'lzcnt', 'adx', 'rdrand', 'rdseed', 'rdpid', 'fsgsbase', 'aes', 'pclmulqdq', 'sha', 'bmi1', 'bmi2',
  'smap', 'invpcid', 'pku', 'clflushopt', 'clwb',
  'xsave', 'xsaveopt', 'xsavec', 'avx', 'avx2', 'fma', 'f16c',
]);

/**
 * Rows of announced features that have no semantics yet: they raise #UD. This list only shrinks; building the interpreter
 * fails for any other row without semantics.
 */
export const unimplementedSemantics: ReadonlySet<string> = new Set([]);
