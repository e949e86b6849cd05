/**
 * Features that the engines implement in full: rows of others decode as undefined. CPUID (src/runtime/cpuid.ts) announces
 * the same ones; a test compares the two.
 */
export const implementedFeatures: ReadonlySet<string> = new Set(['mmx', 'fxsr', 'sse', 'sse2', 'cx16', 'popcnt', 'movbe', 'rdtscp']);

/**
 * Rows of announced features that have no semantics yet: they raise #UD. This list only shrinks; building the interpreter
 * fails for any other row without semantics.
 */
export const unimplementedSemantics: ReadonlySet<string> = new Set(
  `pinsrw_mmx pextrw_mmx rsqrtps rsqrtss rcpps rcpss cvtpi2ps cvtpi2pd cvttps2pi cvttpd2pi cvtps2pi cvtpd2pi movq2dq movdq2q maskmovdqu maskmovq`.split(/\s+/),
);
