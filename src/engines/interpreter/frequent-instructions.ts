import type { OpcodeRow } from '../../isa/x86/opcodes/row.ts';
import type { Shape } from '../../isa/x86/semantics/context.ts';

/**
 * The instructions that the interpreter executes most: mnemonic and operands as the opcode rows have them, r and m for their forms. They
 * had 94 of 100 samples of its time in handlers in 64-bit guests and 92 in 32-bit ones (perf; Debian's kernels and the benchmark's programs).
 */
const FREQUENT: Readonly<Record<string, string>> = {
  mov: 'Gv,Ev m; Ev,Gv r m; Zv,Iv r; Ev,Iz r m; Eb,Gb m; Eb,Ib m; Gb,Eb m',
  movzx: 'Gv,Eb r m; Gv,Ew r m',
  movsx: 'Gv,Eb m',
  movsxd: 'Gv,Ed r m',
  lea: 'Gv,M m',
  push: 'Zv r; Ev m; Iz r',
  pop: 'Zv r',
  leave: ' r',
  add: 'Ev,Gv r m; Gv,Ev m; Ev,Iz r m',
  sub: 'Ev,Gv r m; Gv,Ev m; Ev,Iz r m',
  cmp: 'Ev,Gv r m; Gv,Ev m; Ev,Iz r m; rAX,Iz r; Eb,Gb m; Eb,Ib r m; AL,Ib r',
  test: 'Ev,Gv r; Eb,Gb r; Eb,Ib r m; Ev,Iz r m; AL,Ib r',
  and: 'Ev,Gv r; Gv,Ev m; Ev,Iz r m; rAX,Iz r; Eb,Ib m',
  or: 'Ev,Gv r; Gv,Ev m; Gb,Eb m; Ev,Iz r',
  xor: 'Ev,Gv r; Gv,Ev m',
  adc: 'Ev,Gv r',
  sbb: 'Ev,Gv r',
  inc: 'Ev r m',
  dec: 'Ev r m',
  neg: 'Ev r',
  not: 'Ev r',
  imul: 'Gv,Ev r; Gv,Ev,Iz r',
  shl: 'Ev,Ib r',
  shr: 'Ev,Ib r; Ev,1 r',
  sar: 'Ev,Ib r',
  rol: 'Ev,Ib r',
  ror: 'Ev,Ib r',
  jmp: 'Jb r; Ev r m',
  call: 'Jz r; Ev r m',
  ret: ' r',
  nop: ' r',
  jb: 'Jb r', jae: 'Jb r', je: 'Jb r', jne: 'Jb r', jbe: 'Jb r', ja: 'Jb r', js: 'Jb r', jns: 'Jb r', jl: 'Jb r', jge: 'Jb r', jle: 'Jb r', jg: 'Jb r',
  setb: 'Eb r', sete: 'Eb r', setne: 'Eb r',
  cmovb: 'Gv,Ev r', cmovae: 'Gv,Ev r', cmove: 'Gv,Ev r', cmovne: 'Gv,Ev r', cmovs: 'Gv,Ev r', cmovns: 'Gv,Ev r',
};

const forms = new Map(Object.entries(FREQUENT).map(([name, text]) => [name, new Set(text.split('; ').flatMap((form) => {
  const [operands, ...kinds] = form.split(' ');
  return kinds.map((kind) => `${operands} ${kind}`);
}))]));

/** Each of them: mnemonic, operands, r or m. */
export function namedForms(): string[] {
  return [...forms].flatMap(([name, all]) => [...all].map((form) => `${name} ${form}`));
}

/** Of instructions whose operands can have 16, 32 and 64 bits, those with 16 are seldom. */
export function isFrequent({ name, operands }: OpcodeRow, { size, memory, locked, rep }: Shape): boolean {
  if (locked || rep !== 'none' || (size === 16 && !operands.some((operand) => operand === 'Eb' || operand === 'AL') && name !== 'nop')) return false;
  return forms.get(name)?.has(`${operands.join()} ${memory ? 'm' : 'r'}`) === true;
}
