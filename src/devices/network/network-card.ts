/** A card, as the board sees it. */
export interface NetworkCard {
  /** Frames have arrived at its port: it takes what it has room for. True: there may be more, which it has not looked at. Between slices only. */
  arrived(): boolean;
}

/** Six bytes, as on the wire. */
export type MacAddress = Uint8Array;

export const MAC_BYTES = 6;

/** Multicast and broadcast addresses have the lowest bit of their first byte set. */
export function isGroup(frame: Uint8Array): boolean {
  return (frame[0]! & 1) !== 0;
}
export function isBroadcast(frame: Uint8Array): boolean {
  for (let i = 0; i < MAC_BYTES; i++) if (frame[i] !== 0xff) return false;
  return true;
}
export function isFor(frame: Uint8Array, address: MacAddress): boolean {
  for (let i = 0; i < MAC_BYTES; i++) if (frame[i] !== address[i]) return false;
  return true;
}
