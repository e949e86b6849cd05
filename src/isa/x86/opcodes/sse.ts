import { parseTable } from './row.ts';

// SSE to SSE4.2, AES, PCLMULQDQ, SHA, and their MMX-register forms (SDM 2D, tables ).
// Operand letters: V register by ModRM.reg, W register or memory by ModRM.rm, U register only, P/Q/N the MMX ones.
// Size letters: x 16 bytes, q 8, d 4, ss/sd scalar single and double, b/w byte and word in memory.

/** MMX/SSE2 integer operations that exist in both register files: opcode and name. */
const both = `
60 punpcklbw, 61 punpcklwd, 62 punpckldq, 63 packsswb, 64 pcmpgtb, 65 pcmpgtw, 66 pcmpgtd, 67 packuswb,
68 punpckhbw, 69 punpckhwd, 6A punpckhdq, 6B packssdw, 74 pcmpeqb, 75 pcmpeqw, 76 pcmpeqd,
D1 psrlw, D2 psrld, D3 psrlq, D4 paddq, D5 pmullw, D8 psubusb, D9 psubusw, DA pminub, DB pand, DC paddusb, DD paddusw,
DE pmaxub, DF pandn, E0 pavgb, E1 psraw, E2 psrad, E3 pavgw, E4 pmulhuw, E5 pmulhw, E8 psubsb, E9 psubsw, EA pminsw,
EB por, EC paddsb, ED paddsw, EE pmaxsw, EF pxor, F1 psllw, F2 pslld, F3 psllq, F4 pmuludq, F5 pmaddwd, F6 psadbw,
F8 psubb, F9 psubw, FA psubd, FB psubq, FC paddb, FD paddw, FE paddd`;
/** Which of them came to MMX registers later than MMX itself. */
const later: Readonly<Record<string, string>> = {
  paddq: 'sse2', psubq: 'sse2', pmuludq: 'sse2', pminub: 'sse', pmaxub: 'sse', pavgb: 'sse', pavgw: 'sse', pmulhuw: 'sse', pminsw: 'sse', pmaxsw: 'sse', psadbw: 'sse',
};
const ssse3 = `
00 pshufb, 01 phaddw, 02 phaddd, 03 phaddsw, 04 pmaddubsw, 05 phsubw, 06 phsubd, 07 phsubsw, 08 psignb, 09 psignw,
0A psignd, 0B pmulhrsw, 1C pabsb, 1D pabsw, 1E pabsd`;
const sse41 = `
17 ptest, 28 pmuldq, 29 pcmpeqq, 2B packusdw, 38 pminsb, 39 pminsd, 3A pminuw, 3B pminud, 3C pmaxsb, 3D pmaxsd,
3E pmaxuw, 3F pmaxud, 40 pmulld, 41 phminposuw`;
const entries = (text: string): [string, string][] => text.trim().split(/\s*,\s*/).map((entry) => entry.trim().split(' ') as [string, string]);

const integer = [
  ...entries(both).flatMap(([code, name]) => [`66 0F ${code} /r | ${name} Vx,Wx | f=sse2`, `NP 0F ${code} /r | ${name} Pq,${name.startsWith('punpckl') ? 'Qd' : 'Qq'} | f=${later[name] ?? 'mmx'} s=${name}_mmx`]),
  ...entries(ssse3).flatMap(([code, name]) => [`66 0F 38 ${code} /r | ${name} Vx,Wx | f=ssse3`, `NP 0F 38 ${code} /r | ${name} Pq,Qq | f=ssse3 s=${name}_mmx`]),
  ...entries(sse41).map(([code, name]) => `66 0F 38 ${code} /r | ${name} Vx,Wx | f=sse4.1`),
  ...[['20', 'pmovsxbw', 'q'], ['21', 'pmovsxbd', 'd'], ['22', 'pmovsxbq', 'w'], ['23', 'pmovsxwd', 'q'], ['24', 'pmovsxwq', 'd'], ['25', 'pmovsxdq', 'q']]
    .flatMap(([code, name, size]) => [`66 0F 38 ${code} /r | ${name} Vx,W${size} | f=sse4.1`, `66 0F 38 3${code![1]} /r | ${name!.replace('sx', 'zx')} Vx,W${size} | f=sse4.1`]),
].join('\n');

/** Arithmetic in four forms: packed single and double, scalar single and double. */
const arithmetic = [['51', 'sqrt'], ['58', 'add'], ['59', 'mul'], ['5C', 'sub'], ['5D', 'min'], ['5E', 'div'], ['5F', 'max']].map(([code, name]) => `
NP 0F ${code} /r | ${name}ps Vx,Wx | f=sse
66 0F ${code} /r | ${name}pd Vx,Wx | f=sse2
F3 0F ${code} /r | ${name}ss Vss,Wss | f=sse
F2 0F ${code} /r | ${name}sd Vsd,Wsd | f=sse2`).join('\n');

export const sseRows = parseTable(`
${integer}
${arithmetic}
NP 0F 10 /r | movups Vx,Wx | f=sse s=movu
66 0F 10 /r | movupd Vx,Wx | f=sse2 s=movu
F3 0F 10 /r | movss Vss,Wss | f=sse
F2 0F 10 /r | movsd Vsd,Wsd | f=sse2 s=movsdx
NP 0F 11 /r | movups Wx,Vx | f=sse s=movu
66 0F 11 /r | movupd Wx,Vx | f=sse2 s=movu
F3 0F 11 /r | movss Wss,Vss | f=sse
F2 0F 11 /r | movsd Wsd,Vsd | f=sse2 s=movsdx
NP 0F 12 /rm | movlps Vq,Mq | f=sse s=movlp
NP 0F 12 /rr | movhlps Vq,Uq | f=sse
66 0F 12 /r | movlpd Vq,Mq | f=sse2 s=movlp
F2 0F 12 /r | movddup Vx,Wq | f=sse3
F3 0F 12 /r | movsldup Vx,Wx | f=sse3
F3 0F 16 /r | movshdup Vx,Wx | f=sse3
NP 0F 13 /r | movlps Mq,Vq | f=sse s=movlp
66 0F 13 /r | movlpd Mq,Vq | f=sse2 s=movlp
NP 0F 14 /r | unpcklps Vx,Wx | f=sse
66 0F 14 /r | unpcklpd Vx,Wx | f=sse2 s=punpcklqdq
NP 0F 15 /r | unpckhps Vx,Wx | f=sse
66 0F 15 /r | unpckhpd Vx,Wx | f=sse2 s=punpckhqdq
NP 0F 16 /rm | movhps Vq,Mq | f=sse s=movhp
NP 0F 16 /rr | movlhps Vq,Uq | f=sse
66 0F 16 /r | movhpd Vq,Mq | f=sse2 s=movhp
NP 0F 17 /r | movhps Mq,Vq | f=sse s=movhp
66 0F 17 /r | movhpd Mq,Vq | f=sse2 s=movhp
NP 0F 28 /r | movaps Vx,Wx | f=sse s=mova
66 0F 28 /r | movapd Vx,Wx | f=sse2 s=mova
NP 0F 29 /r | movaps Wx,Vx | f=sse s=mova
66 0F 29 /r | movapd Wx,Vx | f=sse2 s=mova
F3 0F 2A /r | cvtsi2ss Vss,Ey | f=sse
F2 0F 2A /r | cvtsi2sd Vsd,Ey | f=sse2
NP 0F 2B /r | movntps Mx,Vx | f=sse s=mova
66 0F 2B /r | movntpd Mx,Vx | f=sse2 s=mova
F3 0F 2C /r | cvttss2si Gy,Wss | f=sse
F2 0F 2C /r | cvttsd2si Gy,Wsd | f=sse2
F3 0F 2D /r | cvtss2si Gy,Wss | f=sse
F2 0F 2D /r | cvtsd2si Gy,Wsd | f=sse2
NP 0F 2E /r | ucomiss Vss,Wss | f=sse
66 0F 2E /r | ucomisd Vsd,Wsd | f=sse2
NP 0F 2F /r | comiss Vss,Wss | f=sse
66 0F 2F /r | comisd Vsd,Wsd | f=sse2
NP 0F 50 /r | movmskps Gy,Ux | f=sse
66 0F 50 /r | movmskpd Gy,Ux | f=sse2
NP 0F 54 /r | andps Vx,Wx | f=sse s=pand
66 0F 54 /r | andpd Vx,Wx | f=sse2 s=pand
NP 0F 55 /r | andnps Vx,Wx | f=sse s=pandn
66 0F 55 /r | andnpd Vx,Wx | f=sse2 s=pandn
NP 0F 56 /r | orps Vx,Wx | f=sse s=por
66 0F 56 /r | orpd Vx,Wx | f=sse2 s=por
NP 0F 57 /r | xorps Vx,Wx | f=sse s=pxor
66 0F 57 /r | xorpd Vx,Wx | f=sse2 s=pxor
NP 0F 5A /r | cvtps2pd Vx,Wq | f=sse2
66 0F 5A /r | cvtpd2ps Vx,Wx | f=sse2
F3 0F 5A /r | cvtss2sd Vsd,Wss | f=sse2
F2 0F 5A /r | cvtsd2ss Vss,Wsd | f=sse2
NP 0F 5B /r | cvtdq2ps Vx,Wx | f=sse2
66 0F 5B /r | cvtps2dq Vx,Wx | f=sse2
F3 0F 5B /r | cvttps2dq Vx,Wx | f=sse2
F3 0F E6 /r | cvtdq2pd Vx,Wq | f=sse2
F2 0F E6 /r | cvtpd2dq Vx,Wx | f=sse2
66 0F E6 /r | cvttpd2dq Vx,Wx | f=sse2
66 0F 6C /r | punpcklqdq Vx,Wx | f=sse2
66 0F 6D /r | punpckhqdq Vx,Wx | f=sse2
66 0F 6E /r | movd Vx,Ey | f=sse2 s=movd_load
NP 0F 6E /r | movd Pq,Ey | f=mmx s=movd_load_mmx
66 0F 7E /r | movd Ey,Vx | f=sse2 s=movd_store
NP 0F 7E /r | movd Ey,Pq | f=mmx s=movd_store_mmx
66 0F 6F /r | movdqa Vx,Wx | f=sse2 s=mova
F3 0F 6F /r | movdqu Vx,Wx | f=sse2 s=movu
NP 0F 6F /r | movq Pq,Qq | f=mmx s=movq_mmx
66 0F 7F /r | movdqa Wx,Vx | f=sse2 s=mova
F3 0F 7F /r | movdqu Wx,Vx | f=sse2 s=movu
NP 0F 7F /r | movq Qq,Pq | f=mmx s=movq_mmx
F3 0F 7E /r | movq Vx,Wq | f=sse2 s=movq_load
66 0F D6 /r | movq Wq,Vx | f=sse2 s=movq_store
66 0F 70 /r | pshufd Vx,Wx,Ib | f=sse2
F3 0F 70 /r | pshufhw Vx,Wx,Ib | f=sse2
F2 0F 70 /r | pshuflw Vx,Wx,Ib | f=sse2
NP 0F 70 /r | pshufw Pq,Qq,Ib | f=sse
66 0F 71 /2r | psrlw Ux,Ib | f=sse2 s=psrlw_imm
66 0F 71 /4r | psraw Ux,Ib | f=sse2 s=psraw_imm
66 0F 71 /6r | psllw Ux,Ib | f=sse2 s=psllw_imm
66 0F 72 /2r | psrld Ux,Ib | f=sse2 s=psrld_imm
66 0F 72 /4r | psrad Ux,Ib | f=sse2 s=psrad_imm
66 0F 72 /6r | pslld Ux,Ib | f=sse2 s=pslld_imm
66 0F 73 /2r | psrlq Ux,Ib | f=sse2 s=psrlq_imm
66 0F 73 /3r | psrldq Ux,Ib | f=sse2
66 0F 73 /6r | psllq Ux,Ib | f=sse2 s=psllq_imm
66 0F 73 /7r | pslldq Ux,Ib | f=sse2
NP 0F 71 /2r | psrlw Nq,Ib | f=mmx s=psrlw_imm_mmx
NP 0F 71 /4r | psraw Nq,Ib | f=mmx s=psraw_imm_mmx
NP 0F 71 /6r | psllw Nq,Ib | f=mmx s=psllw_imm_mmx
NP 0F 72 /2r | psrld Nq,Ib | f=mmx s=psrld_imm_mmx
NP 0F 72 /4r | psrad Nq,Ib | f=mmx s=psrad_imm_mmx
NP 0F 72 /6r | pslld Nq,Ib | f=mmx s=pslld_imm_mmx
NP 0F 73 /2r | psrlq Nq,Ib | f=mmx s=psrlq_imm_mmx
NP 0F 73 /6r | psllq Nq,Ib | f=mmx s=psllq_imm_mmx
NP 0F C2 /r | cmpps Vx,Wx,Ib | f=sse
66 0F C2 /r | cmppd Vx,Wx,Ib | f=sse2
F3 0F C2 /r | cmpss Vss,Wss,Ib | f=sse
F2 0F C2 /r | cmpsd Vsd,Wsd,Ib | f=sse2 s=cmpsdx
66 0F C4 /r | pinsrw Vx,Edw,Ib | f=sse2
NP 0F C4 /r | pinsrw Pq,Edw,Ib | f=sse s=pinsrw_mmx
66 0F C5 /r | pextrw Gd,Ux,Ib | f=sse2
NP 0F C5 /r | pextrw Gd,Nq,Ib | f=sse s=pextrw_mmx
NP 0F C6 /r | shufps Vx,Wx,Ib | f=sse
66 0F C6 /r | shufpd Vx,Wx,Ib | f=sse2
66 0F D7 /r | pmovmskb Gd,Ux | f=sse2
NP 0F D7 /r | pmovmskb Gd,Nq | f=sse s=pmovmskb_mmx
66 0F E7 /r | movntdq Mx,Vx | f=sse2 s=mova
NP 0F E7 /r | movntq Mq,Pq | f=sse s=movq_mmx
F2 0F F0 /r | lddqu Vx,Mx | f=sse3 s=movu
66 0F 38 2A /r | movntdqa Vx,Mx | f=sse4.1 s=mova
66 0F 38 37 /r | pcmpgtq Vx,Wx | f=sse4.2
NP 0F 52 /r | rsqrtps Vx,Wx | f=sse x=approximate
F3 0F 52 /r | rsqrtss Vss,Wss | f=sse x=approximate
NP 0F 53 /r | rcpps Vx,Wx | f=sse x=approximate
F3 0F 53 /r | rcpss Vss,Wss | f=sse x=approximate
66 0F 7C /r | haddpd Vx,Wx | f=sse3
F2 0F 7C /r | haddps Vx,Wx | f=sse3
66 0F 7D /r | hsubpd Vx,Wx | f=sse3
F2 0F 7D /r | hsubps Vx,Wx | f=sse3
66 0F D0 /r | addsubpd Vx,Wx | f=sse3
F2 0F D0 /r | addsubps Vx,Wx | f=sse3
NP 0F 2A /r | cvtpi2ps Vq,Qq | f=sse
66 0F 2A /r | cvtpi2pd Vx,Qq | f=sse2
NP 0F 2C /r | cvttps2pi Pq,Wq | f=sse
66 0F 2C /r | cvttpd2pi Pq,Wx | f=sse2
NP 0F 2D /r | cvtps2pi Pq,Wq | f=sse
66 0F 2D /r | cvtpd2pi Pq,Wx | f=sse2
F3 0F D6 /rr | movq2dq Vx,Nq | f=sse2
F2 0F D6 /rr | movdq2q Pq,Ux | f=sse2
66 0F F7 /rr | maskmovdqu Vx,Ux | f=sse2
NP 0F F7 /rr | maskmovq Pq,Nq | f=sse
66 0F 38 10 /r | pblendvb Vx,Wx,xmm0 | f=sse4.1
66 0F 38 14 /r | blendvps Vx,Wx,xmm0 | f=sse4.1
66 0F 38 15 /r | blendvpd Vx,Wx,xmm0 | f=sse4.1
66 0F 3A 08 /r | roundps Vx,Wx,Ib | f=sse4.1
66 0F 3A 09 /r | roundpd Vx,Wx,Ib | f=sse4.1
66 0F 3A 0A /r | roundss Vss,Wss,Ib | f=sse4.1
66 0F 3A 0B /r | roundsd Vsd,Wsd,Ib | f=sse4.1
66 0F 3A 0C /r | blendps Vx,Wx,Ib | f=sse4.1
66 0F 3A 0D /r | blendpd Vx,Wx,Ib | f=sse4.1
66 0F 3A 0E /r | pblendw Vx,Wx,Ib | f=sse4.1
66 0F 3A 0F /r | palignr Vx,Wx,Ib | f=ssse3
NP 0F 3A 0F /r | palignr Pq,Qq,Ib | f=ssse3 s=palignr_mmx
66 0F 3A 14 /r | pextrb Edb,Vx,Ib | f=sse4.1
66 0F 3A 15 /r | pextrw Edw,Vx,Ib | f=sse4.1 s=pextrw_store
66 0F 3A 16 /r | pextrd Ey,Vx,Ib | f=sse4.1
66 0F 3A 17 /r | extractps Ed,Vx,Ib | f=sse4.1
66 0F 3A 20 /r | pinsrb Vx,Edb,Ib | f=sse4.1
66 0F 3A 21 /r | insertps Vx,Wd,Ib | f=sse4.1
66 0F 3A 22 /r | pinsrd Vx,Ey,Ib | f=sse4.1
66 0F 3A 40 /r | dpps Vx,Wx,Ib | f=sse4.1
66 0F 3A 41 /r | dppd Vx,Wx,Ib | f=sse4.1
66 0F 3A 42 /r | mpsadbw Vx,Wx,Ib | f=sse4.1
66 0F 3A 60 /r | pcmpestrm Vx,Wx,Ib | f=sse4.2
66 0F 3A 61 /r | pcmpestri Vx,Wx,Ib | f=sse4.2
66 0F 3A 62 /r | pcmpistrm Vx,Wx,Ib | f=sse4.2
66 0F 3A 63 /r | pcmpistri Vx,Wx,Ib | f=sse4.2
66 0F 3A 44 /r | pclmulqdq Vx,Wx,Ib | f=pclmulqdq
66 0F 38 DB /r | aesimc Vx,Wx | f=aes
66 0F 38 DC /r | aesenc Vx,Wx | f=aes
66 0F 38 DD /r | aesenclast Vx,Wx | f=aes
66 0F 38 DE /r | aesdec Vx,Wx | f=aes
66 0F 38 DF /r | aesdeclast Vx,Wx | f=aes
66 0F 3A DF /r | aeskeygenassist Vx,Wx,Ib | f=aes
NP 0F 38 C8 /r | sha1nexte Vx,Wx | f=sha
NP 0F 38 C9 /r | sha1msg1 Vx,Wx | f=sha
NP 0F 38 CA /r | sha1msg2 Vx,Wx | f=sha
NP 0F 38 CB /r | sha256rnds2 Vx,Wx,xmm0 | f=sha
NP 0F 38 CC /r | sha256msg1 Vx,Wx | f=sha
NP 0F 38 CD /r | sha256msg2 Vx,Wx | f=sha
NP 0F 3A CC /r | sha1rnds4 Vx,Wx,Ib | f=sha
`);
