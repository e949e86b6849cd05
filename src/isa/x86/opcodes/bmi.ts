import { parseTable } from './row.ts';

// BMI1 and BMI2 (SDM 1, 5.1.16): VEX-encoded, on general registers. TZCNT is with the others of its opcode.
export const bmiRows = parseTable(`
VEX.128.NP.0F38.WIG F2 /r | andn Gy,By,Ey | f=bmi1 u=ap
VEX.128.NP.0F38.WIG F7 /r | bextr Gy,Ey,By | f=bmi1 u=asp
VEX.128.NP.0F38.WIG F3 /1 | blsr By,Ey | f=bmi1 u=ap
VEX.128.NP.0F38.WIG F3 /2 | blsmsk By,Ey | f=bmi1 u=ap
VEX.128.NP.0F38.WIG F3 /3 | blsi By,Ey | f=bmi1 u=ap
VEX.128.NP.0F38.WIG F5 /r | bzhi Gy,Ey,By | f=bmi2 u=ap
VEX.128.F2.0F38.WIG F6 /r | mulx Gy,By,Ey | f=bmi2
VEX.128.F2.0F38.WIG F5 /r | pdep Gy,By,Ey | f=bmi2
VEX.128.F3.0F38.WIG F5 /r | pext Gy,By,Ey | f=bmi2
VEX.128.F2.0F3A.WIG F0 /r | rorx Gy,Ey,Ib | f=bmi2
VEX.128.F3.0F38.WIG F7 /r | sarx Gy,Ey,By | f=bmi2
VEX.128.66.0F38.WIG F7 /r | shlx Gy,Ey,By | f=bmi2
VEX.128.F2.0F38.WIG F7 /r | shrx Gy,Ey,By | f=bmi2
`);
