import { SCRATCH } from '../isa/x86/state/layout.ts';

/** KVM_ENOSYS. */
const NO_SUCH_CALL = -1000n;

/** Calls of the paravirtual interface that concern other processors (src/runtime/paravirt.ts); the answer, negative for an error. */
export type Hypercalls = (number: number, a: bigint, b: bigint, c: bigint, d: bigint) => bigint;

/** What the runtime module asks of the host side; see src/runtime/host.ts. */
export interface HostFunctions {
  readPort(port: number, size: 1 | 2 | 4): number;
  writePort(port: number, size: 1 | 2 | 4, value: number): void;
  readMmio(address: number, size: 1 | 2 | 4): number;
  writeMmio(address: number, size: 1 | 2 | 4, value: number): void;
  codeWritten(page: number, offset: number, length: number): void;
  hostTsc(): number;
  random32(): number;
  interruptPending(): number;
  acknowledgeInterrupt(): number;
  takeNmi(): number;
  readTaskPriority(): number;
  writeTaskPriority(value: number): void;
  /** FERR#, with CR0.NE clear; whether IGNNE# is asserted. Missing: not wired. */
  numericError?: ((pending: boolean) => boolean) | undefined;
  /** Missing: the beginning of 1970. */
  bootTime?: (() => number) | undefined;
  hypercall?: Hypercalls | undefined;
  readApicMsr(index: number): bigint | undefined;
  writeApicMsr(index: number, value: bigint): boolean;
}

type RuntimeFunction = (cpu: number, ...args: number[]) => number;

/** One vCPU's instance of the runtime. */
export interface Runtime {
  /** All exports, as imports for generated modules. */
  readonly functions: Record<string, (...args: never[]) => unknown>;
  /** Calls a routine that takes and returns 32-bit numbers, for this vCPU. */
  call(name: string, ...args: number[]): number;
  /** A routine by name, to be called with the vCPU's address: for hot paths. */
  bind(name: string): RuntimeFunction;
  /** Host address of the byte at a linear address that user code, or the kernel, may read; 0: there is none. */
  lookAt(linear: bigint, user: boolean): number;
}

/** Instantiates the runtime over the machine's memory for the vCPU whose block is at `cpu`. */
export function instantiateRuntime(module: WebAssembly.Module, memory: WebAssembly.Memory, cpu: number, host: HostFunctions): Runtime {
  const view = new DataView(memory.buffer);
  const instance = new WebAssembly.Instance(module, {
    env: {
      memory,
      // AssemblyScript's own consistency checks: reaching one is a bug of the runtime.
      abort: (): never => {
        throw new Error('runtime module aborted');
      },
    },
    host: {
      readPort: host.readPort as never,
      writePort: host.writePort as never,
      readMmio: host.readMmio as never,
      writeMmio: host.writeMmio as never,
      codeWritten: host.codeWritten as never,
      hostTsc: host.hostTsc,
      random32: host.random32,
      interruptPending: host.interruptPending,
      acknowledgeInterrupt: host.acknowledgeInterrupt,
      takeNmi: host.takeNmi,
      readTaskPriority: host.readTaskPriority,
      writeTaskPriority: host.writeTaskPriority as never,
      numericError: ((pending: number): number => (host.numericError === undefined ? 2 : host.numericError(pending !== 0) ? 1 : 0)) as never,
      bootTime: host.bootTime ?? (() => 0),
      hypercall: (host.hypercall ?? (() => NO_SUCH_CALL)) as never,
      apicMsrRead: ((index: number): number => {
        const value = host.readApicMsr(index);
        if (value === undefined) return 0;
        view.setBigUint64(cpu + SCRATCH, BigInt.asUintN(64, value), true);
        return 1;
      }) as never,
      apicMsrWrite: ((index: number, low: number, high: number): number =>
        host.writeApicMsr(index, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)) ? 1 : 0) as never,
    },
  });
  const functions = Object.fromEntries(Object.entries(instance.exports).filter(([, value]) => typeof value === 'function')) as Runtime['functions'];
  const bind = (name: string): RuntimeFunction => {
    const found = functions[name];
    if (found === undefined) throw new Error(`the runtime module has no ${name}`);
    return found as unknown as RuntimeFunction;
  };
  return {
    functions, bind,
    call: (name, ...args) => bind(name)(cpu, ...args),
    lookAt: (linear, user) => {
      view.setBigUint64(cpu + SCRATCH, BigInt.asUintN(64, linear), true);
      return bind('lookAt')(cpu, user ? 1 : 0) >>> 0;
    },
  };
}
