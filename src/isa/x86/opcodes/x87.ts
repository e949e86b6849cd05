import { parseTable } from './row.ts';

export const x87Rows = parseTable(`
0F AE /0m | fxsave M | f=fxsr
0F AE /1m | fxrstor M | f=fxsr
0F AE /2m | ldmxcsr Md | f=sse
0F AE /3m | stmxcsr Md | f=sse
D9 /5m | fldcw Mw
D9 /7m | fnstcw Mw
DD /7m | fnstsw Mw
DF E0 | fnstsw AX
DB E3 | fninit
DB E2 | fnclex
NP 0F 77 | emms | f=mmx
`);
