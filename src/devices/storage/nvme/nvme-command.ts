// Commands and completions of NVM Express (base specification 1.4, section 4).

export const COMMAND_BYTES = 64;
export const COMPLETION_BYTES = 16;

/** Status code type and code (4.5), type in bits 8 to 10, and the bit that says not to try again. */
export const DO_NOT_RETRY = 0x4000;
export const STATUS = {
  success: 0,
  invalidOpcode: DO_NOT_RETRY | 0x001,
  invalidField: DO_NOT_RETRY | 0x002,
  dataTransferError: 0x004,
  invalidNamespace: DO_NOT_RETRY | 0x00b,
  invalidPrpOffset: DO_NOT_RETRY | 0x013,
  namespaceWriteProtected: DO_NOT_RETRY | 0x020,
  outOfRange: DO_NOT_RETRY | 0x080,
  invalidCompletionQueue: DO_NOT_RETRY | 0x100,
  invalidQueueIdentifier: DO_NOT_RETRY | 0x101,
  invalidQueueSize: DO_NOT_RETRY | 0x102,
  tooManyEventRequests: DO_NOT_RETRY | 0x105,
  invalidVector: DO_NOT_RETRY | 0x108,
  invalidLogPage: DO_NOT_RETRY | 0x109,
  invalidQueueDeletion: DO_NOT_RETRY | 0x10c,
  notSaveable: DO_NOT_RETRY | 0x10d,
  writeFault: 0x280,
  readError: 0x281,
} as const;

/** How a command ended. */
export interface Answer {
  readonly status: number;
  /** Doubleword 0 of the completion. */
  readonly result?: number;
}

export const SUCCESS: Answer = { status: STATUS.success };

/** A submission queue entry, copied out of guest memory. */
export class NvmeCommand {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, COMMAND_BYTES);
  }

  get opcode(): number {
    return this.#view.getUint8(0);
  }
  /** Fused operations and scatter gather lists, which we have not. */
  get flags(): number {
    return this.#view.getUint8(1);
  }
  get id(): number {
    return this.#view.getUint16(2, true);
  }
  get namespace(): number {
    return this.word(1);
  }
  get prp1(): number {
    return this.wide(6);
  }
  get prp2(): number {
    return this.wide(8);
  }
  /** Doubleword n. */
  word(n: number): number {
    return this.#view.getUint32(4 * n, true);
  }
  /** Doublewords n and n + 1. */
  wide(n: number): number {
    return this.word(n) + this.word(n + 1) * 2 ** 32;
  }
}
