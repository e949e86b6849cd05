import { parseTable } from './row.ts';

// VEX-encoded vector instructions (SDM 2D, tables A-3 to A-5): AVX, AVX2, FMA, F16C, and the VEX forms of AES and PCLMULQDQ.
// Lines with `L` for the length stand for two rows: x is then dq (XMM) or qq (YMM), h half of that, o a quarter.

const entries = (text: string): [string, string][] => text.trim().split(/\s*,\s*/).map((entry) => entry.trim().split(' ') as [string, string]);

/** Integer operations: opcode and name; the 256-bit form is AVX2. */
const integer0F = `
60 punpcklbw, 61 punpcklwd, 62 punpckldq, 63 packsswb, 64 pcmpgtb, 65 pcmpgtw, 66 pcmpgtd, 67 packuswb,
68 punpckhbw, 69 punpckhwd, 6A punpckhdq, 6B packssdw, 6C punpcklqdq, 6D punpckhqdq, 74 pcmpeqb, 75 pcmpeqw, 76 pcmpeqd,
D4 paddq, D5 pmullw, D8 psubusb, D9 psubusw, DA pminub, DB pand, DC paddusb, DD paddusw,
DE pmaxub, DF pandn, E0 pavgb, E3 pavgw, E4 pmulhuw, E5 pmulhw, E8 psubsb, E9 psubsw, EA pminsw,
EB por, EC paddsb, ED paddsw, EE pmaxsw, EF pxor, F4 pmuludq, F5 pmaddwd, F6 psadbw,
F8 psubb, F9 psubw, FA psubd, FB psubq, FC paddb, FD paddw, FE paddd`;
const shifts0F = 'D1 psrlw, D2 psrld, D3 psrlq, E1 psraw, E2 psrad, F1 psllw, F2 pslld, F3 psllq';
const integer0F38 = `
00 pshufb, 01 phaddw, 02 phaddd, 03 phaddsw, 04 pmaddubsw, 05 phsubw, 06 phsubd, 07 phsubsw, 08 psignb, 09 psignw, 0A psignd, 0B pmulhrsw,
28 pmuldq, 29 pcmpeqq, 2B packusdw, 37 pcmpgtq, 38 pminsb, 39 pminsd, 3A pminuw, 3B pminud, 3C pmaxsb, 3D pmaxsd, 3E pmaxuw, 3F pmaxud, 40 pmulld`;
const unary0F38 = '1C pabsb, 1D pabsw, 1E pabsd';

/** A line for both lengths: features for 128 and 256 bits. */
function both(line: string, feature128: string, feature256: string): string[] {
  const sized = (length: string, whole: string, half: string, quarter: string, feature: string): string => {
    const [encoding, operands, options] = line.split('|') as [string, string, string?];
    const resized = operands.replace(/\b([VHWUMNL])([xho])\b/g, (_, letter: string, size: string) => letter + { x: whole, h: half, o: quarter }[size as 'x' | 'h' | 'o']);
    return `${encoding.replace('.L.', `.${length}.`)}|${resized}| ${(options ?? '').trim()} f=${feature}`;
  };
  return [sized('128', 'dq', 'q', 'd', feature128), sized('256', 'qq', 'dq', 'q', feature256)];
}
const avx = (text: string): string[] => text.trim().split('\n').flatMap((line) => both(line, 'avx', 'avx'));
const avxThenAvx2 = (text: string): string[] => text.trim().split('\n').flatMap((line) => both(line, 'avx', 'avx2'));
const avx2 = (text: string): string[] => text.trim().split('\n').flatMap((line) => both(line, 'avx2', 'avx2'));

const integer = avxThenAvx2([
  ...entries(integer0F).map(([code, name]) => `VEX.L.66.0F.WIG ${code} /r | v${name} Vx,Hx,Wx | s=${name}`),
  ...entries(shifts0F).map(([code, name]) => `VEX.L.66.0F.WIG ${code} /r | v${name} Vx,Hx,Wdq | s=${name}`),
  ...entries(integer0F38).map(([code, name]) => `VEX.L.66.0F38.WIG ${code} /r | v${name} Vx,Hx,Wx | s=${name}`),
  ...entries(unary0F38).map(([code, name]) => `VEX.L.66.0F38.WIG ${code} /r | v${name} Vx,Wx | s=${name}`),
  ...[['71', 2, 'psrlw'], ['71', 4, 'psraw'], ['71', 6, 'psllw'], ['72', 2, 'psrld'], ['72', 4, 'psrad'], ['72', 6, 'pslld'], ['73', 2, 'psrlq'], ['73', 6, 'psllq']]
    .map(([code, digit, name]) => `VEX.L.66.0F.WIG ${code} /${digit}r | v${name} Hx,Ux,Ib | s=${name}_imm`),
  'VEX.L.66.0F.WIG 73 /3r | vpsrldq Hx,Ux,Ib | s=psrldq',
  'VEX.L.66.0F.WIG 73 /7r | vpslldq Hx,Ux,Ib | s=pslldq',
  ...[['66', 'd'], ['F3', 'hw'], ['F2', 'lw']].map(([prefix, kind]) => `VEX.L.${prefix}.0F.WIG 70 /r | vpshuf${kind} Vx,Wx,Ib | s=pshuf${kind}`),
  ...[['0', 'bw', 'h'], ['1', 'bd', 'o'], ['3', 'wd', 'h'], ['4', 'wq', 'o'], ['5', 'dq', 'h']]
    .flatMap(([code, kind, size]) => ['s', 'z'].map((sign) => `VEX.L.66.0F38.WIG ${sign === 's' ? 2 : 3}${code} /r | vpmov${sign}x${kind} Vx,W${size} | s=pmov${sign}x${kind}`)),
  'VEX.L.66.0F.WIG D7 /r | vpmovmskb Gd,Ux | s=pmovmskb',
  'VEX.L.66.0F38.WIG 2A /r | vmovntdqa Vx,Mx | s=mova',
  'VEX.L.66.0F3A.WIG 0E /r | vpblendw Vx,Hx,Wx,Ib | s=pblendw',
  'VEX.L.66.0F3A.WIG 0F /r | vpalignr Vx,Hx,Wx,Ib | s=palignr',
  'VEX.L.66.0F3A.WIG 42 /r | vmpsadbw Vx,Hx,Wx,Ib | s=mpsadbw',
  'VEX.L.66.0F3A.W0 4C /r | vpblendvb Vx,Hx,Wx,Lx | s=pblendvb',
].join('\n'));

const prefixOf = { ps: 'NP', pd: '66', ss: 'F3', sd: 'F2' } as const;
const kinds = ['ps', 'pd', 'ss', 'sd'] as const;
/** Packed in both lengths, scalar with the length ignored. */
const arithmetic = [['51', 'sqrt'], ['58', 'add'], ['59', 'mul'], ['5C', 'sub'], ['5D', 'min'], ['5E', 'div'], ['5F', 'max']].flatMap(([code, name]) => kinds.flatMap((kind) => {
  const line = `.${prefixOf[kind]}.0F.WIG ${code} /r | v${name}${kind}`;
  if (kind === 'ss' || kind === 'sd') return [`VEX.LIG${line} Vdq,Hdq,W${kind} | s=${name}${kind} f=avx`];
  return avx(`VEX.L${line} ${name === 'sqrt' ? 'Vx,Wx' : 'Vx,Hx,Wx'} | s=${name}${kind}`);
}));

const float = avx([
  ...(['ps', 'pd'] as const).flatMap((kind) => {
    const p = prefixOf[kind];
    return [
      `VEX.L.${p}.0F.WIG 10 /r | vmovu${kind} Vx,Wx | s=movu`, `VEX.L.${p}.0F.WIG 11 /r | vmovu${kind} Wx,Vx | s=movu`,
      `VEX.L.${p}.0F.WIG 28 /r | vmova${kind} Vx,Wx | s=mova`, `VEX.L.${p}.0F.WIG 29 /r | vmova${kind} Wx,Vx | s=mova`,
      `VEX.L.${p}.0F.WIG 2B /r | vmovnt${kind} Mx,Vx | s=mova`,
      `VEX.L.${p}.0F.WIG 14 /r | vunpckl${kind} Vx,Hx,Wx | s=${kind === 'ps' ? 'unpcklps' : 'punpcklqdq'}`,
      `VEX.L.${p}.0F.WIG 15 /r | vunpckh${kind} Vx,Hx,Wx | s=${kind === 'ps' ? 'unpckhps' : 'punpckhqdq'}`,
      `VEX.L.${p}.0F.WIG 50 /r | vmovmsk${kind} Gd,Ux | s=movmsk${kind}`,
      `VEX.L.${p}.0F.WIG 54 /r | vand${kind} Vx,Hx,Wx | s=pand`, `VEX.L.${p}.0F.WIG 55 /r | vandn${kind} Vx,Hx,Wx | s=pandn`,
      `VEX.L.${p}.0F.WIG 56 /r | vor${kind} Vx,Hx,Wx | s=por`, `VEX.L.${p}.0F.WIG 57 /r | vxor${kind} Vx,Hx,Wx | s=pxor`,
      `VEX.L.${p}.0F.WIG C2 /r | vcmp${kind} Vx,Hx,Wx,Ib | s=cmp${kind}`, `VEX.L.${p}.0F.WIG C6 /r | vshuf${kind} Vx,Hx,Wx,Ib | s=shuf${kind}`,
    ];
  }),
  ...[['F2', 'ps'], ['66', 'pd']].flatMap(([p, kind]) => [
    `VEX.L.${p}.0F.WIG 7C /r | vhadd${kind} Vx,Hx,Wx | s=hadd${kind}`, `VEX.L.${p}.0F.WIG 7D /r | vhsub${kind} Vx,Hx,Wx | s=hsub${kind}`,
    `VEX.L.${p}.0F.WIG D0 /r | vaddsub${kind} Vx,Hx,Wx | s=addsub${kind}`,
  ]),
  'VEX.L.66.0F.WIG 6F /r | vmovdqa Vx,Wx | s=mova', 'VEX.L.66.0F.WIG 7F /r | vmovdqa Wx,Vx | s=mova',
  'VEX.L.F3.0F.WIG 6F /r | vmovdqu Vx,Wx | s=movu', 'VEX.L.F3.0F.WIG 7F /r | vmovdqu Wx,Vx | s=movu',
  'VEX.L.66.0F.WIG E7 /r | vmovntdq Mx,Vx | s=mova', 'VEX.L.F2.0F.WIG F0 /r | vlddqu Vx,Mx | s=movu',
  'VEX.L.F3.0F.WIG 12 /r | vmovsldup Vx,Wx | s=movsldup', 'VEX.L.F3.0F.WIG 16 /r | vmovshdup Vx,Wx | s=movshdup',
  'VEX.L.NP.0F.WIG 52 /r | vrsqrtps Vx,Wx | s=rsqrtps x=approximate', 'VEX.L.NP.0F.WIG 53 /r | vrcpps Vx,Wx | s=rcpps x=approximate',
  'VEX.L.NP.0F.WIG 5A /r | vcvtps2pd Vx,Wh | s=cvtps2pd', 'VEX.L.66.0F.WIG 5A /r | vcvtpd2ps Vdq,Wx | s=cvtpd2ps',
  'VEX.L.NP.0F.WIG 5B /r | vcvtdq2ps Vx,Wx | s=cvtdq2ps', 'VEX.L.66.0F.WIG 5B /r | vcvtps2dq Vx,Wx | s=cvtps2dq',
  'VEX.L.F3.0F.WIG 5B /r | vcvttps2dq Vx,Wx | s=cvttps2dq', 'VEX.L.F3.0F.WIG E6 /r | vcvtdq2pd Vx,Wh | s=cvtdq2pd',
  'VEX.L.F2.0F.WIG E6 /r | vcvtpd2dq Vdq,Wx | s=cvtpd2dq', 'VEX.L.66.0F.WIG E6 /r | vcvttpd2dq Vdq,Wx | s=cvttpd2dq',
  'VEX.L.66.0F38.W0 0C /r | vpermilps Vx,Hx,Wx |', 'VEX.L.66.0F38.W0 0D /r | vpermilpd Vx,Hx,Wx |',
  'VEX.L.66.0F3A.W0 04 /r | vpermilps Vx,Wx,Ib | s=vpermilps_imm', 'VEX.L.66.0F3A.W0 05 /r | vpermilpd Vx,Wx,Ib | s=vpermilpd_imm',
  'VEX.L.66.0F38.W0 0E /r | vtestps Vx,Wx |', 'VEX.L.66.0F38.W0 0F /r | vtestpd Vx,Wx |', 'VEX.L.66.0F38.WIG 17 /r | vptest Vx,Wx | s=ptest',
  'VEX.L.66.0F38.W0 2C /r | vmaskmovps Vx,Hx,Mx | s=vmaskmov32', 'VEX.L.66.0F38.W0 2D /r | vmaskmovpd Vx,Hx,Mx | s=vmaskmov64',
  'VEX.L.66.0F38.W0 2E /r | vmaskmovps Mx,Hx,Vx | s=vmaskmov32', 'VEX.L.66.0F38.W0 2F /r | vmaskmovpd Mx,Hx,Vx | s=vmaskmov64',
  'VEX.L.66.0F3A.WIG 08 /r | vroundps Vx,Wx,Ib | s=roundps', 'VEX.L.66.0F3A.WIG 09 /r | vroundpd Vx,Wx,Ib | s=roundpd',
  'VEX.L.66.0F3A.WIG 0C /r | vblendps Vx,Hx,Wx,Ib | s=blendps', 'VEX.L.66.0F3A.WIG 0D /r | vblendpd Vx,Hx,Wx,Ib | s=blendpd',
  'VEX.L.66.0F3A.W0 4A /r | vblendvps Vx,Hx,Wx,Lx | s=blendvps', 'VEX.L.66.0F3A.W0 4B /r | vblendvpd Vx,Hx,Wx,Lx | s=blendvpd',
  'VEX.L.66.0F3A.WIG 40 /r | vdpps Vx,Hx,Wx,Ib | s=dpps',
  'VEX.L.66.0F38.W0 18 /r | vbroadcastss Vx,Md | s=vbroadcast32',
].join('\n'));

/** In one length, or with scalars, where the length does not count. */
const single = `
VEX.LIG.F3.0F.WIG 10 /rm | vmovss Vdq,Md | s=movss
VEX.LIG.F2.0F.WIG 10 /rm | vmovsd Vdq,Mq | s=movsdx
VEX.LIG.F3.0F.WIG 11 /rm | vmovss Md,Vdq | s=movss
VEX.LIG.F2.0F.WIG 11 /rm | vmovsd Mq,Vdq | s=movsdx
VEX.LIG.F3.0F.WIG 10 /rr | vmovss Vdq,Hdq,Udq | s=vmovss_merge
VEX.LIG.F2.0F.WIG 10 /rr | vmovsd Vdq,Hdq,Udq | s=vmovsd_merge
VEX.LIG.F3.0F.WIG 11 /rr | vmovss Udq,Hdq,Vdq | s=vmovss_merge
VEX.LIG.F2.0F.WIG 11 /rr | vmovsd Udq,Hdq,Vdq | s=vmovsd_merge
VEX.128.NP.0F.WIG 12 /rm | vmovlps Vdq,Hdq,Mq | s=movlp
VEX.128.66.0F.WIG 12 /rm | vmovlpd Vdq,Hdq,Mq | s=movlp
VEX.128.NP.0F.WIG 12 /rr | vmovhlps Vdq,Hdq,Udq | s=movhlps
VEX.128.NP.0F.WIG 13 /rm | vmovlps Mq,Vdq | s=movlp
VEX.128.66.0F.WIG 13 /rm | vmovlpd Mq,Vdq | s=movlp
VEX.128.NP.0F.WIG 16 /rm | vmovhps Vdq,Hdq,Mq | s=movhp
VEX.128.66.0F.WIG 16 /rm | vmovhpd Vdq,Hdq,Mq | s=movhp
VEX.128.NP.0F.WIG 16 /rr | vmovlhps Vdq,Hdq,Udq | s=movlhps
VEX.128.NP.0F.WIG 17 /rm | vmovhps Mq,Vdq | s=movhp
VEX.128.66.0F.WIG 17 /rm | vmovhpd Mq,Vdq | s=movhp
VEX.128.F2.0F.WIG 12 /r | vmovddup Vdq,Wq | s=movddup
VEX.256.F2.0F.WIG 12 /r | vmovddup Vqq,Wqq | s=movddup
VEX.LIG.F3.0F.WIG 2A /r | vcvtsi2ss Vdq,Hdq,Ey | s=cvtsi2ss
VEX.LIG.F2.0F.WIG 2A /r | vcvtsi2sd Vdq,Hdq,Ey | s=cvtsi2sd
VEX.LIG.F3.0F.WIG 2C /r | vcvttss2si Gy,Wssdq | s=cvttss2si
VEX.LIG.F2.0F.WIG 2C /r | vcvttsd2si Gy,Wsddq | s=cvttsd2si
VEX.LIG.F3.0F.WIG 2D /r | vcvtss2si Gy,Wssdq | s=cvtss2si
VEX.LIG.F2.0F.WIG 2D /r | vcvtsd2si Gy,Wsddq | s=cvtsd2si
VEX.LIG.NP.0F.WIG 2E /r | vucomiss Vdq,Wss | s=ucomiss
VEX.LIG.66.0F.WIG 2E /r | vucomisd Vdq,Wsd | s=ucomisd
VEX.LIG.NP.0F.WIG 2F /r | vcomiss Vdq,Wss | s=comiss
VEX.LIG.66.0F.WIG 2F /r | vcomisd Vdq,Wsd | s=comisd
VEX.LIG.F3.0F.WIG 52 /r | vrsqrtss Vdq,Hdq,Wss | s=rsqrtss x=approximate
VEX.LIG.F3.0F.WIG 53 /r | vrcpss Vdq,Hdq,Wss | s=rcpss x=approximate
VEX.LIG.F3.0F.WIG 5A /r | vcvtss2sd Vdq,Hdq,Wss | s=cvtss2sd
VEX.LIG.F2.0F.WIG 5A /r | vcvtsd2ss Vdq,Hdq,Wsd | s=cvtsd2ss
VEX.LIG.F3.0F.WIG C2 /r | vcmpss Vdq,Hdq,Wss,Ib | s=cmpss
VEX.LIG.F2.0F.WIG C2 /r | vcmpsd Vdq,Hdq,Wsd,Ib | s=cmpsdx
VEX.128.66.0F.WIG 6E /r | vmovd Vdq,Ey | s=movd_load
VEX.128.66.0F.WIG 7E /r | vmovd Ey,Vdq | s=movd_store
VEX.128.F3.0F.WIG 7E /r | vmovq Vdq,Wq | s=movq_load
VEX.128.66.0F.WIG D6 /r | vmovq Wq,Vdq | s=movq_store
VEX.128.NP.0F.WIG 77 | vzeroupper
VEX.256.NP.0F.WIG 77 | vzeroall
VEX.128.NP.0F.WIG AE /2m | vldmxcsr Md
VEX.128.NP.0F.WIG AE /3m | vstmxcsr Md
VEX.128.66.0F.WIG C4 /r | vpinsrw Vdq,Hdq,Edw,Ib | s=pinsrw
VEX.128.66.0F.WIG C5 /r | vpextrw Gd,Udq,Ib | s=pextrw
VEX.128.66.0F.WIG F7 /rr | vmaskmovdqu Vdq,Udq | s=maskmovdqu
VEX.128.66.0F38.WIG 41 /r | vphminposuw Vdq,Wdq | s=phminposuw
VEX.128.66.0F38.WIG 22 /r | vpmovsxbq Vdq,Ww | s=pmovsxbq
VEX.128.66.0F38.WIG 32 /r | vpmovzxbq Vdq,Ww | s=pmovzxbq
VEX.128.66.0F3A.WIG 14 /r | vpextrb Edb,Vdq,Ib | s=pextrb
VEX.128.66.0F3A.WIG 15 /r | vpextrw Edw,Vdq,Ib | s=pextrw_store
VEX.128.66.0F3A.W0 16 /r | vpextrd Ed,Vdq,Ib | s=pextrd
VEX.128.66.0F3A.W1 16 /r | vpextrq Eq,Vdq,Ib | s=pextrd o64
VEX.128.66.0F3A.WIG 17 /r | vextractps Ed,Vdq,Ib | s=extractps
VEX.128.66.0F3A.WIG 20 /r | vpinsrb Vdq,Hdq,Edb,Ib | s=pinsrb
VEX.128.66.0F3A.WIG 21 /r | vinsertps Vdq,Hdq,Wd,Ib | s=insertps
VEX.128.66.0F3A.W0 22 /r | vpinsrd Vdq,Hdq,Ed,Ib | s=pinsrd
VEX.128.66.0F3A.W1 22 /r | vpinsrq Vdq,Hdq,Eq,Ib | s=pinsrd o64
VEX.LIG.66.0F3A.WIG 0A /r | vroundss Vdq,Hdq,Wss,Ib | s=roundss
VEX.LIG.66.0F3A.WIG 0B /r | vroundsd Vdq,Hdq,Wsd,Ib | s=roundsd
VEX.128.66.0F3A.WIG 41 /r | vdppd Vdq,Hdq,Wdq,Ib | s=dppd
VEX.128.66.0F3A.WIG 60 /r | vpcmpestrm Vdq,Wdq,Ib | s=pcmpestrm
VEX.128.66.0F3A.WIG 61 /r | vpcmpestri Vdq,Wdq,Ib | s=pcmpestri
VEX.128.66.0F3A.WIG 62 /r | vpcmpistrm Vdq,Wdq,Ib | s=pcmpistrm
VEX.128.66.0F3A.WIG 63 /r | vpcmpistri Vdq,Wdq,Ib | s=pcmpistri
VEX.256.66.0F38.W0 19 /r | vbroadcastsd Vqq,Mq | s=vbroadcast64
VEX.256.66.0F38.W0 1A /r | vbroadcastf128 Vqq,Mdq | s=vbroadcast128
VEX.256.66.0F3A.W0 06 /r | vperm2f128 Vqq,Hqq,Wqq,Ib | s=vperm128
VEX.256.66.0F3A.W0 18 /r | vinsertf128 Vqq,Hqq,Wdq,Ib | s=vinsert128
VEX.256.66.0F3A.W0 19 /r | vextractf128 Wdq,Vqq,Ib | s=vextract128`.trim().split('\n').map((line) => `${line}${line.split('|').length === 2 ? ' |' : ''} f=avx`);

const second = [
  ...avx2([
    'VEX.L.66.0F38.W0 18 /rr | vbroadcastss Vx,Udq | s=vbroadcast32',
    'VEX.L.66.0F38.W0 78 /r | vpbroadcastb Vx,Wb | s=vbroadcast8', 'VEX.L.66.0F38.W0 79 /r | vpbroadcastw Vx,Ww | s=vbroadcast16',
    'VEX.L.66.0F38.W0 58 /r | vpbroadcastd Vx,Wd | s=vbroadcast32', 'VEX.L.66.0F38.W0 59 /r | vpbroadcastq Vx,Wq | s=vbroadcast64',
    'VEX.L.66.0F3A.W0 02 /r | vpblendd Vx,Hx,Wx,Ib | s=blendps',
    'VEX.L.66.0F38.W0 8C /r | vpmaskmovd Vx,Hx,Mx | s=vmaskmov32', 'VEX.L.66.0F38.W1 8C /r | vpmaskmovq Vx,Hx,Mx | s=vmaskmov64',
    'VEX.L.66.0F38.W0 8E /r | vpmaskmovd Mx,Hx,Vx | s=vmaskmov32', 'VEX.L.66.0F38.W1 8E /r | vpmaskmovq Mx,Hx,Vx | s=vmaskmov64',
    'VEX.L.66.0F38.W0 45 /r | vpsrlvd Vx,Hx,Wx |', 'VEX.L.66.0F38.W1 45 /r | vpsrlvq Vx,Hx,Wx |', 'VEX.L.66.0F38.W0 46 /r | vpsravd Vx,Hx,Wx |',
    'VEX.L.66.0F38.W0 47 /r | vpsllvd Vx,Hx,Wx |', 'VEX.L.66.0F38.W1 47 /r | vpsllvq Vx,Hx,Wx |',
    // Of gathers the memory operand's size is an element's, its index a vector (decode/decoder.ts).
    ...[['90', 'vp', '', 'd', 'd'], ['91', 'vp', '', 'q', 'd'], ['92', 'v', 'p', 'd', 's'], ['93', 'v', 'p', 'q', 's']].flatMap(([code, p, q, index, letter]) => [0, 1].map((w) => {
      const element = w === 0 ? letter : letter === 'd' ? 'q' : 'd';
      return `VEX.L.66.0F38.W${w} ${code} /rm | ${p}gather${index}${q}${element} Vx,M${w === 0 ? 'd' : 'q'}v,Hx | s=vpgather${index}${w === 0 ? 'd' : 'q'}`;
    })),
  ].join('\n')),
  ...`
VEX.256.66.0F38.WIG 22 /r | vpmovsxbq Vqq,Wd | s=pmovsxbq
VEX.256.66.0F38.WIG 32 /r | vpmovzxbq Vqq,Wd | s=pmovzxbq
VEX.256.66.0F38.W0 19 /rr | vbroadcastsd Vqq,Udq | s=vbroadcast64
VEX.256.66.0F38.W0 5A /r | vbroadcasti128 Vqq,Mdq | s=vbroadcast128
VEX.256.66.0F3A.W0 46 /r | vperm2i128 Vqq,Hqq,Wqq,Ib | s=vperm128
VEX.256.66.0F3A.W0 38 /r | vinserti128 Vqq,Hqq,Wdq,Ib | s=vinsert128
VEX.256.66.0F3A.W0 39 /r | vextracti128 Wdq,Vqq,Ib | s=vextract128
VEX.256.66.0F3A.W1 00 /r | vpermq Vqq,Wqq,Ib | s=vpermq
VEX.256.66.0F3A.W1 01 /r | vpermpd Vqq,Wqq,Ib | s=vpermq
VEX.256.66.0F38.W0 36 /r | vpermd Vqq,Hqq,Wqq | s=vpermd
VEX.256.66.0F38.W0 16 /r | vpermps Vqq,Hqq,Wqq | s=vpermd`.trim().split('\n').map((line) => `${line} f=avx2`),
];

/** Opcodes of the order 132; 213 and 231 are 16 and 32 further on. */
const fused = [[0x96, 'fmaddsub'], [0x97, 'fmsubadd'], [0x98, 'fmadd'], [0x9a, 'fmsub'], [0x9c, 'fnmadd'], [0x9e, 'fnmsub']] as const;
const fma = fused.flatMap(([opcode, name]) => [132, 213, 231].flatMap((order, i) => [0, 1].flatMap((w) => {
  const letter = w === 0 ? 's' : 'd';
  const code = (n: number): string => (n + 16 * i).toString(16).toUpperCase();
  const packed = both(`VEX.L.66.0F38.W${w} ${code(opcode)} /r | v${name}${order}p${letter} Vx,Hx,Wx |`, 'fma', 'fma');
  return opcode < 0x98 ? packed : [...packed, `VEX.LIG.66.0F38.W${w} ${code(opcode + 1)} /r | v${name}${order}s${letter} Vdq,Hdq,Ws${letter} | f=fma`];
})));

const others = `
VEX.128.66.0F38.W0 13 /r | vcvtph2ps Vdq,Wq | f=f16c
VEX.256.66.0F38.W0 13 /r | vcvtph2ps Vqq,Wdq | f=f16c
VEX.128.66.0F3A.W0 1D /r | vcvtps2ph Wq,Vdq,Ib | f=f16c
VEX.256.66.0F3A.W0 1D /r | vcvtps2ph Wdq,Vqq,Ib | f=f16c
VEX.128.66.0F38.WIG DB /r | vaesimc Vdq,Wdq | f=avx s=aesimc
VEX.128.66.0F38.WIG DC /r | vaesenc Vdq,Hdq,Wdq | f=avx s=aesenc
VEX.128.66.0F38.WIG DD /r | vaesenclast Vdq,Hdq,Wdq | f=avx s=aesenclast
VEX.128.66.0F38.WIG DE /r | vaesdec Vdq,Hdq,Wdq | f=avx s=aesdec
VEX.128.66.0F38.WIG DF /r | vaesdeclast Vdq,Hdq,Wdq | f=avx s=aesdeclast
VEX.128.66.0F3A.WIG DF /r | vaeskeygenassist Vdq,Wdq,Ib | f=avx s=aeskeygenassist
VEX.128.66.0F3A.WIG 44 /r | vpclmulqdq Vdq,Hdq,Wdq,Ib | f=avx s=pclmulqdq`;

export const avxRows = parseTable([...integer, ...arithmetic, ...float, ...single, ...second, ...fma, others].join('\n'));
