/** What a card's receiver takes from others: frames of which something is left to be done. */
export interface AcceptedOffloads {
  /** Checksums that are not made up yet. All that follows needs it. */
  readonly checksum: boolean;
  /** TCP frames to be cut, over IPv4 and IPv6. */
  readonly tcp4: boolean;
  readonly tcp6: boolean;
  /** Such frames whose CWR flag belongs to the first segment only. */
  readonly ecn: boolean;
}

export const NO_OFFLOADS: AcceptedOffloads = { checksum: false, tcp4: false, tcp6: false, ecn: false };

/** Work on a frame that its sender has left to whoever needs it done, in the terms of virtio 1.2, section 5.1.6. */
export interface Offload {
  /**
   * The Internet checksum of the bytes from `start` to the frame's end is missing; it belongs at `start + offset`, where the
   * pseudo header's sum is now.
   */
  readonly checksum?: { readonly start: number; readonly offset: number };
  /** The frame is longer than a network takes: TCP to be cut into pieces of at most `bytes` of payload. Needs `checksum`. */
  readonly segments?: { readonly kind: 'tcp4' | 'tcp6'; readonly bytes: number; readonly ecn: boolean };
  /** Whoever delivers the frame vouches for its checksums. */
  readonly verified?: boolean;
}

/** An Ethernet frame from its destination address on, without frame check sequence. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly offload?: Offload;
}

/** No frame is longer, cut or not: 64 KiB of IP packet, Ethernet header and VLAN tags. */
export const LONGEST_FRAME = 65536 + 22;

/** The end of a cable: what a network card has on the host's side. Networks lose frames; nothing is said of it. */
export interface PacketPort {
  /** What `receive` may leave to be done; at first nothing. */
  accept(offloads: AcceptedOffloads): void;
  /** Takes the frame as it is during the call. */
  send(frame: Frame): void;
  /** The next frame that has arrived, valid until the next call; undefined: none, and the listener will be told of the next. */
  receive(): Frame | undefined;
  /** Called once for each time that `receive` had nothing, when there is something. Not from inside `receive` or `send`. */
  listen(arrived: () => void): void;
  /** Nothing arrives afterwards. Legal again and again. */
  close(): void;
}
