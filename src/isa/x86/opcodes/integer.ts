import { parseTable } from './row.ts';

const names = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

/** The eight operations that share one pattern of encodings (Intel SDM 2D, table A-2). */
const group1 = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'].map((name, i) => {
  const base = i * 8;
  const lock = name === 'cmp' ? '' : 'lock';
  const undefinedFlags = name === 'and' || name === 'or' || name === 'xor' ? 'u=a' : '';
  return `
${hex(base)} /r | ${name} Eb,Gb | ${lock} ${undefinedFlags}
${hex(base + 1)} /r | ${name} Ev,Gv | ${lock} ${undefinedFlags}
${hex(base + 2)} /r | ${name} Gb,Eb | ${undefinedFlags}
${hex(base + 3)} /r | ${name} Gv,Ev | ${undefinedFlags}
${hex(base + 4)} | ${name} AL,Ib | ${undefinedFlags}
${hex(base + 5)} | ${name} rAX,Iz | ${undefinedFlags}
80 /${i} | ${name} Eb,Ib | ${lock} ${undefinedFlags}
81 /${i} | ${name} Ev,Iz | ${lock} ${undefinedFlags}
82 /${i} | ${name} Eb,Ib | i64 ${lock} ${undefinedFlags}
83 /${i} | ${name} Ev,Ibs | ${lock} ${undefinedFlags}`;
}).join('\n');

const shiftGroup = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar'].map((name, i) => {
  // By counts beyond the width of a byte or word, SHL and SHR leave CF undefined as well.
  const undefinedFlags = i < 4 ? 'u=o' : 'u=oa';
  const byOne = i < 4 ? '' : 'u=a';
  return `
C0 /${i} | ${name} Eb,Ib | ${undefinedFlags}
C1 /${i} | ${name} Ev,Ib | ${undefinedFlags}
D0 /${i} | ${name} Eb,1 | ${byOne}
D1 /${i} | ${name} Ev,1 | ${byOne}
D2 /${i} | ${name} Eb,CL | ${undefinedFlags}
D3 /${i} | ${name} Ev,CL | ${undefinedFlags}`;
}).join('\n');

const conditional = names.map((name, i) => `
${hex(0x70 + i)} | j${name} Jb | f64
0F ${hex(0x80 + i)} | j${name} Jz | f64
0F ${hex(0x90 + i)} /r | set${name} Eb
0F ${hex(0x40 + i)} /r | cmov${name} Gv,Ev`).join('\n');

export const integerRows = parseTable(`
${group1}
${shiftGroup}
${conditional}
06 | push ES | i64 s=pushseg
0E | push CS | i64 s=pushseg
16 | push SS | i64 s=pushseg
1E | push DS | i64 s=pushseg
0F A0 | push FS | d64 s=pushseg
0F A8 | push GS | d64 s=pushseg
07 | pop ES | i64 s=popseg x=segment
17 | pop SS | i64 s=popseg x=segment
1F | pop DS | i64 s=popseg x=segment
0F A1 | pop FS | d64 s=popseg x=segment
0F A9 | pop GS | d64 s=popseg x=segment
27 | daa | i64 u=o
2F | das | i64 u=o
37 | aaa | i64 u=oszp
3F | aas | i64 u=oszp
D4 | aam Ib | i64 u=oac
D5 | aad Ib | i64 u=oac
40+r | inc Zv | i64
48+r | dec Zv | i64
50+r | push Zv | d64
58+r | pop Zv | d64
60 | pusha | i64
61 | popa | i64
62 /r | bound Gv,Ma | i64
63 /r | arpl Ew,Gw | i64
63 /r | movsxd Gv,Ed | o64
68 | push Iz | d64
6A | push Ibs | d64
69 /r | imul Gv,Ev,Iz | u=szap
6B /r | imul Gv,Ev,Ibs | u=szap
0F AF /r | imul Gv,Ev | u=szap
84 /r | test Eb,Gb | u=a
85 /r | test Ev,Gv | u=a
86 /r | xchg Eb,Gb | locks
87 /r | xchg Ev,Gv | locks
88 /r | mov Eb,Gb
89 /r | mov Ev,Gv
8A /r | mov Gb,Eb
8B /r | mov Gv,Ev
8C /r | mov Ev,Sw | s=movfromseg
8E /r | mov Sw,Ew | s=movtoseg x=segment
8D /r | lea Gv,M
8F /0 | pop Ev | d64
90 | nop
F3 90 | pause
90+r | xchg Zv,rAX
98 | cbw
99 | cwd
9B | fwait
9C | pushf | d64
9D | popf | d64
9E | sahf
9F | lahf
A0 | mov AL,Ob
A1 | mov rAX,Ov
A2 | mov Ob,AL
A3 | mov Ov,rAX
A4 | movsb Yb,Xb | rep s=movs
A5 | movs Yv,Xv | rep
A6 | cmpsb Xb,Yb | rep s=cmps
A7 | cmps Xv,Yv | rep
A8 | test AL,Ib | u=a
A9 | test rAX,Iz | u=a
AA | stosb Yb,AL | rep s=stos
AB | stos Yv,rAX | rep
AC | lodsb AL,Xb | rep s=lods
AD | lods rAX,Xv | rep
AE | scasb AL,Yb | rep s=scas
AF | scas rAX,Yv | rep
6C | insb Yb,DX | rep s=ins
6D | ins Yz,DX | rep
6E | outsb DX,Xb | rep s=outs
6F | outs DX,Xz | rep
B0+r | mov Zb,Ib
B8+r | mov Zv,Iv
C2 | ret Iw | f64
C3 | ret | f64
C4 /r | les Gv,Mp | i64 x=segment
C5 /r | lds Gv,Mp | i64 x=segment
0F B2 /r | lss Gv,Mp | x=segment
0F B4 /r | lfs Gv,Mp | x=segment
0F B5 /r | lgs Gv,Mp | x=segment
C6 /0 | mov Eb,Ib
C7 /0 | mov Ev,Iz
C8 | enter Iw,Ib | d64
C9 | leave | d64
CA | retf Iw | x=segment
CB | retf | x=segment
CC | int3
CD | int Ib | x=system
CE | into | i64
CF | iret | x=segment
D6 | salc | i64
D7 | xlat
E0 | loopne Jb | f64
E1 | loope Jb | f64
E2 | loop Jb | f64
E3 | jcxz Jb | f64
E4 | in AL,Ib
E5 | in eAX,Ib
E6 | out Ib,AL
E7 | out Ib,eAX
EC | in AL,DX
ED | in eAX,DX
EE | out DX,AL
EF | out DX,eAX
E8 | call Jz | f64 s=calljz
E9 | jmp Jz | f64 s=jmpjz
EB | jmp Jb | f64 s=jmpjz
9A | callf Ap | i64 s=callfar x=segment
EA | jmpf Ap | i64 s=jmpfar x=segment
F1 | int1 | x=system
F4 | hlt
F5 | cmc
F8 | clc
F9 | stc
FA | cli
FB | sti
FC | cld
FD | std
F6 /0 | test Eb,Ib | u=a
F6 /1 | test Eb,Ib | u=a
F7 /0 | test Ev,Iz | u=a
F7 /1 | test Ev,Iz | u=a
F6 /2 | not Eb | lock
F7 /2 | not Ev | lock
F6 /3 | neg Eb | lock
F7 /3 | neg Ev | lock
F6 /4 | mul Eb | u=szap
F7 /4 | mul Ev | u=szap
F6 /5 | imul Eb | u=szap
F7 /5 | imul Ev | u=szap
F6 /6 | div Eb | u=oszapc
F7 /6 | div Ev | u=oszapc
F6 /7 | idiv Eb | u=oszapc
F7 /7 | idiv Ev | u=oszapc
FE /0 | inc Eb | lock
FE /1 | dec Eb | lock
FF /0 | inc Ev | lock
FF /1 | dec Ev | lock
FF /2 | call Ev | f64 s=callev
FF /3 | callf Mp | s=callfarmem x=segment
FF /4 | jmp Ev | f64 s=jmpev
FF /5 | jmpf Mp | s=jmpfarmem x=segment
FF /6 | push Ev | d64
0F 18 /r | nop Ev
0F 18 /0m | prefetchnta Mb | s=nop
0F 18 /1m | prefetcht0 Mb | s=nop
0F 18 /2m | prefetcht1 Mb | s=nop
0F 18 /3m | prefetcht2 Mb | s=nop
0F 19 /r | nop Ev
0F 1A /r | nop Ev
0F 1B /r | nop Ev
0F 1C /r | nop Ev
0F 1D /r | nop Ev
0F 1E /r | nop Ev
F3 0F 1E FA | endbr64 | s=nop
F3 0F 1E FB | endbr32 | s=nop
0F 1F /r | nop Ev
0F 0D /r | nop Ev | x=vendor
0F 0D /0m | prefetch Mb | s=nop
0F 0D /1m | prefetchw Mb | s=nop
0F A2 | cpuid | x=identity
0F A3 /r | bt Ev,Gv | u=osap
0F AB /r | bts Ev,Gv | lock u=osap
0F B3 /r | btr Ev,Gv | lock u=osap
0F BB /r | btc Ev,Gv | lock u=osap
0F BA /4 | bt Ev,Ib | u=osap
0F BA /5 | bts Ev,Ib | lock u=osap
0F BA /6 | btr Ev,Ib | lock u=osap
0F BA /7 | btc Ev,Ib | lock u=osap
0F A4 /r | shld Ev,Gv,Ib | u=oa
0F A5 /r | shld Ev,Gv,CL | u=oa
0F AC /r | shrd Ev,Gv,Ib | u=oa
0F AD /r | shrd Ev,Gv,CL | u=oa
0F B0 /r | cmpxchg Eb,Gb | lock
0F B1 /r | cmpxchg Ev,Gv | lock
0F B6 /r | movzx Gv,Eb
0F B7 /r | movzx Gv,Ew
0F BE /r | movsx Gv,Eb
0F BF /r | movsx Gv,Ew
F3 0F B8 /r | popcnt Gv,Ev | f=popcnt
F3 0F BC /r | tzcnt Gv,Ev | f=bmi1 u=osap
F3 0F BD /r | lzcnt Gv,Ev | f=lzcnt u=osap
0F BC /r | bsf Gv,Ev | u=osapc
0F BD /r | bsr Gv,Ev | u=osapc
0F C0 /r | xadd Eb,Gb | lock
0F C1 /r | xadd Ev,Gv | lock
NP 0F C3 /r | movnti My,Gy | f=sse2
REX.W0 0F C7 /1m | cmpxchg8b Mq | lock
REX.W 0F C7 /1m | cmpxchg16b Mx | o64 lock f=cx16
0F C8+r | bswap Zv
NFx 0F 38 F0 /r | movbe Gv,Mv | f=movbe
NFx 0F 38 F1 /r | movbe Mv,Gv | f=movbe
F2 0F 38 F0 /r | crc32 Gy,Eb | f=sse4.2
F2 0F 38 F1 /r | crc32 Gy,Ev | f=sse4.2
66 0F 38 F6 /r | adcx Gy,Ey | f=adx
F3 0F 38 F6 /r | adox Gy,Ey | f=adx
NFx 0F C7 /6r | rdrand Rv | f=rdrand x=random
NFx 0F C7 /7r | rdseed Rv | f=rdseed x=random
F3 0F C7 /7r | rdpid Ry | f64 f=rdpid x=clock
0F 0B | ud2
0F B9 /r | ud1 Gv,Ev | s=ud2
0F FF /r | ud0 Gv,Ev | s=ud2
`);
