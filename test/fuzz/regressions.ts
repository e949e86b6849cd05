// What `npm run fuzz:cpu` once found, as it prints it: what differs from the host, with the right values in `after`.

export interface Regression {
  readonly what: string;
  readonly width: 64 | 32;
  readonly address: number;
  /** Instructions in hexadecimal. */
  readonly code: readonly string[];
  /** Fields (fuzz/cpu/state.ts) other than zero before; flags, MXCSR and control words have their usual values. */
  readonly before: Readonly<Record<string, bigint>>;
  /** Bytes of memory before, by address. */
  readonly memory?: Readonly<Record<number, string>>;
  /** Fields, and bytes by address, after the last step. */
  readonly after: Readonly<Record<string, bigint>>;
  readonly memoryAfter?: Readonly<Record<number, string>>;
  /** The exception that the last step raises. */
  readonly raises?: string;
}

export const regressions: readonly Regression[] = [
  {
    what: 'EMMS empties the registers and makes TOP 0',
    width: 64, address: 0x200012b, code: ['0f77'], before: { fsw: 0x3500n, ftw: 0xffn }, after: { fsw: 0x500n, ftw: 0n },
  },
  {
    what: 'the second encoding of FSTP ST(i), D9 D8+i, takes an empty ST0 without an exception',
    width: 64, address: 0x2000129, code: ['d9d9'], before: { fcw: 0xe7an, r1x87: 0x3fff8000000000000000n, ftw: 2n }, after: { fsw: 0x800n, r1x87: 0x3fff8000000000000000n, ftw: 2n },
  },
  {
    what: 'FNENI, FNDISI and FNSETPM do not wait for a pending exception',
    width: 64, address: 0x200013b, code: ['dbe0', 'dbe1', 'dbe4'], before: { fcw: 0x37en, fsw: 0x8081n }, after: { rip: 0x2000141n, fsw: 0x8081n },
  },
  {
    what: 'a pending x87 exception comes before a page fault of the memory operand',
    width: 64, address: 0x2000100, code: ['da38'], before: { rax: 0x40n, fcw: 0x37en, fsw: 0x8081n }, after: { rip: 0x2000100n }, raises: '#16',
  },
  {
    what: 'a store that an unmasked exception keeps from happening checks memory first',
    width: 64, address: 0x2000134, code: ['45db5529'], before: { fcw: 0xa76n }, after: { rip: 0x2000134n, fsw: 0n }, raises: '#14 error 6 at 0x29',
  },
  {
    what: 'and its alignment before that',
    width: 64, address: 0x200010c, code: ['46df7c765a'], before: { flags: 0x402d7n, fcw: 0xe52n }, after: { fsw: 0n }, raises: '#17',
  },
  {
    what: 'registers are MMX ones even when the conversion to them raises #XM',
    width: 64, address: 0x2000103, code: ['4d0f2d00'], before: { r8: 0x1000200n, mxcsr: 0n, fsw: 0x5500n }, memory: { 0x1000200: '0000803f01008001' }, after: { rip: 0x2000103n, fsw: 0x4500n, ftw: 0xffn, mxcsr: 0x20n },
    raises: '#19',
  },
  {
    what: 'the lower unpacks of MMX registers read 32 bits of memory',
    width: 64, address: 0x2000107, code: ['0f6001'], before: { rcx: 0x1002ffcn }, after: { rip: 0x200010an, ftw: 0xffn },
  },
  {
    what: 'masked stores check all of their bytes, even when none is stored',
    width: 64, address: 0x2000138, code: ['660ff7cd'], before: {}, after: { rip: 0x2000138n }, raises: '#14 error 6 at 0x0',
  },
  {
    what: 'control registers that do not exist are #UD to user code as well',
    width: 64, address: 0x2000ffa, code: ['490f20f4'], before: {}, after: { rip: 0x2000ffan }, raises: '#6',
  },
  {
    what: 'debug registers above 7 are #UD to user code as well',
    width: 64, address: 0x2000110, code: ['460f23e2'], before: {}, after: { rip: 0x2000110n }, raises: '#6',
  },
  {
    what: 'ENTER pushes before it looks at the end of the new frame',
    width: 64, address: 0x200010a, code: ['c856af02'], before: { rsp: 0x10009e8n, rbp: 0x1000200n }, memory: { 0x10001f8: '8877665544332211' }, after: { rsp: 0x10009e8n },
    memoryAfter: { 0x10009d0: 'e009000100000000' + '8877665544332211' + '0002000100000000' }, raises: '#14 error 6 at 0xff5a7a',
  },
  {
    what: 'ENTER reads outer frames through SS',
    width: 64, address: 0x200012d, code: ['c80b4c18'], before: { rsp: 0x1000238n, rbp: 0xadd7ae45eb73b1bdn }, after: { rip: 0x200012dn }, raises: '#12',
  },
  {
    what: 'LEAVE reads through SS',
    width: 64, address: 0x2000107, code: ['4dc9'], before: { rbp: 0xe51c6a23ec7b56dcn }, after: { rip: 0x2000107n }, raises: '#12',
  },
  {
    what: 'FS and GS are no stack segment, whatever the base register',
    width: 64, address: 0x2001ff0, code: ['650fae3c24'], before: { rsp: 0x8000000000000000n, gsbase: 0x1001100n }, after: { rip: 0x2001ff0n }, raises: '#13',
  },
  {
    what: 'permission to use a port is checked even when REP has nothing to do',
    width: 64, address: 0x2000ffb, code: ['f26c'], before: {}, after: { rip: 0x2000ffbn }, raises: '#13',
  },
  {
    what: 'an address that is not canonical comes before alignment',
    width: 64, address: 0x2000123, code: ['0fd433'], before: { rbx: 0xb71b95f5fb2a25can, flags: 0x402d7n }, after: { rip: 0x2000123n }, raises: '#13',
  },
  {
    what: 'and so does the second page of an access',
    width: 64, address: 0x2000ffb, code: ['0f6f2e'], before: { rsi: 0x7fffffffffffn }, after: { rip: 0x2000ffbn }, raises: '#13',
  },
  {
    what: '16 bytes are aligned as one, loaded as well as stored',
    width: 64, address: 0x2000113, code: ['0f1027'], before: { rdi: 0x1000518n, flags: 0x40687n }, after: { rip: 0x2000113n }, raises: '#17',
  },
  {
    what: 'FRSTOR is aligned as one of its fields',
    width: 64, address: 0x2000104, code: ['dd20'], before: { rax: 0x1000b22n, flags: 0x40203n }, after: { rip: 0x2000104n, fcw: 0x37fn }, raises: '#17',
  },
  {
    what: 'FLDENV that faults changes nothing',
    width: 64, address: 0x200013a, code: ['d920'], before: { rax: 0x1002ffcn, fsw: 0x3400n, fcw: 0x37fn }, after: { fcw: 0x37fn, fsw: 0x3400n }, raises: '#14 error 4 at 0x1003000',
  },
  {
    what: 'ARPL writes only what it changes',
    width: 32, address: 0x200010a, code: ['6308'], before: { rax: 0x1002000n }, after: { rip: 0x200010cn },
  },
  {
    what: 'exceptions of a conversion to half precision come after those of memory',
    width: 64, address: 0x200013e, code: ['c463791d0030'], before: { mxcsr: 0xeb40n, ymm8: 0x3f8000013f800001n }, after: { rip: 0x200013en, mxcsr: 0xeb40n }, raises: '#14 error 6 at 0x0',
  },
  {
    what: 'what one half of a vector raises is not forgotten, nor left to the next instruction',
    width: 64, address: 0x2000100, code: ['c5fc5ac1', 'c5f25ed3'], before: { ymm1: 0x3f8000003f8000003f8000003f800000n, ymm3: 0x3f000001n }, after: { rip: 0x2000108n, mxcsr: 0x1fa0n },
  },
  {
    what: 'no exception after rounding where an operand of any lane is at fault before it',
    width: 64, address: 0x2000fed, code: ['c4436540c928'],
    before: { mxcsr: 0x9e00n, ymm3: 0xf5114ccdd8c4e342bfcf7fd1178e7a07400c36814ddb0957c011eda900000000n, ymm9: 0x40212c4c0000000080208ffb665d6e39bfe1941de77f719e401156b49d1a1fd7n },
    after: { mxcsr: 0x9e02n }, raises: '#19',
  },
  {
    what: 'masked moves and gathers do not check alignment',
    width: 64, address: 0x2000113, code: ['c4e2692d06'], before: { flags: 0x40246n, rsi: 0x48n, ymm2: 0x8000000000000000n }, after: { rip: 0x2000113n }, raises: '#14 error 4 at 0x48',
  },
  {
    what: 'CR2 of a masked store names an element that is stored',
    width: 64, address: 0x2000126, code: ['c4c26d8e08'], before: { r8: 0x1001ff2n, ymm2: 0x800000000000000000000000000000000000000000000000n }, after: { rip: 0x2000126n },
    raises: '#14 error 7 at 0x1002006',
  },
  {
    what: 'a store of 32 bytes checks alignment before its second page',
    width: 64, address: 0x2000126, code: ['c4817d1175db'], before: { r13: 0x1000013n, flags: 0x40a97n }, after: { rip: 0x2000126n }, raises: '#17',
  },
  {
    what: 'masked moves wrap at 4 GiB outside 64-bit code',
    width: 32, address: 0x2000123, code: ['c4e2c18e03'], before: { rbx: 0xffffffffn, ymm7: 0x80ad000040000000bf4e0000c0517c6a3e270000c0d5a528n }, after: { rip: 0x2000123n }, raises: '#14 error 6 at 0x7',
  },
  {
    what: 'a store that ends at an address that is not canonical is no page fault',
    width: 64, address: 0x200010d, code: ['c40179f7e6'], before: { rdi: 0x7fffffffffffn }, after: { rip: 0x200010dn }, raises: '#13',
  },
  {
    what: 'nor an unaligned one',
    width: 64, address: 0x2000133, code: ['c4037d08293e'], before: { r9: 0x7fffffffffffn, flags: 0x40252n }, after: { rip: 0x2000133n }, raises: '#13',
  },
  {
    what: 'FXRSTOR checks its address before its alignment',
    width: 64, address: 0x200011d, code: ['0fae4db0'], before: { rbp: 0x807fff6292e8bef2n }, after: { rip: 0x200011dn }, raises: '#12',
  },
  {
    what: 'nor an element of a masked move',
    width: 64, address: 0x200012e, code: ['c4420d8c37'], before: { r15: 0x7fffffffffffn, ymm14: 0x80000000n }, after: { rip: 0x200012en }, raises: '#13',
  },
  {
    what: 'a pointer that is not canonical is #GP however near the stack pointer is',
    width: 64, address: 0x2000110, code: ['8918'], before: { rax: 0x800000000000n, rsp: 0x800000000008n }, after: { rip: 0x2000110n }, raises: '#13',
  },
  {
    what: 'POP to memory reads the stack: #SS',
    width: 64, address: 0x2000110, code: ['8f00'], before: { rax: 0x1000100n, rsp: 0x800000000000n }, after: { rip: 0x2000110n }, raises: '#12',
  },
  {
    what: 'and writes where its operand says: #GP',
    width: 64, address: 0x2000110, code: ['8f00'], before: { rax: 0x800000000000n, rsp: 0x1000100n }, after: { rip: 0x2000110n }, raises: '#13',
  },
  {
    what: 'PUSH of memory the other way round',
    width: 64, address: 0x2000110, code: ['ff30'], before: { rax: 0x1000100n, rsp: 0x800000000008n }, after: { rip: 0x2000110n }, raises: '#12',
  },
  {
    what: 'an override by FS takes the frame pointer out of the stack',
    width: 64, address: 0x2000110, code: ['648b4500'], before: { rbp: 0x800000000000n }, after: { rip: 0x2000110n }, raises: '#13',
  },
  {
    what: 'an override by DS does not',
    width: 64, address: 0x2000110, code: ['3e8b4500'], before: { rbp: 0x800000000000n }, after: { rip: 0x2000110n }, raises: '#12',
  },
  {
    what: 'LEAVE reads the stack at the frame pointer',
    width: 64, address: 0x2000110, code: ['c9'], before: { rbp: 0x800000000000n }, after: { rip: 0x2000110n }, raises: '#12',
  },
  {
    what: 'a load of 32 bytes whose second half is not canonical is no page fault',
    width: 64, address: 0x2000110, code: ['c5fc1000'], before: { rax: 0x7fffffffffe8n }, after: { rip: 0x2000110n }, raises: '#13',
  },
  {
    what: 'nor a masked element of 8 bytes whose end is not',
    width: 64, address: 0x2000138, code: ['c4e2312f64a7ef'], before: { rdi: 0x80000000000cn, ymm9: 0xc000000000000000n }, after: { rip: 0x2000138n }, raises: '#13',
  },
  {
    what: 'elements of a masked move are looked at one after the other',
    width: 64, address: 0x2000118, code: ['c482298e30'], before: { r8: 0x7ffffffffff8n, ymm10: 0x8000000080000000800000008000000080000000n }, after: { rip: 0x2000118n }, raises: '#14 error 7 at 0x7ffffffffff8',
  },
  {
    what: 'behind MOV SS the trap of a step waits for the next instruction',
    // 8ed0                     mov    ss,ax
    // ffc1                     inc    ecx
    // ffc1                     inc    ecx
    width: 64, address: 0x2000120, code: ['8ed0', 'ffc1', 'ffc1'], before: { rax: 0x2bn }, after: { rcx: 2n },
  },
  {
    what: 'behind POP SS too: of a repeated instruction the first turn',
    // 17                       pop    ss
    // f3aa                     rep stos BYTE PTR es:[edi],al
    width: 32, address: 0x2000120, code: ['17', 'f3aa'], before: { rcx: 3n, rdi: 0x1000100n, rsp: 0x1000200n }, memory: { 0x1000200: '2b000000' }, after: { rcx: 0n, rdi: 0x1000103n, rsp: 0x1000204n },
  },
  {
    what: 'a far call within its ring onto a misaligned stack, with alignment checks on',
    // 9a200100022300           call   0x23:0x2000120
    width: 32, address: 0x2000120, code: ['9a200100022300'],
    before: { rsp: 0x10005aan, flags: 0x40202n },
    after: { rsp: 0x10005aan },
    raises: '#17',
  },
];
