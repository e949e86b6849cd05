import { PAGE_SHIFT, PAGE_SIZE } from '../../base/addresses.ts';
import {
  PAGE_FLAGS, PAGE_FLAG_TRACK, RAM_BASE, REGIONS, REGION_BYTES, REGION_FIRST_PAGE, REGION_HOST, REGION_KIND, REGION_KIND_ROM, REGION_PAGES,
} from '../../memory/layout.ts';
import { CONSTANTS, IOCTLS, STRUCTS } from './abi.ts';
import type { KvmHost } from './kvm-host.ts';

interface Slot {
  readonly first: number;
  readonly bytes: number;
  /** Offset in the linear memory. */
  readonly host: number;
  readonly readOnly: boolean;
}

/** More than there are regions; every KVM has more slots. */
const OWN_SLOTS = 400;
const MIB = 0x100000;
const F = STRUCTS.kvm_userspace_memory_region.fields;
const LOG = STRUCTS.kvm_dirty_log;

/** Keeps KVM's memory slots as the region table of the linear memory says (memory/layout.ts). */
export class MemorySlots {
  readonly #host: KvmHost;
  readonly #vm: number;
  readonly #view: DataView;
  readonly #base: bigint;
  readonly #bytes: Uint8Array;
  #logging = false;
  /** What each slot number holds; undefined: free. */
  readonly #slots: (Slot | undefined)[] = [];
  readonly #request = new DataView(new ArrayBuffer(STRUCTS.kvm_userspace_memory_region.size));

  constructor(host: KvmHost, vm: number, memory: WebAssembly.Memory) {
    this.#host = host;
    this.#vm = vm;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#base = host.addressOf(this.#bytes);
  }

  /** `a20`: address line 20 is open. Not inside an exit: KVM may have an access under way. */
  update(a20: boolean): void {
    const wanted = new Map((a20 ? this.#regions() : throughClosedA20(this.#regions())).map((slot) => [keyOf(slot), slot]));
    // What goes away makes room first: slots must not overlap.
    this.#slots.forEach((slot, number) => {
      if (slot === undefined || wanted.delete(keyOf(slot))) return;
      this.#remove(number, slot);
      this.#slots[number] = undefined;
    });
    for (const slot of wanted.values()) {
      const free = this.#slots.indexOf(undefined);
      const number = free < 0 ? this.#slots.length : free;
      this.#set(number, slot);
      this.#slots[number] = slot;
    }
  }

  /** Takes all of them away until the next update: KVM forgets what it knows of page tables, which somebody else has changed unseen. */
  clear(): void {
    this.#slots.forEach((slot, number) => {
      if (slot !== undefined) this.#remove(number, slot);
    });
    this.#slots.length = 0;
  }

  /**
   * Pages that the guest has written since the last call lose PAGE_FLAG_TRACK; from now on (`on`) KVM keeps a log of them, which counts
   * when their slot goes away too. Not while the guest executes.
   */
  logWrites(on: boolean): void {
    const changes = on !== this.#logging;
    this.#slots.forEach((slot, number) => {
      if (slot !== undefined && this.#logging) this.#takeLog(number, slot);
    });
    this.#logging = on;
    this.#slots.forEach((slot, number) => {
      if (slot !== undefined && changes) this.#set(number, slot);
    });
  }

  #remove(number: number, slot: Slot): void {
    if (this.#logging) this.#takeLog(number, slot);
    this.#set(number, { ...slot, bytes: 0 });
  }

  /** KVM_GET_DIRTY_LOG (api.rst, 4.8): a bit for each page, in words of 64; they are clear behind it. */
  #takeLog(number: number, slot: Slot): void {
    if (slot.readOnly) return;
    const pages = slot.bytes / PAGE_SIZE;
    const bitmap = new Uint8Array(new ArrayBuffer(Math.ceil(pages / 64) * 8));
    const request = new DataView(new ArrayBuffer(LOG.size));
    request.setUint32(LOG.fields.slot, number, true);
    request.setBigUint64(LOG.fields.dirty_bitmap, this.#host.addressOf(bitmap), true);
    this.#host.ioctlData(this.#vm, IOCTLS.KVM_GET_DIRTY_LOG, new Uint8Array(request.buffer));
    const first = PAGE_FLAGS + ((slot.host - RAM_BASE) >>> PAGE_SHIFT);
    for (let page = 0; page < pages; page++) if (((bitmap[page >> 3]! >> (page & 7)) & 1) !== 0) Atomics.and(this.#bytes, first + page, ~PAGE_FLAG_TRACK);
  }

  /** A slot beside the regions', by a number of its own from OWN_SLOTS on; of no bytes: it goes away. */
  setOwn(slot: Slot, number = OWN_SLOTS): void {
    this.#set(number, slot);
  }

  #regions(): Slot[] {
    return Array.from({ length: this.#view.getUint32(REGIONS, true) }, (_, i) => {
      const word = (offset: number): number => this.#view.getUint32(REGIONS + 16 + i * REGION_BYTES + offset, true);
      return { first: word(REGION_FIRST_PAGE) * PAGE_SIZE, bytes: word(REGION_PAGES) * PAGE_SIZE, host: word(REGION_HOST), readOnly: word(REGION_KIND) === REGION_KIND_ROM };
    });
  }

  #set(number: number, slot: Slot): void {
    const request = this.#request;
    request.setUint32(F.slot, number, true);
    request.setUint32(F.flags, slot.bytes === 0 ? 0 : slot.readOnly ? CONSTANTS.KVM_MEM_READONLY : this.#logging && number < OWN_SLOTS ? CONSTANTS.KVM_MEM_LOG_DIRTY_PAGES : 0, true);
    request.setBigUint64(F.guest_phys_addr, BigInt(slot.first), true);
    request.setBigUint64(F.memory_size, BigInt(slot.bytes), true);
    request.setBigUint64(F.userspace_addr, this.#base + BigInt(slot.host), true);
    this.#host.ioctlData(this.#vm, IOCTLS.KVM_SET_USER_MEMORY_REGION, new Uint8Array(request.buffer));
  }
}

/** With address line 20 held low each odd MiB shows the even one below it. */
function throughClosedA20(regions: readonly Slot[]): Slot[] {
  return regions.flatMap((region) => {
    const pieces: Slot[] = [];
    for (let at = region.first; at < region.first + region.bytes; ) {
      const next = Math.min(region.first + region.bytes, (Math.floor(at / MIB) + 1) * MIB);
      const piece = { first: at, bytes: next - at, host: region.host + (at - region.first), readOnly: region.readOnly };
      if (Math.floor(at / MIB) % 2 === 0) pieces.push(piece, { ...piece, first: at + MIB });
      at = next;
    }
    return pieces;
  });
}

function keyOf(slot: Slot): string {
  return `${slot.first} ${slot.bytes} ${slot.host} ${slot.readOnly}`;
}
