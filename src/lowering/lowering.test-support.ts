import type { Callee } from '../ir/builder.ts';
import type { Ir } from '../ir/ir.ts';
import { verify } from '../ir/verifier.ts';
import { Code, loadOpcode, storeOpcode } from '../wasm/code.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import type { WasmType } from '../wasm/module.ts';
import { lower } from './lower.ts';

/** Where the compiled function's memory holds what: state at CPU, the record at RECORD, the TLB, guest pages. */
export const CPU = 1024;
export const RECORD = 512;
export const TLB = 4096;
export const PAGE = 0x10000;
/** State offsets above those that tests use for themselves. */
export const TLB_BASE = 512;
export const FAULT_PENDING = 516;
export const POSITION = 520;
export const JUMP_TARGET = 528;
/** What the compiled function returns. */
export const NEXT = -1;
export const LEAVE_FAULT = 99;
export const JUMPED = -2;

const memoryModel = { tlbBase: TLB_BASE, tlbEntries: 4, tlbEntryBytes: 32, tagRead: 0, tagWrite: 8, addend: 16, faultPending: FAULT_PENDING, leaveFault: LEAVE_FAULT };

type Types = readonly WasmType[];
const slowPaths: readonly (readonly [string, Types, Types])[] = [
  ...([8, 16, 32, 64] as const).flatMap((bits) => {
    const type: WasmType = bits === 64 ? 'i64' : 'i32';
    return [
      [`slowLoad${bits}`, ['i64'], [type]],
      [`slowLoadForWrite${bits}`, ['i64'], [type]],
      [`slowStore${bits}`, ['i64', type], []],
    ] as const;
  }),
  ['slowStore128', ['i64', 'i64', 'i64'], []],
  ['slowLoadLow128', ['i64'], ['i64']],
  ['slowLoadLow256', ['i64'], ['i64']],
];

/** A routine of a test: what the IR calls, and whether a fault may be pending after it. */
export interface TestRoutine {
  readonly callee: Callee;
  readonly checksFault: boolean;
}

type Routine = (cpu: number, ...args: never[]) => number | bigint | void;

export interface Compiled {
  readonly wasm: Uint8Array;
  /** Instantiates it: `imports` are the slow paths and routines (`routine0`...) that the test expects to be called. */
  start(imports?: Readonly<Record<string, Routine>>): { readonly view: DataView; run(): number };
}

/** Verifies and lowers the IR, as the one function of a module on a small memory of its own. */
export function compile(ir: Ir, routines: readonly TestRoutine[] = []): Compiled {
  verify(ir, routines.map((routine) => routine.callee));
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', 2, 2, true);
  const slow = new Map(slowPaths.map(([name, params, results]) => [name, module.importFunction('runtime', name, ['i32', ...params], results)]));
  const lowered = routines.map(({ callee, checksFault }, i) => ({
    functionIndex: module.importFunction('runtime', `routine${i}`, ['i32', ...callee.params], callee.result === 'none' ? [] : [callee.result]),
    needsPosition: true,
    checksFault,
  }));
  const handler = module.type(['i32', 'i32'], ['i32']);
  const landing = module.addFunction(module.type(['i32', 'i32', 'i64'], ['i32']), [], new Code().get(0).get(2).memory(storeOpcode['64']!, JUMP_TARGET).i32Const(JUMPED));
  const next = module.addFunction(handler, [], new Code().i32Const(NEXT));
  const { locals, body } = lower(ir, {
    memory: memoryModel,
    lowered: (routine) => lowered[routine]!,
    miss: {
      kind: 'call',
      call: (code, name, push) => {
        code.get(0).get(1).memory(storeOpcode['32']!, POSITION).get(0);
        push();
        code.call(slow.get(name)!);
        code.get(0).memory(loadOpcode['32']!, FAULT_PENDING).if().i32Const(LEAVE_FAULT).return().end();
      },
    },
    storePosition: (code) => void code.get(0).get(1).memory(storeOpcode['32']!, POSITION),
    linked: (code, which) => void code.i32Const(which),
    field: (code, suffix, offset) => void code.get(1).memory(loadOpcode[suffix]!, offset),
    tlbBase: (code) => void code.get(0).memory(loadOpcode['32']!, TLB_BASE),
    cpu: (code) => void code.get(0),
    leave: (code) => void code.return(),
    transfer: (code, name, immediate, push) => {
      if (name === 'next') code.get(0).get(1).returnCall(next);
      else if (name === 'jump.indirect') {
        code.get(0).get(1);
        push();
        code.returnCall(landing);
      } else if (name === 'jump.relative') code.i32Const(immediate).return();
      else {
        push();
        code.if().i32Const(immediate).return().end();
      }
    },
  });
  module.exportFunction('run', module.addFunction(handler, locals, body));
  const wasm = module.toBytes();

  return {
    wasm,
    start(imports = {}) {
      const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
      const view = new DataView(memory.buffer);
      view.setUint32(CPU + TLB_BASE, TLB, true);
      for (let i = 0; i < 4; i++) for (const tag of [0, 8]) view.setBigUint64(TLB + 32 * i + tag, 1n, true); // no page has this tag
      const runtime: Record<string, Routine> = {};
      for (const name of [...slow.keys(), ...routines.map((_, i) => `routine${i}`)]) {
        runtime[name] = imports[name] ?? ((): never => {
          throw new Error(`unexpected call of ${name}`);
        });
      }
      const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), { env: { memory }, runtime });
      const run = instance.exports['run'] as (cpu: number, record: number) => number;
      return { view, run: () => run(CPU, RECORD) };
    },
  };
}

/** Maps the page of linear address `linear` to PAGE in the compiled function's memory. */
export function mapPage(view: DataView, linear: bigint, rights: 'read' | 'write'): void {
  const page = linear & ~0xfffn;
  const entry = TLB + 32 * (Number(page >> 12n) & 3);
  view.setBigUint64(entry, page, true);
  if (rights === 'write') view.setBigUint64(entry + 8, page, true);
  view.setUint32(entry + 16, Number(BigInt.asUintN(32, BigInt(PAGE) - page)), true);
}
