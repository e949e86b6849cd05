import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { ByteSink } from '../../host/bytes.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { ByteQueue } from '../byte-queue.ts';
import { readBytewise, writeBytewise } from '../byte-registers.ts';
import { StateFields } from '../state-fields.ts';

// National Semiconductor PC16550D data sheet, section 8. The line is infinitely fast: a byte written to
// THR has left at once, and the character timeout has elapsed as soon as nothing more is waiting.

const RBR_THR = 0;
const IER = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RECEIVED = 1;
const IER_TRANSMIT_EMPTY = 2;
const IER_LINE_STATUS = 4;
const IER_MODEM_STATUS = 8;

const IIR_NONE = 0x01;
const IIR_MODEM_STATUS = 0x00;
const IIR_TRANSMIT_EMPTY = 0x02;
const IIR_RECEIVED = 0x04;
const IIR_LINE_STATUS = 0x06;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFO_ENABLED = 0xc0;

const LCR_DLAB = 0x80;
const MCR_OUT2 = 0x08;
const MCR_LOOPBACK = 0x10;

const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_BREAK = 0x10;
const LSR_TRANSMIT_EMPTY = 0x60; // THRE and TEMT
const LSR_ERRORS = 0x1e;

const FIFO_DEPTH = 16;
/** Who sends looks at LSR once or twice a byte. */
const POLLS_OF_WAITING = 64;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;
/** CTS, DSR and DCD: a terminal is connected and ready. */
const MODEM_CONNECTED = 0xb0;
const FLUSH_AT = 4096;
const STORED_INPUT_MAX = 1 << 30;

export interface Serial16550Options {
  /** Name in traces and stored state, `com1` say. */
  readonly name: string;
  /** Where transmitted bytes go, in batches. */
  readonly sink: ByteSink;
  /** Gated by MCR.OUT2, as on every PC serial card. */
  readonly line: LevelLine;
}

/** A 16550A serial port: eight byte-wide registers. */
export class Serial16550 implements RegisterBlock, Stateful {
  readonly name: string;
  readonly length = 8;
  readonly stateName: string;
  readonly stateVersion = 1;

  readonly #sink: ByteSink;
  readonly #line: LevelLine;
  readonly #output = new Uint8Array(FLUSH_AT);
  #outputLength = 0;
  /** Input of the host that found no room in the FIFO yet. */
  readonly #waiting = new ByteQueue();
  readonly #receiver = new ByteQueue();
  #receivedLast = 0;
  #ier = 0;
  #lcr = 0;
  #mcr = 0;
  /** Error bits of LSR only; the others follow from the queues. */
  #errors = 0;
  #modemDelta = 0;
  #scratch = 0;
  #divisor = 12;
  #fifoEnabled = false;
  #trigger = 0;
  #transmitEmptyPending = false;
  /** Reads of LSR since the last byte was sent; for what the host wants to know alone, so no part of the state. */
  #polls = 0;

  constructor(options: Serial16550Options) {
    this.name = options.name;
    this.stateName = options.name;
    this.#sink = options.sink;
    this.#line = options.line;
  }

  reset(): void {
    this.#receiver.clear();
    this.#receivedLast = 0;
    this.#ier = this.#lcr = this.#mcr = this.#errors = this.#modemDelta = this.#scratch = this.#trigger = 0;
    this.#divisor = 12;
    this.#fifoEnabled = this.#transmitEmptyPending = false;
    this.#polls = 0;
    this.#refill();
    this.#update();
  }

  /** Input from the host. Never refused: what the FIFO cannot take waits until the guest has drained it. */
  receive(bytes: Uint8Array): void {
    this.#waiting.pushAll(bytes);
    this.#refill();
    this.#update();
  }

  /** Bytes of host input that the guest has not read yet. */
  get unread(): number {
    return this.#waiting.length + this.#receiver.length;
  }

  /** Whether the guest waits for input: by interrupt, or by looking again and again. What comes before a driver is there it throws away. */
  get listening(): boolean {
    return (this.#ier & IER_RECEIVED) !== 0 || this.#polls >= POLLS_OF_WAITING;
  }

  /** A break condition on the line: a zero byte with LSR.BI set (Linux: SysRq). */
  receiveBreak(): void {
    this.#errors |= LSR_BREAK;
    if (this.#receiver.length < this.#depth()) this.#receiver.push(0);
    this.#update();
  }

  /** Hands transmitted bytes that still wait to the sink. The machine calls it between slices. */
  flush(): void {
    if (this.#outputLength === 0) return;
    const bytes = this.#output.slice(0, this.#outputLength);
    this.#outputLength = 0;
    this.#sink.write(bytes);
  }

  read(offset: number, size: AccessSize): number {
    return size === 1 ? this.#readRegister(offset) : readBytewise(offset, size, (at) => this.#readRegister(at));
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size === 1) this.#writeRegister(offset, value & 0xff);
    else writeBytewise(offset, size, value, (at, byte) => this.#writeRegister(at, byte));
  }

  #readRegister(offset: number): number {
    switch (offset) {
      case RBR_THR: {
        if (this.#lcr & LCR_DLAB) return this.#divisor & 0xff;
        this.#receivedLast = this.#receiver.shift() ?? this.#receivedLast;
        this.#refill();
        this.#update();
        return this.#receivedLast;
      }
      case IER:
        return this.#lcr & LCR_DLAB ? this.#divisor >> 8 : this.#ier;
      case IIR_FCR: {
        const cause = this.#cause();
        if (cause === IIR_TRANSMIT_EMPTY) {
          // Reading IIR resets the THRE interrupt when it is the one indicated.
          this.#transmitEmptyPending = false;
          this.#update();
        }
        return cause | (this.#fifoEnabled ? IIR_FIFO_ENABLED : 0);
      }
      case LCR:
        return this.#lcr;
      case MCR:
        return this.#mcr;
      case LSR: {
        const status = LSR_TRANSMIT_EMPTY | this.#errors | (this.#receiver.length > 0 ? LSR_DATA_READY : 0);
        this.#errors = 0;
        if (this.#polls < POLLS_OF_WAITING) this.#polls++;
        this.#update();
        return status;
      }
      case MSR: {
        const status = this.#modemInputs() | this.#modemDelta;
        this.#modemDelta = 0;
        this.#update();
        return status;
      }
      case SCR:
        return this.#scratch;
      default:
        return 0xff;
    }
  }

  #writeRegister(offset: number, value: number): void {
    switch (offset) {
      case RBR_THR:
        if (this.#lcr & LCR_DLAB) {
          this.#divisor = (this.#divisor & 0xff00) | value;
          return;
        }
        this.#transmit(value);
        break;
      case IER: {
        if (this.#lcr & LCR_DLAB) {
          this.#divisor = (this.#divisor & 0xff) | (value << 8);
          return;
        }
        // THR is always empty here, so enabling its interrupt raises it at once; drivers count on that.
        if ((value & ~this.#ier) & IER_TRANSMIT_EMPTY) this.#transmitEmptyPending = true;
        this.#ier = value & 0x0f;
        break;
      }
      case IIR_FCR: {
        const enabled = (value & 1) !== 0;
        if (enabled !== this.#fifoEnabled || value & 2) this.#receiver.clear();
        // An emptied transmitter FIFO is an empty THR (it was empty before, but the event is raised again).
        if (enabled !== this.#fifoEnabled || (enabled && value & 4)) this.#transmitEmptyPending = true;
        this.#fifoEnabled = enabled;
        this.#trigger = enabled ? value >> 6 : 0;
        this.#refill();
        break;
      }
      case LCR:
        this.#lcr = value;
        return;
      case MCR: {
        const before = this.#modemInputs();
        this.#mcr = value & 0x1f;
        this.#noteModemChange(before);
        this.#refill();
        break;
      }
      case MSR:
      case LSR:
        return; // read only; factory test
      case SCR:
        this.#scratch = value;
        return;
      default:
        return;
    }
    this.#update();
  }

  #transmit(value: number): void {
    this.#transmitEmptyPending = true;
    this.#polls = 0;
    if (this.#mcr & MCR_LOOPBACK) {
      if (this.#receiver.length < this.#depth()) {
        this.#receiver.push(value);
      } else {
        this.#errors |= LSR_OVERRUN;
        // Without a FIFO the newcomer replaces the character that was not read in time.
        if (!this.#fifoEnabled) this.#receiver.replace(Uint8Array.of(value));
      }
      return;
    }
    this.#output[this.#outputLength++] = value;
    if (this.#outputLength === FLUSH_AT) this.flush();
  }

  #depth(): number {
    return this.#fifoEnabled ? FIFO_DEPTH : 1;
  }

  #refill(): void {
    if (this.#mcr & MCR_LOOPBACK) return; // the receiver is cut off from the line
    const depth = this.#depth();
    while (this.#receiver.length < depth && this.#waiting.length > 0) this.#receiver.push(this.#waiting.shift()!);
  }

  /** Upper half of MSR. In loopback the four modem outputs feed the inputs: CTS=RTS, DSR=DTR, RI=OUT1, DCD=OUT2. */
  #modemInputs(): number {
    if (!(this.#mcr & MCR_LOOPBACK)) return MODEM_CONNECTED;
    const outputs = this.#mcr;
    return ((outputs & 2) << 3) | ((outputs & 1) << 5) | ((outputs & 4) << 4) | ((outputs & 8) << 4);
  }

  #noteModemChange(before: number): void {
    const now = this.#modemInputs();
    const changed = (before ^ now) >> 4;
    // Delta CTS, DSR and DCD on any change; the ring indicator only on its trailing edge.
    this.#modemDelta |= (changed & 0b1011) | ((before & ~now) >> 4 & 0b0100);
  }

  #cause(): number {
    if (this.#ier & IER_LINE_STATUS && this.#errors & LSR_ERRORS) return IIR_LINE_STATUS;
    if (this.#ier & IER_RECEIVED && this.#receiver.length > 0) {
      return this.#receiver.length >= TRIGGER_LEVELS[this.#trigger as 0 | 1 | 2 | 3] ? IIR_RECEIVED : IIR_TIMEOUT;
    }
    if (this.#ier & IER_TRANSMIT_EMPTY && this.#transmitEmptyPending) return IIR_TRANSMIT_EMPTY;
    if (this.#ier & IER_MODEM_STATUS && this.#modemDelta) return IIR_MODEM_STATUS;
    return IIR_NONE;
  }

  #update(): void {
    // OUT2 opens the interrupt driver; in loopback mode the output pins are inactive.
    const gate = (this.#mcr & (MCR_OUT2 | MCR_LOOPBACK)) === MCR_OUT2;
    this.#line.set(gate && this.#cause() !== IIR_NONE);
  }

  /** Flushes first, so that no transmitted byte is both shown and stored. */
  save(): Plain {
    this.flush();
    return {
      waiting: this.#waiting.toBytes(),
      receiver: this.#receiver.toBytes(),
      receivedLast: this.#receivedLast,
      ier: this.#ier,
      lcr: this.#lcr,
      mcr: this.#mcr,
      errors: this.#errors,
      modemDelta: this.#modemDelta,
      scratch: this.#scratch,
      divisor: this.#divisor,
      fifoEnabled: this.#fifoEnabled,
      trigger: this.#trigger,
      transmitEmptyPending: this.#transmitEmptyPending,
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const fifoEnabled = fields.boolean('fifoEnabled');
    const loaded = {
      waiting: fields.bytes('waiting', STORED_INPUT_MAX),
      receiver: fields.bytes('receiver', fifoEnabled ? FIFO_DEPTH : 1),
      receivedLast: fields.byte('receivedLast'),
      ier: fields.integer('ier', 0x0f),
      lcr: fields.byte('lcr'),
      mcr: fields.integer('mcr', 0x1f),
      errors: fields.integer('errors', LSR_ERRORS) & LSR_ERRORS,
      modemDelta: fields.integer('modemDelta', 0x0f),
      scratch: fields.byte('scratch'),
      divisor: fields.integer('divisor', 0xffff),
      trigger: fields.integer('trigger', fifoEnabled ? 3 : 0),
      transmitEmptyPending: fields.boolean('transmitEmptyPending'),
    };
    this.#waiting.replace(loaded.waiting);
    this.#receiver.replace(loaded.receiver);
    this.#receivedLast = loaded.receivedLast;
    this.#ier = loaded.ier;
    this.#lcr = loaded.lcr;
    this.#mcr = loaded.mcr;
    this.#errors = loaded.errors;
    this.#modemDelta = loaded.modemDelta;
    this.#scratch = loaded.scratch;
    this.#divisor = loaded.divisor;
    this.#fifoEnabled = fifoEnabled;
    this.#trigger = loaded.trigger;
    this.#transmitEmptyPending = loaded.transmitEmptyPending;
    this.#update();
  }
}
