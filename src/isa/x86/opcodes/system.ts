import { parseTable } from './row.ts';

export const systemRows = parseTable(`
0F 00 /0 | sldt Ev | x=table
0F 00 /1 | str Ev | x=table
0F 00 /2 | lldt Ew
0F 00 /3 | ltr Ew
0F 00 /4 | verr Ew | x=segment
0F 00 /5 | verw Ew | x=segment
0F 01 /0m | sgdt M | f64 x=table
0F 01 /1m | sidt M | f64 x=table
0F 01 /2m | lgdt M | f64
0F 01 /3m | lidt M | f64
0F 01 /4 | smsw Ev | x=table
0F 01 /6 | lmsw Ew
0F 01 /7m | invlpg Mb
0F 01 C8 | monitor | f=monitor x=virtual
0F 01 C9 | mwait | f=monitor x=virtual
NP 0F 01 CA | clac | f=smap
NP 0F 01 CB | stac | f=smap
NP 0F 01 EE | rdpkru | f=pku x=identity
NP 0F 01 EF | wrpkru | f=pku x=identity
NP 0F 01 D0 | xgetbv | f=xsave x=identity
NP 0F 01 D1 | xsetbv | f=xsave
0F 01 F8 | swapgs | o64
0F 01 F9 | rdtscp | f=rdtscp x=clock
0F 02 /r | lar Gv,Ew | x=segment
0F 03 /r | lsl Gv,Ew | x=segment
0F 05 | syscall | x=system
0F 06 | clts
0F 07 | sysret | x=vendor
0F 08 | invd | s=wbinvd
0F 09 | wbinvd
F3 0F 09 | wbnoinvd | f=wbnoinvd s=wbinvd
0F 20 /r | mov Ry,Cd | s=movfromcr f64
0F 22 /r | mov Cd,Ry | s=movtocr f64
0F 21 /r | mov Ry,Dd | s=movfromdr f64
0F 23 /r | mov Dd,Ry | s=movtodr f64
0F 30 | wrmsr
0F 31 | rdtsc | x=clock
0F 32 | rdmsr
0F 33 | rdpmc | x=clock
0F 34 | sysenter | x=system
0F 35 | sysexit | x=vendor
0F AA | rsm | s=ud2
NP 0F AE /4m | xsave M | f=xsave x=pointers
NP 0F AE /5m | xrstor M | f=xsave x=pointers
NP 0F AE /6m | xsaveopt M | f=xsaveopt x=pointers
NP 0F C7 /3m | xrstors M | f=xsaves x=pointers
NP 0F C7 /4m | xsavec M | f=xsavec x=pointers
NP 0F C7 /5m | xsaves M | f=xsaves x=pointers
NP 0F AE /7m | clflush Mb | s=clflush
66 0F AE /7m | clflushopt Mb | f=clflushopt s=clflush
66 0F AE /6m | clwb Mb | f=clwb s=clflush
NP 0F AE /5r | lfence | s=nop
NP 0F AE /6r | mfence
NP 0F AE /7r | sfence | s=nop
F3 0F AE /0r | rdfsbase Ry | o64 f=fsgsbase
F3 0F AE /1r | rdgsbase Ry | o64 f=fsgsbase
F3 0F AE /2r | wrfsbase Ry | o64 f=fsgsbase
F3 0F AE /3r | wrgsbase Ry | o64 f=fsgsbase
66 0F 38 82 /r | invpcid Gy,Mx | f64 f=invpcid
# Virtualization is not offered to guests: all of it is #UD, as where CPUID does not announce it, but for calls of the paravirtual interface.
0F 01 C1 | vmcall | s=hypercall x=virtual
0F 01 C2 | vmlaunch | s=ud2 x=virtual
0F 01 C3 | vmresume | s=ud2 x=virtual
0F 01 C4 | vmxoff | s=ud2 x=virtual
NP 0F 01 D4 | vmfunc | s=ud2 x=virtual
0F 01 D8 | vmrun | s=ud2 x=virtual
0F 01 D9 | vmmcall | s=hypercall x=virtual
0F 01 DA | vmload | s=ud2 x=virtual
0F 01 DB | vmsave | s=ud2 x=virtual
0F 01 DC | stgi | s=ud2 x=virtual
0F 01 DD | clgi | s=ud2 x=virtual
0F 01 DE | skinit | s=ud2 x=virtual
0F 01 DF | invlpga | s=ud2 x=virtual
NP 0F 78 /r | vmread Ey,Gy | f64 s=ud2 x=virtual
NP 0F 79 /r | vmwrite Gy,Ey | f64 s=ud2 x=virtual
NP 0F C7 /6m | vmptrld Mq | s=ud2 x=virtual
66 0F C7 /6m | vmclear Mq | s=ud2 x=virtual
F3 0F C7 /6m | vmxon Mq | s=ud2 x=virtual
NP 0F C7 /7m | vmptrst Mq | s=ud2 x=virtual
66 0F 38 80 /r | invept Gy,Mx | f64 s=ud2 x=virtual
66 0F 38 81 /r | invvpid Gy,Mx | f64 s=ud2 x=virtual
`);
