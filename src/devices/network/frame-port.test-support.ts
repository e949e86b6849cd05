import { NO_OFFLOADS } from '../../host/packets.ts';
import type { AcceptedOffloads, Frame, PacketPort } from '../../host/packets.ts';

/** A cable whose other end is the test. */
export class FramePort implements PacketPort {
  readonly sent: Frame[] = [];
  readonly waiting: Frame[] = [];
  accepted: AcceptedOffloads = NO_OFFLOADS;
  arrived = (): void => {};

  accept(offloads: AcceptedOffloads): void {
    this.accepted = offloads;
  }
  send({ bytes, ...rest }: Frame): void {
    this.sent.push({ bytes: bytes.slice(), ...rest });
  }
  receive(): Frame | undefined {
    return this.waiting.shift();
  }
  listen(arrived: () => void): void {
    this.arrived = arrived;
  }
  close(): void {}
}

export const OWN_MAC = Uint8Array.of(0x52, 0x54, 0, 1, 2, 3);
export const OTHER_MAC = Uint8Array.of(0x52, 0x54, 0, 9, 9, 9);

/** A frame of so many bytes, none of them like the next; of a type that nobody knows. */
export function frameTo(mac: Uint8Array, length = 60, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 7 + seed; // Uint8Array.from with a function takes 30 times as long
  bytes.set(mac);
  bytes.set(OTHER_MAC, 6);
  bytes.set([0x88, 0xb5], 12);
  return bytes;
}
