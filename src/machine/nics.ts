import { UserError } from '../base/errors.ts';
import { MAC_BYTES } from '../devices/network/network-card.ts';
import type { MacAddress } from '../devices/network/network-card.ts';
import type { PacketPort } from '../host/packets.ts';

/** Models of network cards. */
export const NIC_MODELS = ['virtio', 'e1000', 'rtl8139', 'rtl8139d'] as const;
export type NicModel = (typeof NIC_MODELS)[number];

/** What a card's cable leads to. */
export type NetRequest =
  /** A TAP interface of the host. */
  | { readonly tap: string }
  /** A hub, which all machines of this user on this host share by its name. */
  | { readonly hub: string }
  /** No cable is plugged in. */
  | 'none';

/** A network card, settled. Plain data. */
export interface NicConfiguration {
  readonly model: NicModel;
  /** `52:54:00:12:34:56`. */
  readonly mac: string;
  readonly net: NetRequest;
}

/** A card as the user asks for it. */
export type NicRequest = Partial<Pick<NicConfiguration, 'model' | 'mac'>>;

/** A card with what it is plugged into, ready to be wired. */
export interface Nic {
  readonly model: NicModel;
  readonly mac: MacAddress;
  /** Missing: no cable. */
  readonly port: PacketPort | undefined;
}

const WANTED_NET = 'give tap:NAME, hub:NAME or none';
const WANTED_NIC = `give ${NIC_MODELS.join(', ')}, and behind it as needed ,mac=52:54:00:12:34:56`;
const MOST_CARDS = 8;

/** `tap:NAME`, `hub:NAME` or `none`. Throws UserError. */
export function parseNet(text: string): NetRequest {
  if (text === 'none') return 'none';
  const [, kind, name] = /^(tap|hub):(.*)$/s.exec(text) ?? [];
  if (kind === undefined) throw new UserError(`network "${text}" is not understood; ${WANTED_NET}`);
  return checkNet(kind === 'tap' ? { tap: name! } : { hub: name! });
}

export function checkNet(net: NetRequest): NetRequest {
  if (net === 'none') return net;
  const [kind, name] = 'tap' in net ? ['tap', net.tap] : ['hub', net.hub];
  const legal = kind === 'tap' ? /^[^\s/:%]{1,15}$/ : /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;
  const rule = kind === 'tap' ? 'at most 15 characters, as "ip link" shows it' : 'at most 32 letters, digits, dots, dashes and underscores';
  if (typeof name !== 'string' || !legal.test(name)) throw new UserError(`network "${kind}:${name}" has no name that can be; give ${rule}`);
  return net;
}

/** `MODEL[,mac=ADDRESS]`. Throws UserError. */
export function parseNic(text: string): NicRequest {
  const [model = '', ...more] = text.split(',');
  let mac: string | undefined;
  for (const part of more) {
    if (!part.startsWith('mac=') || mac !== undefined) throw new UserError(`network card "${text}": "${part}" is not understood; ${WANTED_NIC}`);
    mac = part.slice(4);
    parseMac(mac);
  }
  return { model: checkModel(model), ...(mac === undefined ? {} : { mac }) };
}

function checkModel(model: string): NicModel {
  if (!(NIC_MODELS as readonly string[]).includes(model)) throw new UserError(`network card "${model}" is unknown; ${WANTED_NIC}`);
  return model as NicModel;
}

/** Throws UserError. */
export function parseMac(text: string): MacAddress {
  const bytes = text.split(':');
  const fits = bytes.length === MAC_BYTES && bytes.every((byte) => /^[0-9a-f]{2}$/i.test(byte));
  const mac = Uint8Array.from(bytes, (byte) => Number.parseInt(byte, 16));
  if (!fits) throw new UserError(`"${text}" is no MAC address; give six bytes, for instance 52:54:00:12:34:56`);
  if ((mac[0]! & 1) !== 0) throw new UserError(`the MAC address ${text} is one of a group, which no card can have; give one whose first byte is even, for instance 52:54:00:12:34:56`);
  if (mac.every((byte) => byte === 0)) throw new UserError(`the MAC address ${text} means "none"; give another, for instance 52:54:00:12:34:56`);
  return mac;
}

/**
 * The cards of a machine: the first card goes with the first network, and so on. A network without a card gets a virtio card, a
 * card without a network no cable; `none` alone is no card. `random` gives bytes for addresses that were not given. Throws UserError.
 */
export function settleNics(nets: readonly NetRequest[], nics: readonly NicRequest[], random: (bytes: number) => Uint8Array): readonly NicConfiguration[] {
  const cards: NicConfiguration[] = [];
  for (let i = 0; i < Math.max(nets.length, nics.length); i++) {
    const net = checkNet(nets[i] ?? 'none');
    const nic = nics[i];
    if (nic === undefined && net === 'none') continue;
    cards.push(checkNic({ model: nic?.model ?? 'virtio', mac: nic?.mac ?? randomMac(random), net }));
  }
  return checkNics(cards);
}

export function checkNics(cards: readonly NicConfiguration[]): readonly NicConfiguration[] {
  if (!Array.isArray(cards)) throw new UserError('the network cards are no list');
  for (const card of cards) checkNic(card);
  if (cards.length > MOST_CARDS) throw new UserError(`${cards.length} network cards are too many; give at most ${MOST_CARDS}`);
  const addresses = cards.map(({ mac }) => mac.toLowerCase());
  const twice = addresses.find((mac, i) => addresses.indexOf(mac) !== i);
  if (twice !== undefined) throw new UserError(`two network cards have the MAC address ${twice}; give each its own`);
  return cards;
}

function checkNic(card: NicConfiguration): NicConfiguration {
  checkModel(card.model);
  parseMac(String(card.mac));
  checkNet(card.net);
  return card;
}

/** Of the range that is nobody's (the second lowest bit of the first byte is set). */
function randomMac(random: (bytes: number) => Uint8Array): string {
  return ['52', '54', '00', ...Array.from(random(3), (byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
