import { readFileSync } from 'node:fs';
import { instantiateRuntime } from '../../src/engines/runtime-module.ts';
import type { HostFunctions, Runtime } from '../../src/engines/runtime-module.ts';
import {
  BUDGET, CPL, CR0, CR3, CR4, EFER, EFLAGS, FAULT_ADDRESS, FAULT_ERROR, FAULT_HAS_ERROR, FAULT_PENDING, FAULT_VECTOR, IP_BASE, MODE, MODE_CODE32, MODE_CODE64, MODE_LONG,
  RECORD, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, STATE_BYTES,
} from '../../src/isa/x86/state/layout.ts';
import { REC_LENGTH, REC_PAGE_OFFSET } from '../../src/isa/x86/decode/record.ts';
import {
  DECODE_BASE, PAGE_FLAGS, RAM_BASE, REGIONS, REGION_BYTES, REGION_FIRST_PAGE, REGION_HOST, REGION_KIND, REGION_KIND_RAM, REGION_KIND_ROM, REGION_PAGES, VCPU_BASE,
} from '../../src/memory/layout.ts';

// @ts-expect-error a build script in JavaScript, without declarations
import { buildRuntime as untypedBuild } from '../../scripts/build-runtime.mjs';
const buildRuntime = untypedBuild as () => string;

/** RAM at 0 and at 4 GiB, ROM at 0xfff00000: enough for page walks of every mode. */
export const RAM_BYTES = 0x400000;
export const HIGH_RAM = 0x1_0000_0000;
export const HIGH_RAM_BYTES = 0x10000;
export const ROM = 0xfff0_0000;
export const ROM_BYTES = 0x10000;
/** An address nothing but the bus answers. */
export const MMIO = 0xe000_0000;

export interface Fault {
  readonly vector: number;
  readonly error: number | undefined;
  readonly address: bigint;
}

export type HostEvent =
  | readonly ['in' | 'read', number, number]
  | readonly ['out' | 'write', number, number, number]
  | readonly ['code', number, number, number]
  | readonly ['apic', number, bigint];

let compiled: WebAssembly.Module | undefined;

/** One vCPU block over a small memory, and the runtime's routines, without any engine. */
export class RuntimeFixture {
  readonly cpu = VCPU_BASE;
  readonly memory: WebAssembly.Memory;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly runtime: Runtime;
  /** What the runtime asked of the host side, in order. */
  readonly events: HostEvent[] = [];
  /** What ports and the bus answer, by address; all ones where nothing is set. */
  readonly answers = new Map<number, number>();
  readonly apic = new Map<number, bigint>();
  tsc = 1000;

  constructor() {
    compiled ??= new WebAssembly.Module(readFileSync(buildRuntime()));
    const end = RAM_BASE + RAM_BYTES + HIGH_RAM_BYTES + ROM_BYTES;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(end / 65536), maximum: 65536, shared: true });
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    const answer = (address: number, size: number): number => (this.answers.get(address) ?? 0xffffffff) & (size === 4 ? -1 : (1 << (size * 8)) - 1);
    const host: HostFunctions = {
      readPort: (port, size) => {
        this.events.push(['in', port, size]);
        return answer(port, size);
      },
      writePort: (port, size, value) => void this.events.push(['out', port, size, value >>> 0]),
      readMmio: (address, size) => {
        this.events.push(['read', address, size]);
        return answer(address, size);
      },
      writeMmio: (address, size, value) => void this.events.push(['write', address, size, value >>> 0]),
      codeWritten: (page, offset, length) => void this.events.push(['code', page, offset, length]),
      hostTsc: () => this.tsc,
      random32: () => 4,
      interruptPending: () => 0,
      acknowledgeInterrupt: () => -1,
      takeNmi: () => 0,
      readTaskPriority: () => 0,
      writeTaskPriority: () => {},
      readApicMsr: (index) => this.apic.get(index),
      writeApicMsr: (index, value) => {
        if (!this.apic.has(index)) return false;
        this.apic.set(index, value);
        this.events.push(['apic', index, value]);
        return true;
      },
    };
    this.runtime = instantiateRuntime(compiled, this.memory, this.cpu, host);
    const regions = [
      [0, RAM_BYTES, RAM_BASE, REGION_KIND_RAM],
      [HIGH_RAM, HIGH_RAM_BYTES, RAM_BASE + RAM_BYTES, REGION_KIND_RAM],
      [ROM, ROM_BYTES, RAM_BASE + RAM_BYTES + HIGH_RAM_BYTES, REGION_KIND_ROM],
    ] as const;
    this.view.setUint32(REGIONS, regions.length, true);
    regions.forEach(([address, length, hostAddress, kind], i) => {
      const at = REGIONS + 16 + i * REGION_BYTES;
      this.view.setUint32(at + REGION_FIRST_PAGE, address / 4096, true);
      this.view.setUint32(at + REGION_PAGES, length / 4096, true);
      this.view.setUint32(at + REGION_HOST, hostAddress, true);
      this.view.setUint32(at + REGION_KIND, kind, true);
    });
    this.bytes.fill(0, this.cpu, this.cpu + STATE_BYTES);
    this.call('resetVcpu');
    this.setU32(BUDGET, 1_000_000);
    // An instruction of two bytes at page offset 0x100.
    this.setU32(RECORD, DECODE_BASE);
    this.setU64(IP_BASE, 0x40_0000n);
    this.view.setUint16(DECODE_BASE + REC_PAGE_OFFSET, 0x100, true);
    this.view.setUint8(DECODE_BASE + REC_LENGTH, 2);
  }

  /** Calls a routine with the vCPU in front: numbers for i32 parameters, bigints for i64. */
  call(name: string, ...args: (number | bigint)[]): number | bigint {
    const found = this.runtime.functions[name] as ((...all: (number | bigint)[]) => number | bigint) | undefined;
    if (found === undefined) throw new Error(`the runtime has no ${name}`);
    return found(this.cpu, ...args);
  }

  u32(offset: number): number { return this.view.getUint32(this.cpu + offset, true); }
  setU32(offset: number, value: number): void { this.view.setUint32(this.cpu + offset, value, true); }
  u64(offset: number): bigint { return this.view.getBigUint64(this.cpu + offset, true); }
  setU64(offset: number, value: bigint): void { this.view.setBigUint64(this.cpu + offset, value, true); }

  /** Byte offset in linear memory of a physical address. */
  host(physical: number): number {
    if (physical >= ROM && physical < ROM + ROM_BYTES) return physical - ROM + RAM_BASE + RAM_BYTES + HIGH_RAM_BYTES;
    return RAM_BASE + (physical >= HIGH_RAM ? physical - HIGH_RAM + RAM_BYTES : physical);
  }
  peek32(physical: number): number { return this.view.getUint32(this.host(physical), true); }
  poke32(physical: number, value: number): void { this.view.setUint32(this.host(physical), value, true); }
  peek64(physical: number): bigint { return this.view.getBigUint64(this.host(physical), true); }
  poke64(physical: number, value: bigint): void { this.view.setBigUint64(this.host(physical), BigInt.asUintN(64, value), true); }
  slice(physical: number, length: number): number[] { return [...this.bytes.slice(this.host(physical), this.host(physical) + length)]; }
  fill(physical: number, ...values: number[]): void { this.bytes.set(values, this.host(physical)); }
  setPageFlags(physical: number, flags: number): void { this.view.setUint8(PAGE_FLAGS + ((this.host(physical) - RAM_BASE) >> 12), flags); }
  pageFlags(physical: number): number { return this.view.getUint8(PAGE_FLAGS + ((this.host(physical) - RAM_BASE) >> 12)); }

  /** Control registers and privilege for a paging mode; translations are forgotten. */
  mode(settings: { cr0?: bigint; cr3?: bigint; cr4?: bigint; efer?: bigint; cpl?: number; flags?: number; long?: boolean }): void {
    if (settings.cr0 !== undefined) this.setU64(CR0, settings.cr0);
    if (settings.cr3 !== undefined) this.setU64(CR3, settings.cr3);
    if (settings.cr4 !== undefined) this.setU64(CR4, settings.cr4);
    if (settings.efer !== undefined) this.setU64(EFER, settings.efer);
    if (settings.cpl !== undefined) this.setU32(CPL, settings.cpl);
    if (settings.flags !== undefined) this.setU32(EFLAGS, settings.flags | 2);
    if (settings.long !== undefined) this.setU32(MODE, settings.long ? MODE_CODE64 | MODE_LONG : MODE_CODE32);
    for (let i = 0; i < 6; i++) this.call('updateSegmentCache', i);
    this.call('updateTlbBase');
    this.call('flushTlb');
  }

  segment(index: number, base: bigint, limit: number, attributes: number): void {
    const at = SEGMENTS + index * SEGMENT_BYTES;
    this.setU64(at + SEG_BASE, base);
    this.setU32(at + SEG_LIMIT, limit);
    this.setU32(at + SEG_ATTRIBUTES, attributes);
    this.call('updateSegmentCache', index);
  }

  /** The pending fault, which is taken away; undefined when there is none. */
  takeFault(): Fault | undefined {
    if (this.u32(FAULT_PENDING) === 0) return undefined;
    this.setU32(FAULT_PENDING, 0);
    return {
      vector: this.u32(FAULT_VECTOR),
      error: this.u32(FAULT_HAS_ERROR) !== 0 ? this.u32(FAULT_ERROR) : undefined,
      address: this.u64(FAULT_ADDRESS),
    };
  }
  takeEvents(): HostEvent[] { return this.events.splice(0); }

  /** One access by the slow path: 'ok', or the page fault's error code, or the name of another fault. */
  access(kind: 'read' | 'write' | 'fetch', linear: bigint): string {
    if (kind === 'read') this.call('slowLoad8', linear);
    else if (kind === 'write') this.call('slowStore8', linear, 0x5a);
    else this.call('translateFetch', linear);
    const fault = this.takeFault();
    if (fault === undefined) return 'ok';
    if (fault.vector !== 14) return `#${fault.vector}(${fault.error})`;
    return fault.address === linear ? `#PF(${fault.error})` : `#PF(${fault.error}) at ${fault.address.toString(16)}`;
  }
}
