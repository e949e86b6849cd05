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
  `fadd fmul fcom fcomp fsub fsubr fdiv fdivr fiadd fimul ficom ficomp fisub fisubr fidiv fidivr faddp fmulp fsubrp fsubp fdivrp fdivp fcompp fld fst fstp fldenv fnstenv fxch fnop
  fchs fabs ftst fxam fld1 fldl2t fldl2e fldpi fldlg2 fldln2 fldz f2xm1 fyl2x fptan fpatan fxtract fprem1 fdecstp fincstp fprem fyl2xp1 fsqrt fsincos frndint fscale fsin fcos fcmovb
  fcmove fcmovbe fcmovu fucompp fcmovnb fcmovne fcmovnbe fcmovnu fucomi fcomi fucomip fcomip fild fist fistp frstor fnsave ffree fucom fucomp fbld fbstp ffreep pinsrw_mmx pextrw_mmx
  rsqrtps rsqrtss rcpps rcpss cvtpi2ps cvtpi2pd cvttps2pi cvttpd2pi cvtps2pi cvtpd2pi movq2dq movdq2q maskmovdqu maskmovq`.split(/\s+/),
);
