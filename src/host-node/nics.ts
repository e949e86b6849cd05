import { randomBytes } from 'node:crypto';
import type { Log } from '../host/log.ts';
import type { PacketPort } from '../host/packets.ts';
import { parseMac, parseNet, parseNic, settleNics } from '../machine/nics.ts';
import type { NetRequest, Nic, NicConfiguration, NicRequest } from '../machine/nics.ts';
import { CardPort } from '../network/card-port.ts';
import type { FrameObserver } from '../network/card-port.ts';
import { openHub } from './hub-process.ts';
import { TapPort } from './tap.ts';

/** What may be given to say which network cards a machine has. */
export interface NicsRequest {
  /** What the cards are plugged into, as `parseNet` takes it, or the same taken apart. */
  readonly nets?: readonly (string | NetRequest)[];
  /** The cards, as `parseNic` takes them, or the same taken apart: the first goes with the first network. */
  readonly nics?: readonly (string | NicRequest)[];
}

/** Throws UserError. */
export function configureNics({ nets = [], nics = [] }: NicsRequest): readonly NicConfiguration[] {
  return settleNics(
    nets.map((net) => (typeof net === 'string' ? parseNet(net) : net)),
    nics.map((nic) => (typeof nic === 'string' ? parseNic(nic) : nic)),
    randomBytes,
  );
}

/** Plugs the cards in, all or none. `observe`: who sees the frames of a card, by its number. Throws UserError. */
export async function openNics(cards: readonly NicConfiguration[], log: Log, observe: (card: number) => FrameObserver | undefined): Promise<readonly Nic[]> {
  const nics: Nic[] = [];
  try {
    for (const [i, { model, mac, net }] of cards.entries()) {
      const port = await openNet(net, log);
      nics.push({ model, mac: parseMac(mac), port: port === undefined ? undefined : new CardPort(port, observe(i)) });
    }
    return nics;
  } catch (error) {
    closeNics(nics);
    throw error;
  }
}

async function openNet(net: NetRequest, log: Log): Promise<PacketPort | undefined> {
  if (net === 'none') return undefined;
  return 'tap' in net ? TapPort.open(net.tap, log) : openHub(net.hub);
}

/** Legal again and again. */
export function closeNics(nics: readonly Nic[]): void {
  for (const { port } of nics) port?.close();
}
