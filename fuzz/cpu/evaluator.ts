import { HAS_PLAIN, handlerIndex } from '../../src/engines/modules.ts';
import type { HandlerMap } from '../../src/engines/modules.ts';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { Interpreter, InterpreterCore, InterpreterOptions } from '../../src/engines/interpreter/interpreter.ts';
import { FIRST_HANDLER } from '../../src/engines/interpreter/handler-places.ts';
import { InterpreterContext } from '../../src/engines/interpreter/interpreter-context.ts';
import { shapesOf } from '../../src/engines/interpreter/requests.ts';
import type { HandlerRequest } from '../../src/engines/interpreter/handler-module.ts';
import { callEffects, wasmTypeOf } from '../../src/engines/routine-calls.ts';
import { Builder } from '../../src/ir/builder.ts';
import { evaluate } from '../../src/ir/evaluator.ts';
import type { EvaluatorHost } from '../../src/ir/evaluator.ts';
import { Ir } from '../../src/ir/ir.ts';
import {
  REC_COUNT, REC_HANDLER, REC_IMMEDIATE, REC_LENGTH, REC_PAGE_OFFSET,
} from '../../src/isa/x86/decode/record.ts';
import { implementedFeatures } from '../../src/isa/x86/features.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { routineIndex, routines } from '../../src/isa/x86/routines/directory.ts';
import { semantics } from '../../src/isa/x86/semantics/table.ts';
import { BUDGET, FAULT_PENDING, IP_BASE, LEAVE_BUDGET, LEAVE_FAULT, LEAVE_JUMP, RECORD, RIP } from '../../src/isa/x86/state/layout.ts';
import { RAM_BASE } from '../../src/memory/layout.ts';
import { Code, loadOpcode, storeOpcode } from '../../src/wasm/code.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';

/** Where vectors lie that go to and from routines: a guest's page that nothing else uses (see user-mode.ts). */
const VECTORS = RAM_BASE + 0x218000;
const VECTOR_BYTES = 16;
const NO_HOT_BLOCKS = 0xffffffff;

/**
 * An interpreter whose handlers are not the generated ones: each evaluates the IR of its shape. Decoding, exceptions and
 * routines are the engine's; lowering and the generated WebAssembly have no part in it.
 */
export function createEvaluator(options: InterpreterOptions): Interpreter {
  return createInterpreter({ ...options, tier: (core) => {
    installEvaluator(core);
    const nothing = (): void => {};
    const figures = (): never => {
      throw new Error('the evaluator translates nothing');
    };
    return { hot: nothing, translate: nothing, threshold: () => NO_HOT_BLOCKS, dropped: nothing, cleared: nothing, figures };
  } });
}

/** The shapes behind each place of the handlers' table: equal functions share one, so any of their shapes will do. */
function requestsByPlace({ places, traits }: HandlerMap): Map<number, Pick<HandlerRequest, 'semantics' | 'shape'>> {
  const requests = new Map<number, Pick<HandlerRequest, 'semantics' | 'shape'>>();
  opcodeRows.forEach((row, number) => {
    const found = semantics[row.semantics];
    if (found === undefined || (row.feature !== '' && !implementedFeatures.has(row.feature))) return;
    for (const { shape, rep } of shapesOf(row)) {
      const place = places[handlerIndex(number, shape.size, shape.memory, shape.long, rep, shape.locked)]!;
      requests.set(place, { semantics: found, shape });
      if ((traits[place]! & HAS_PLAIN) !== 0) requests.set(place + 1, { semantics: found, shape });
    }
  });
  return requests;
}

function installEvaluator(core: InterpreterCore): void {
  const { cpu, memory, table, functions } = core;
  const bytes = Buffer.from(memory.buffer as ArrayBuffer);
  const requests = requestsByPlace(core.handlers);
  const runs = new Map<number, Ir>();
  const directory = { find: (name: string) => routines[routineIndex(name)]! };
  const call = callerOf(core);
  const read = (at: number, size: number): bigint => (size > 8 ? bytes.readBigUInt64LE(at) | (bytes.readBigUInt64LE(at + 8) << 64n) : size === 8 ? bytes.readBigUInt64LE(at) : BigInt(bytes.readUIntLE(at, size)));
  const write = (at: number, size: number, value: bigint): void => {
    for (let i = 0; i < size; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  };
  const faulted = (): boolean => bytes.readUInt32LE(cpu + FAULT_PENDING) !== 0;
  const irOf = (place: number): Ir => {
    let ir = runs.get(place);
    if (ir === undefined) {
      const { semantics: build, shape } = requests.get(place)!;
      ir = new Ir();
      const builder = new Builder(ir);
      const context = new InterpreterContext(builder, shape, directory);
      build(context);
      if (!context.terminated) builder.op('next');
      runs.set(place, ir);
    }
    return ir;
  };
  let record = 0;
  const slow = (name: string, args: readonly bigint[]): bigint => {
    bytes.writeUInt32LE(record, cpu + RECORD);
    return call(routineIndex(name), args);
  };
  const host: EvaluatorHost = {
    loadState: (offset, size) => read(cpu + offset, size),
    storeState: (offset, size, value) => write(cpu + offset, size, value),
    loadField: (offset, size) => read(record + offset, size),
    loadMemory: (address, size, forWrite, whole) => {
      if (size < 16) {
        const value = slow(`slowLoad${forWrite ? 'ForWrite' : ''}${size * 8}`, [address]);
        return faulted() ? undefined : value;
      }
      const low = slow(whole === 32 ? 'slowLoadLow256' : 'slowLoadLow128', [address]);
      const high = faulted() ? 0n : slow('slowLoad64', [BigInt.asUintN(64, address + 8n)]);
      return faulted() ? undefined : low | (high << 64n);
    },
    storeMemory: (address, size, value) => {
      slow(`slowStore${size * 8}`, size < 16 ? [address, value] : [address, BigInt.asUintN(64, value), value >> 64n]);
      return !faulted();
    },
    call: (routine, args) => {
      const { needsPosition, checksFault } = callEffects(routines[routine]!.routine);
      if (needsPosition) bytes.writeUInt32LE(record, cpu + RECORD);
      const result = call(routine, args);
      return checksFault && faulted() ? undefined : result;
    },
  };
  /** Leaves for the driver to look up the block at an address, as a handler does after its countdown. */
  const jump = (target: bigint): number => {
    const budget = bytes.readInt32LE(cpu + BUDGET) - bytes[record + REC_COUNT]!;
    bytes.writeInt32LE(budget, cpu + BUDGET);
    write(cpu + RIP, 8, target);
    return budget < 0 ? LEAVE_BUDGET : LEAVE_JUMP;
  };
  const interpret = functions['interpret'] as unknown as (cpu: number, record: number) => number;
  const left = functions['left'] as unknown as (code: number, cpu: number) => number;
  const handler = (_: number, at: number): number => {
    record = at;
    const ending = evaluate(irOf(bytes.readUInt16LE(at + REC_HANDLER)), host);
    switch (ending.kind) {
      case 'next': return interpret(cpu, at);
      case 'fault': return LEAVE_FAULT;
      case 'leave': return left(ending.code, cpu);
      case 'indirect': return jump(ending.target);
      case 'relative': {
        const next = read(cpu + IP_BASE, 8) + read(at + REC_PAGE_OFFSET, 2) + BigInt(bytes[at + REC_LENGTH]!);
        return jump(BigInt.asUintN(ending.width, next + BigInt(bytes.readInt32LE(at + REC_IMMEDIATE))));
      }
    }
  };
  const wrapper = new ModuleBuilder();
  wrapper.exportFunction('handler', wrapper.importFunction('host', 'handler', ['i32', 'i32'], ['i32']));
  const exported = new WebAssembly.Instance(new WebAssembly.Module(wrapper.toBytes()), { host: { handler } }).exports['handler'] as WebAssembly.ExportedFunction;
  for (let place = FIRST_HANDLER; place < table.length; place++) table.set(place, exported);
}

/** Calls routines by number: JavaScript has no vectors, so a small module takes them from memory and puts them there. */
function callerOf({ cpu, memory, runtime }: InterpreterCore): (routine: number, args: readonly bigint[]) => bigint {
  const bytes = Buffer.from(memory.buffer as ArrayBuffer);
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', 0, 65536, true);
  const imported = routines.map(({ name, routine }) => {
    const { params, results } = wasmTypeOf(routine);
    return module.importFunction('runtime', name, params, results);
  });
  routines.forEach(({ name, routine }, index) => {
    if (![...routine.params, routine.result].includes('v128')) return;
    const code = new Code();
    if (routine.result === 'v128') code.i32Const(VECTORS);
    code.get(0);
    routine.params.forEach((type, i) => (type === 'v128' ? code.i32Const(VECTORS + (i + 1) * VECTOR_BYTES).memory(loadOpcode['v128']!, 0) : code.get(i + 1)));
    code.call(imported[index]!);
    if (routine.result === 'v128') code.memory(storeOpcode['v128']!, 0);
    const type = module.type(['i32', ...routine.params.map((param) => (param === 'v128' ? 'i32' : param))], routine.result === 'none' || routine.result === 'v128' ? [] : [routine.result]);
    module.exportFunction(name, module.addFunction(type, [], code));
  });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), { env: { memory }, runtime: runtime.functions as never });
  return (index, args) => {
    const { name, routine } = routines[index]!;
    const values = args.map((value, i) => {
      const type = routine.params[i];
      if (type === 'v128') {
        bytes.writeBigUInt64LE(BigInt.asUintN(64, value), VECTORS + (i + 1) * VECTOR_BYTES);
        bytes.writeBigUInt64LE(value >> 64n, VECTORS + (i + 1) * VECTOR_BYTES + 8);
        return 0;
      }
      return type === 'i64' ? BigInt.asIntN(64, value) : Number(BigInt.asIntN(32, value));
    });
    const target = (instance.exports[name] ?? runtime.functions[name]) as unknown as (cpu: number, ...values: (number | bigint)[]) => number | bigint | undefined;
    const result = target(cpu, ...values);
    if (routine.result === 'v128') return bytes.readBigUInt64LE(VECTORS) | (bytes.readBigUInt64LE(VECTORS + 8) << 64n);
    return result === undefined ? 0n : BigInt.asUintN(routine.result === 'i64' ? 64 : 32, BigInt(result));
  };
}
