import { UserError } from '../base/errors.ts';
import type { SocketPort } from '../host/sockets.ts';

/** A guest's socket device (vsock). Plain data. */
export interface VsockConfiguration {
  /** The guest's address: context identifier. */
  readonly cid: number;
  /** A Unix socket on the host, by which its programs connect to the guest; the guest's connections to a port go to it with _PORT behind. */
  readonly path: string;
}

/** The device with its host's side, ready to be wired. */
export interface Vsock {
  readonly cid: number;
  readonly sockets: SocketPort;
}

const WANTED = 'give cid=NUMBER,path=SOCKET, for instance cid=3,path=/tmp/guest.vsock';
/** 0 to 2 are the hypervisor, the machine itself and the host. */
const FIRST_CID = 3;
const LAST_CID = 2 ** 32 - 2;

/** `cid=3,path=SOCKET`. Throws UserError. */
export function parseVsock(text: string): VsockConfiguration {
  const [, cid, path] = /^cid=([^,]*),path=(.*)$/s.exec(text) ?? [];
  if (cid === undefined || path === undefined) throw new UserError(`vsock "${text}" is not understood; ${WANTED}`);
  return checkVsock({ cid: /^[0-9]+$/.test(cid) ? Number(cid) : Number.NaN, path }, cid);
}

/** Throws UserError. */
export function checkVsock(vsock: VsockConfiguration, cid = String(vsock.cid)): VsockConfiguration {
  if (!(Number.isInteger(vsock.cid) && vsock.cid >= FIRST_CID && vsock.cid <= LAST_CID)) throw new UserError(`vsock: "${cid}" is no address of a guest; give a number from ${FIRST_CID} to ${LAST_CID}`);
  if (typeof vsock.path !== 'string' || vsock.path === '' || vsock.path.includes('\0')) throw new UserError(`vsock has no path of a socket; ${WANTED}`);
  return vsock;
}
