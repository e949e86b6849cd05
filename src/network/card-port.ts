import { NO_OFFLOADS } from '../host/packets.ts';
import type { AcceptedOffloads, Frame, PacketPort } from '../host/packets.ts';
import { finish, isSound } from './offloads.ts';

/** Sees every frame as it passes a card, before cards cut what they do not take whole. */
export interface FrameObserver {
  frame(direction: 'in' | 'out', frame: Frame): void;
}

export interface CardFigures {
  readonly framesIn: number;
  readonly bytesIn: number;
  readonly framesOut: number;
  readonly bytesOut: number;
}

/**
 * A port as a card's model wants it: offloads that make no sense go no further, and what the card has not accepted is done
 * before it gets the frame, wherever that comes from.
 */
export class CardPort implements PacketPort {
  readonly #port: PacketPort;
  readonly #observer: FrameObserver | undefined;
  #accepted = NO_OFFLOADS;
  /** Pieces of the last frame that the card has not got yet. */
  #pieces: Frame[] = [];
  #figures = { framesIn: 0, bytesIn: 0, framesOut: 0, bytesOut: 0 };

  constructor(port: PacketPort, observer?: FrameObserver) {
    this.#port = port;
    this.#observer = observer;
  }

  get figures(): CardFigures {
    return { ...this.#figures };
  }

  accept(offloads: AcceptedOffloads): void {
    this.#accepted = offloads;
    this.#port.accept(offloads);
  }

  send(frame: Frame): void {
    if (!isSound(frame)) return;
    this.#figures.framesOut++;
    this.#figures.bytesOut += frame.bytes.length;
    this.#observer?.frame('out', frame);
    this.#port.send(frame);
  }

  receive(): Frame | undefined {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) return piece;
      const frame = this.#port.receive();
      if (frame === undefined) return undefined;
      if (!isSound(frame)) continue;
      this.#figures.framesIn++;
      this.#figures.bytesIn += frame.bytes.length;
      this.#observer?.frame('in', frame);
      const whole = finish(frame, this.#accepted);
      if (whole.length === 1) return whole[0];
      this.#pieces = [...whole];
    }
  }

  listen(arrived: () => void): void {
    this.#port.listen(arrived);
  }
  close(): void {
    this.#port.close();
  }
}
