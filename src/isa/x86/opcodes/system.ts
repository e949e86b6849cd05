import { parseTable } from './row.ts';

export const systemRows = parseTable(`
0F 00 /0 | sldt Ev
0F 00 /1 | str Ev
0F 00 /2 | lldt Ew
0F 00 /3 | ltr Ew
0F 00 /4 | verr Ew
0F 00 /5 | verw Ew
0F 01 /0m | sgdt M
0F 01 /1m | sidt M
0F 01 /2m | lgdt M
0F 01 /3m | lidt M
0F 01 /4 | smsw Ev
0F 01 /6 | lmsw Ew
0F 01 /7m | invlpg M
NP 0F 01 CA | clac | f=smap
NP 0F 01 CB | stac | f=smap
0F 01 F8 | swapgs | o64
0F 01 F9 | rdtscp | f=rdtscp
0F 02 /r | lar Gv,Ew
0F 03 /r | lsl Gv,Ew
0F 05 | syscall
0F 06 | clts
0F 07 | sysret
0F 08 | invd | s=wbinvd
0F 09 | wbinvd
0F 20 /r | mov Ry,Cd | s=movfromcr f64
0F 22 /r | mov Cd,Ry | s=movtocr f64
0F 21 /r | mov Ry,Dd | s=movfromdr f64
0F 23 /r | mov Dd,Ry | s=movtodr f64
0F 30 | wrmsr
0F 31 | rdtsc
0F 32 | rdmsr
0F 33 | rdpmc
0F 34 | sysenter
0F 35 | sysexit
0F AA | rsm | s=ud2
0F AE /7m | clflush Mb | s=clflush
66 0F AE /7m | clflushopt Mb | f=clflushopt s=clflush
0F AE /5r | lfence | s=nop
0F AE /6r | mfence | s=nop
0F AE /7r | sfence | s=nop
F3 0F AE /0r | rdfsbase Ry | o64 f=fsgsbase
F3 0F AE /1r | rdgsbase Ry | o64 f=fsgsbase
F3 0F AE /2r | wrfsbase Ry | o64 f=fsgsbase
F3 0F AE /3r | wrgsbase Ry | o64 f=fsgsbase
`);
