import { PAGE_SHIFT, PAGE_SIZE } from '../../base/addresses.ts';
import { GPR, RCX, RIP } from '../../isa/x86/state/layout.ts';
import { PAGE_FLAGS, PAGE_FLAG_CODE, RAM_BASE, REGIONS, REGIONS_MAX, REGION_BYTES, VCPU_BASE, VCPU_STRIDE } from '../../memory/layout.ts';
import type { Interpreter } from '../interpreter/interpreter.ts';
import { MAX_BLOCK } from '../interpreter/record-arena.ts';
import { Divergence } from './event-log.ts';
import type { Effect, LogReader, Place } from './event-log.ts';

const REGION_TABLE_BYTES = 16 + REGIONS_MAX * REGION_BYTES;
/** No region retires more instructions behind the one at which its budget ends; no block does more than MAX_BLOCK. */
const REGION_REACH = 1024;
const WORDS = PAGE_SIZE / 4;

/** A vCPU and its memory at one place. */
export interface Checkpoint {
  readonly instructions: number;
  readonly state: Uint8Array;
  /** All from RAM_BASE on. */
  readonly ram: Uint32Array;
  readonly regions: Uint8Array;
}

/** One of the vCPUs that do the same, with the linear memory that it works on. */
export class Twin {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly view: DataView;
  /** Address of the vCPU's block. */
  readonly block: number;
  /** Set when the vCPU has been made over `memory`. */
  vcpu!: Interpreter;

  constructor(memory: WebAssembly.Memory, index: number) {
    this.memory = memory;
    this.bytes = new Uint8Array(memory.buffer);
    this.words = new Uint32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.block = VCPU_BASE + index * VCPU_STRIDE;
  }

  place(): Place {
    const { instructions, exceptions } = this.vcpu;
    return { instructions, exceptions, rip: this.view.getBigUint64(this.block + RIP, true), rcx: this.view.getBigUint64(this.block + GPR + RCX, true) };
  }

  /** Which physical addresses are RAM, or memory beside it. */
  get regionTable(): Uint8Array {
    return this.bytes.slice(REGIONS, REGIONS + REGION_TABLE_BYTES);
  }

  /** What the twin is now, into a place of the size of its RAM. */
  checkpoint(ram: Uint32Array): Checkpoint {
    for (let host = RAM_BASE; host < this.bytes.length; host += PAGE_SIZE) {
      const to = (host - RAM_BASE) >>> 2;
      // Pages that are the same stay untouched: the host need not back them.
      if (firstDifference(this.words, host >>> 2, ram, to) >= 0) ram.set(this.words.subarray(host >>> 2, (host >>> 2) + WORDS), to);
    }
    return { instructions: this.vcpu.instructions, state: this.vcpu.state, ram, regions: this.regionTable };
  }
  /** Becomes what was noted of itself or its twin. Decoded code of pages that change is dropped. `sameTables`: see Interpreter.restore. */
  become({ state, ram, regions }: Checkpoint, sameTables = false): void {
    this.bytes.set(regions, REGIONS);
    for (let host = RAM_BASE; host < this.bytes.length; host += PAGE_SIZE) {
      const from = (host - RAM_BASE) >>> 2;
      if (firstDifference(this.words, host >>> 2, ram, from) < 0) continue;
      this.words.set(ram.subarray(from, from + WORDS), host >>> 2);
      this.#changed(host, PAGE_SIZE);
    }
    this.vcpu.restore(state, sameTables);
  }

  /** What a device did to the other twin. */
  apply(effect: Effect): void {
    switch (effect.kind) {
      case 'a20':
        this.vcpu.setA20(effect.open);
        return;
      case 'map':
        this.bytes.set(effect.regions, REGIONS);
        this.bytes.set(effect.storage, this.bytes.length - effect.storage.length);
        this.vcpu.memoryMapChanged();
        return;
      case 'store': {
        const { host, bytes } = effect;
        this.bytes.set(bytes, host);
        for (let at = host; at < host + bytes.length; at = (at | (PAGE_SIZE - 1)) + 1) this.#changed(at, Math.min(host + bytes.length, (at | (PAGE_SIZE - 1)) + 1) - at);
      }
    }
  }
  #changed(host: number, length: number): void {
    const page = (host - RAM_BASE) >>> PAGE_SHIFT;
    if ((this.bytes[PAGE_FLAGS + page]! & PAGE_FLAG_CODE) !== 0) this.vcpu.codeWritten(page, host & (PAGE_SIZE - 1), length);
  }

  /**
   * Goes through the log to the next stop and past it: calls are answered from the log, the interrupt is taken. Throws
   * Divergence when the vCPU does something else.
   */
  follow(reader: LogReader): void {
    const { stop } = reader;
    if (stop === undefined) throw new Error('the log has ended');
    for (const effect of reader.effects()) this.apply(effect);
    this.runTo(stop.at);
    if (stop.kind === 'interrupt') {
      this.vcpu.takeEvent();
      if (reader.stop === stop) throw new Divergence(`an interrupt that the other engine took after ${stop.at.instructions} instructions, at 0x${stop.at.rip.toString(16)}, is not taken`);
    } else reader.takeStop();
    for (const effect of reader.effects()) this.apply(effect);
  }

  /** Runs until as many instructions are retired and exceptions raised as at a place, or the vCPU has gone elsewhere. */
  runTo(place: Place): void {
    const { vcpu } = this;
    const reach = vcpu.translates ? REGION_REACH : MAX_BLOCK;
    for (;;) {
      const left = place.instructions - vcpu.instructions;
      if (left < 0 || (left === 0 && vcpu.exceptions >= place.exceptions && !this.#repeats(place))) return;
      const exit = left > reach ? vcpu.run(left - reach) : vcpu.step();
      if ((exit === 'halt' || exit === 'shutdown') && vcpu.instructions < place.instructions) {
        throw new Divergence(`${exit === 'halt' ? 'the processor halts' : 'a triple fault comes'} after ${vcpu.instructions} instructions, where the other engine goes on`);
      }
      if (exit === 'shutdown') return;
    }
  }
  /** In a repeated instruction with more elements to do than at the place. */
  #repeats({ rip, rcx }: Place): boolean {
    const here = this.place();
    return here.rip === rip && here.rcx > rcx;
  }
}

/** Index of the first word of a page that differs, or -1. */
export function firstDifference(a: Uint32Array, aAt: number, b: Uint32Array, bAt: number): number {
  for (let i = 0; i < WORDS; i++) if (a[aAt + i] !== b[bAt + i]) return i;
  return -1;
}
