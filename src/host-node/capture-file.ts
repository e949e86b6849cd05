import { closeSync, openSync, writevSync } from 'node:fs';
import { UserError } from '../base/errors.ts';
import type { Frame } from '../host/packets.ts';
import type { Log } from '../host/log.ts';
import type { FrameObserver } from '../network/card-port.ts';
import { captureHeader, capturedFrame } from '../network/pcapng.ts';
import { packageVersion } from './version.ts';
import { fileTrouble, outputTrouble } from './words.ts';

/** How long frames wait to be written together. */
const GATHER_MS = 50;
const MOST_WAITING_BYTES = 1 << 20;

/** What passes a machine's network cards, in a pcapng file, which may be read while it grows. */
export class CaptureFile {
  readonly #path: string;
  readonly #fd: number;
  readonly #log: Log;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #open = true;

  /** `cards`: names for people. Throws UserError. */
  constructor(path: string, cards: readonly string[], log: Log) {
    this.#path = path;
    this.#log = log;
    try {
      this.#fd = openSync(path, 'w');
    } catch (error) {
      throw new UserError(`the capture file ${path} ${outputTrouble(error)}; give the path of a file that can be written`);
    }
    this.#add(captureHeader(`polyvisor ${packageVersion()}`, cards));
    this.#write();
  }

  observe(card: number): FrameObserver {
    return {
      frame: (direction: 'in' | 'out', frame: Frame) => {
        this.#add(capturedFrame(card, direction, frame, Math.round((performance.timeOrigin + performance.now()) * 1000)));
        if (this.#bytes > MOST_WAITING_BYTES) this.#write();
        else this.#timer ??= setTimeout(() => this.#write(), GATHER_MS);
      },
    };
  }

  #add(block: Uint8Array): void {
    this.#waiting.push(block);
    this.#bytes += block.length;
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const blocks = this.#waiting.splice(0);
    this.#bytes = 0;
    if (!this.#open || blocks.length === 0) return;
    try {
      writevSync(this.#fd, blocks);
    } catch (error) {
      this.#log.warn(`the capture file ${this.#path} ${fileTrouble(error)}; nothing more is captured`);
      this.#shut();
    }
  }

  #shut(): void {
    this.#open = false;
    closeSync(this.#fd);
  }

  /** Legal again and again. */
  close(): void {
    this.#write();
    if (this.#open) this.#shut();
  }
}
