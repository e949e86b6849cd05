import { closeSync, constants, openSync } from 'node:fs';
import { userInfo } from 'node:os';
import { UserError } from '../base/errors.ts';
import { LONGEST_FRAME } from '../host/packets.ts';
import type { AcceptedOffloads, Frame, Offload, PacketPort } from '../host/packets.ts';
import { VIRTIO_NET_HEADER_BYTES, readVirtioNetHeader, writeVirtioNetHeader } from '../host/virtio-net-header.ts';
import type { Log } from '../host/log.ts';
import { DescriptorPoll } from './descriptor-poll.ts';
import { loadKoffi } from './koffi.ts';
import type { CFunction } from './koffi.ts';
import { fileTrouble } from './words.ts';

// TAP interfaces of Linux (its Documentation/networking/tuntap.rst; numbers of linux/if_tun.h and linux/if.h).

const DEVICE = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** Each frame has a struct virtio_net_hdr in front. */
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 1;
const TUN_F_TSO4 = 2;
const TUN_F_TSO6 = 4;
const TUN_F_TSO_ECN = 8;
const REQUEST_BYTES = 40;
const REQUEST_FLAGS = 16;
const LONGEST_NAME = 15;
const [EPERM, EIO, EBUSY, EINVAL] = [1, 5, 16, 22];

const HEADER_BYTES = VIRTIO_NET_HEADER_BYTES;
/** The system wants to know how much of a frame are headers (it reads no less than the checksum needs). */
const TCP_BYTES = 20;

interface Calls {
  readonly ioctl: CFunction;
  readonly ioctlNumber: CFunction;
  readonly read: CFunction;
  readonly write: CFunction;
  readonly index: CFunction;
  errno(): number;
}

let calls: Calls | undefined;

function loadCalls(): Calls {
  const koffi = loadKoffi();
  const c = koffi.load(null);
  return {
    ioctl: c.func('int ioctl(int fd, unsigned long request, void *argument)'),
    ioctlNumber: c.func('int ioctl(int fd, unsigned long request, unsigned long argument)'),
    read: c.func('long read(int fd, void *bytes, size_t count)'),
    write: c.func('long write(int fd, void *bytes, size_t count)'),
    index: c.func('unsigned int if_nametoindex(const char *name)'),
    errno: () => koffi.errno(),
  };
}

/** A TAP interface of the host. */
export class TapPort implements PacketPort {
  readonly #name: string;
  readonly #fd: number;
  readonly #calls: Calls;
  readonly #log: Log;
  readonly #received = new Uint8Array(HEADER_BYTES + LONGEST_FRAME);
  readonly #sent = new Uint8Array(HEADER_BYTES + LONGEST_FRAME);
  #arrived = (): void => {};
  #open = true;
  #complained = false;

  private constructor(name: string, fd: number, system: Calls, log: Log) {
    this.#name = name;
    this.#fd = fd;
    this.#calls = system;
    this.#log = log;
  }

  /** Takes an interface that exists. Throws UserError. */
  static open(name: string, log: Log): TapPort {
    const system = available(name);
    const remedy = `ip tuntap add dev ${name} mode tap user ${userInfo().username} && ip link set ${name} up`;
    // The system would make one without address, which goes with the machine.
    if (system.index(name) === 0) throw new UserError(`there is no network interface ${name}; as root: ${remedy}`);
    const fd = openDevice();
    const request = new Uint8Array(REQUEST_BYTES);
    request.set(new TextEncoder().encode(name).subarray(0, LONGEST_NAME));
    new DataView(request.buffer).setUint16(REQUEST_FLAGS, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
    if (system.ioctl(fd, TUNSETIFF, request) === 0) {
      // An interface keeps what whoever had it before has set: QEMU's headers are longer.
      system.ioctl(fd, TUNSETVNETHDRSZ, new Uint8Array(Int32Array.of(HEADER_BYTES).buffer));
      system.ioctlNumber(fd, TUNSETOFFLOAD, 0);
      return new TapPort(name, fd, system, log);
    }
    const error = system.errno();
    closeSync(fd);
    if (error === EPERM) throw new UserError(`the network interface ${name} is not yours to use; as root: ip link delete ${name}; ${remedy}`);
    if (error === EBUSY) throw new UserError(`the TAP interface ${name} is in use by another machine or program; give each its own`);
    if (error === EINVAL) throw new UserError(`the network interface ${name} is no TAP interface, or one of several queues; as root: ip tuntap add dev NAME mode tap user ${userInfo().username}`);
    throw new UserError(`the TAP interface ${name} cannot be opened (error ${error} of the system)`);
  }

  accept({ checksum, tcp4, tcp6, ecn }: AcceptedOffloads): void {
    const flags = checksum ? TUN_F_CSUM | (tcp4 ? TUN_F_TSO4 : 0) | (tcp6 ? TUN_F_TSO6 : 0) | (ecn && (tcp4 || tcp6) ? TUN_F_TSO_ECN : 0) : 0;
    // What an old system does not know is done for it elsewhere.
    if (this.#open) this.#calls.ioctlNumber(this.#fd, TUNSETOFFLOAD, flags);
  }

  send({ bytes, offload }: Frame): void {
    if (!this.#open) return;
    writeHeader(this.#sent, offload);
    this.#sent.set(bytes, HEADER_BYTES);
    if (this.#calls.write(this.#fd, this.#sent, HEADER_BYTES + bytes.length) >= 0 || this.#complained || this.#calls.errno() !== EIO) return;
    this.#complained = true;
    this.#log.warn(`the TAP interface ${this.#name} is down, so frames are lost; as root: ip link set ${this.#name} up`);
  }

  receive(): Frame | undefined {
    if (!this.#open) return undefined;
    const count = this.#calls.read(this.#fd, this.#received, this.#received.length);
    if (count > HEADER_BYTES) return { bytes: this.#received.subarray(HEADER_BYTES, count), ...readVirtioNetHeader(this.#received) };
    DescriptorPoll.shared().wait(this.#fd, () => this.#arrived());
    return undefined;
  }

  listen(arrived: () => void): void {
    this.#arrived = arrived;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    DescriptorPoll.shared().forget(this.#fd);
    closeSync(this.#fd);
  }
}

function available(name: string): Calls {
  if (process.platform !== 'linux') throw new UserError('TAP interfaces are Linux\'s; give --net hub:NAME, or none');
  if (name.length > LONGEST_NAME) throw new UserError(`"${name}" is too long for a network interface's name; give at most ${LONGEST_NAME} letters`);
  try {
    return (calls ??= loadCalls());
  } catch {
    throw new UserError('TAP interfaces need the package koffi, which is missing here or has nothing for this system; npm install koffi, or give --net hub:NAME');
  }
}

function openDevice(): number {
  try {
    return openSync(DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') throw new UserError(`${DEVICE} may not be opened; as root: chmod 666 ${DEVICE} (its owner in each interface is what counts)`);
    throw new UserError(`${DEVICE} ${fileTrouble(error)}; as root: modprobe tun`);
  }
}

/** What is verified already is nothing to the system. */
function writeHeader(target: Uint8Array, offload: Offload | undefined): void {
  const { checksum, segments } = offload ?? {};
  const known = checksum === undefined ? {} : { checksum, ...(segments === undefined ? {} : { segments }) };
  writeVirtioNetHeader(target, known, checksum === undefined || segments === undefined ? 0 : checksum.start + TCP_BYTES);
}
