const ENTRIES = 256;
const ETHERNET_BYTES = 14;
const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
const PROTOCOLS_WITH_PORTS: readonly number[] = [6, 17];

/**
 * Automatic receive steering (virtio 1.2, section 5.1.6.5.6): what comes back of a connection goes to the pair of queues that
 * it was last sent from. Learned anew after a load.
 */
export class FlowTable {
  readonly #pairs = new Uint8Array(ENTRIES);

  sent(frame: Uint8Array, pair: number): void {
    this.#pairs[hash(frame)] = pair;
  }
  pairOf(frame: Uint8Array): number {
    return this.#pairs[hash(frame)]!;
  }
  clear(): void {
    this.#pairs.fill(0);
  }
}

/** The same for both directions of a connection: everything that is swapped between them is added. */
function hash(frame: Uint8Array): number {
  const type = (frame[ETHERNET_BYTES - 2]! << 8) | frame[ETHERNET_BYTES - 1]!;
  const ip = ETHERNET_BYTES;
  const [addresses, protocol, ports] = type === TYPE_IPV4
    ? [[ip + 12, 8] as const, frame[ip + 9], ip + (frame[ip]! & 15) * 4]
    : type === TYPE_IPV6 ? [[ip + 8, 32] as const, frame[ip + 6], ip + 40] : [[0, 12] as const, undefined, 0];
  let sum = 0;
  for (let i = 0; i < addresses[1]; i++) sum += frame[addresses[0] + i] ?? 0;
  if (protocol !== undefined && PROTOCOLS_WITH_PORTS.includes(protocol)) {
    for (let i = 0; i < 4; i += 2) sum += 31 * (((frame[ports + i] ?? 0) << 8) | (frame[ports + i + 1] ?? 0));
  }
  return (sum ^ (sum >>> 8)) % ENTRIES;
}
