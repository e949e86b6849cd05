import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise, writeBytewise } from '../byte-registers.ts';
import { StateFields } from '../state-fields.ts';

// Two Intel 8237A DMA controllers as the PC/AT wires them (Intel 82371SB data sheet, section on DMA): channels 0 to 3 move
// bytes, 5 to 7 words; page registers hold the address bits above 16.

const CHANNELS = 8;
const MODE_DECREMENT = 0x20;
const MODE_AUTO = 0x10;
const TRANSFER_TO_MEMORY = 1;
const TRANSFER_FROM_MEMORY = 2;
/** Page register of each channel, as offset from port 80h. */
const PAGES = [7, 3, 1, 2, 15, 11, 9, 10] as const;

interface Channel {
  baseAddress: number;
  baseCount: number;
  address: number;
  count: number;
  mode: number;
}

/** A device's side of one channel. */
export interface DmaChannel {
  /** Bytes until the terminal count; 0 while the channel is masked or set up for the other direction. */
  ready(direction: 'toMemory' | 'fromMemory'): number;
  /** Moves bytes, at most what `ready` says; true when the terminal count is reached. */
  write(bytes: Uint8Array): boolean;
  read(target: Uint8Array): boolean;
}

export class Dma8237 implements Stateful {
  readonly stateName = 'dma-8237';
  readonly stateVersion = 1;
  /** Ports 00h to 0Fh. */
  readonly low: RegisterBlock;
  /** Ports C0h to DFh: the registers are two ports apart. */
  readonly high: RegisterBlock;
  /** Ports 80h to 8Fh. */
  readonly pages: RegisterBlock;
  readonly #memory: GuestMemory;
  readonly #channels: readonly Channel[] = Array.from({ length: CHANNELS }, () => ({ baseAddress: 0, baseCount: 0, address: 0, count: 0, mode: 0 }));
  readonly #pages = new Uint8Array(16);
  #masks = 0xff;
  /** Terminal counts seen since the status was read. */
  #terminal = 0;
  readonly #commands = new Uint8Array(2);
  /** The next byte of an address or count is the upper one. */
  readonly #flipFlops = [false, false];

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.low = {
      name: 'dma-8237-low', length: 16,
      read: (offset: number, size: AccessSize) => readBytewise(offset, size, (at) => this.#read(0, at)),
      write: (offset: number, size: AccessSize, value: number) => writeBytewise(offset, size, value, (at, byte) => this.#write(0, at, byte)),
    };
    this.high = {
      name: 'dma-8237-high', length: 32,
      read: (offset: number, size: AccessSize) => readBytewise(offset, size, (at) => this.#read(1, at >> 1)),
      write: (offset: number, size: AccessSize, value: number) => writeBytewise(offset, size, value, (at, byte) => {
        if ((at & 1) === 0) this.#write(1, at >> 1, byte);
      }),
    };
    this.pages = {
      name: 'dma-pages', length: 16,
      read: (offset: number, size: AccessSize) => readBytewise(offset, size, (at) => this.#pages[at]!),
      write: (offset: number, size: AccessSize, value: number) => writeBytewise(offset, size, value, (at, byte) => (this.#pages[at] = byte)),
    };
  }

  reset(): void {
    this.#clear(0);
    this.#clear(1);
    this.#pages.fill(0);
  }

  /** Master clear. */
  #clear(controller: number): void {
    const bits = controller === 0 ? 0x0f : 0xf0;
    this.#masks |= bits;
    this.#terminal &= ~bits;
    this.#commands[controller] = 0;
    this.#flipFlops[controller] = false;
  }

  #read(controller: number, register: number): number {
    if (register < 8) {
      const channel = this.#channels[controller * 4 + (register >> 1)]!;
      const value = (register & 1) === 0 ? channel.address : channel.count;
      const upper = this.#flipFlops[controller]!;
      this.#flipFlops[controller] = !upper;
      return upper ? value >> 8 : value & 0xff;
    }
    if (register === 8) {
      const status = (this.#terminal >> (4 * controller)) & 15;
      this.#terminal &= ~(0x0f << (4 * controller));
      return status;
    }
    if (register === 15) return 0xf0 | ((this.#masks >> (4 * controller)) & 15);
    return 0;
  }

  #write(controller: number, register: number, value: number): void {
    const shift = 4 * controller;
    if (register < 8) {
      const channel = this.#channels[controller * 4 + (register >> 1)]!;
      const upper = this.#flipFlops[controller]!;
      this.#flipFlops[controller] = !upper;
      const put = (old: number): number => (upper ? (old & 0xff) | (value << 8) : (old & 0xff00) | value);
      if ((register & 1) === 0) channel.address = channel.baseAddress = put(channel.baseAddress);
      else channel.count = channel.baseCount = put(channel.baseCount);
      return;
    }
    switch (register) {
      case 8:
        this.#commands[controller] = value;
        break;
      case 10: {
        const bit = 1 << (shift + (value & 3));
        this.#masks = (value & 4) !== 0 ? this.#masks | bit : this.#masks & ~bit;
        break;
      }
      case 11:
        this.#channels[controller * 4 + (value & 3)]!.mode = value;
        break;
      case 12:
        this.#flipFlops[controller] = false;
        break;
      case 13:
        this.#clear(controller);
        break;
      case 14:
        this.#masks &= ~(0x0f << shift);
        break;
      case 15:
        this.#masks = (this.#masks & ~(0x0f << shift)) | ((value & 15) << shift);
        break;
      default: // software requests are for memory to memory, which the AT does not wire
        break;
    }
  }

  /** The device at a byte channel, 0 to 3. */
  channel(number: 0 | 1 | 2 | 3): DmaChannel {
    return {
      ready: (direction) => this.#ready(number, direction),
      write: (bytes) => this.#move(number, bytes.length, (address, done, count) => this.#memory.write(address, bytes.subarray(done, done + count))),
      read: (target) => this.#move(number, target.length, (address, done, count) => this.#memory.read(address, target.subarray(done, done + count))),
    };
  }

  #ready(number: number, direction: 'toMemory' | 'fromMemory'): number {
    const channel = this.#channels[number]!;
    const transfer = (channel.mode >> 2) & 3;
    const masked = ((this.#masks >> number) & 1) !== 0 || (this.#commands[0]! & 4) !== 0;
    // Transfer type 0 verifies: the device's data go nowhere.
    const fits = direction === 'toMemory' ? transfer === TRANSFER_TO_MEMORY || transfer === 0 : transfer === TRANSFER_FROM_MEMORY;
    return masked || !fits ? 0 : channel.count + 1;
  }

  #move(number: number, bytes: number, piece: (address: number, done: number, count: number) => void): boolean {
    const channel = this.#channels[number]!;
    const page = this.#pages[PAGES[number]!]! << 16;
    const down = (channel.mode & MODE_DECREMENT) !== 0;
    const verify = ((channel.mode >> 2) & 3) === 0;
    const count = Math.min(bytes, channel.count + 1);
    // The address wraps within its 64 KiB.
    for (let done = 0; done < count && !verify; ) {
      const here = (channel.address + (down ? -done : done)) & 0xffff;
      const length = down ? 1 : Math.min(count - done, 0x10000 - here);
      piece(page | here, done, length);
      done += length;
    }
    channel.address = (channel.address + (down ? -count : count)) & 0xffff;
    const over = count === channel.count + 1;
    channel.count = (channel.count - count) & 0xffff;
    if (!over) return false;
    this.#terminal |= 1 << number;
    if ((channel.mode & MODE_AUTO) !== 0) {
      channel.address = channel.baseAddress;
      channel.count = channel.baseCount;
    } else this.#masks |= 1 << number;
    return true;
  }

  save(): Plain {
    return {
      channels: this.#channels.flatMap(({ baseAddress, baseCount, address, count, mode }) => [baseAddress, baseCount, address, count, mode]),
      pages: this.#pages.slice(), masks: this.#masks, terminal: this.#terminal, commands: this.#commands.slice(), low: this.#flipFlops[0]!, high: this.#flipFlops[1]!,
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const channels = fields.signedIntegers('channels', CHANNELS * 5, 0xffff).map((value) => value & 0xffff);
    const pages = fields.exactBytes('pages', 16);
    const commands = fields.exactBytes('commands', 2);
    this.#masks = fields.byte('masks');
    this.#terminal = fields.byte('terminal');
    this.#flipFlops[0] = fields.boolean('low');
    this.#flipFlops[1] = fields.boolean('high');
    this.#pages.set(pages);
    this.#commands.set(commands);
    this.#channels.forEach((channel, i) => {
      const [baseAddress, baseCount, address, count, mode] = channels.slice(i * 5, i * 5 + 5) as [number, number, number, number, number];
      Object.assign(channel, { baseAddress, baseCount, address, count, mode: mode & 0xff });
    });
  }
}
