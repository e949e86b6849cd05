import type { TaskFile } from '../ata/ata-disk.ts';

// Frame information structures (Serial ATA 3.x, section 10.5).

export const COMMAND_FIS_BYTES = 20;
const HOST_TO_DEVICE = 0x27;
const DEVICE_TO_HOST = 0x34;
const PIO_SETUP = 0x5f;
const SET_DEVICE_BITS = 0xa1;
const INTERRUPT = 0x40;
const FROM_DEVICE = 0x20;

/** What registers say of a disk after a reset. */
export const DISK_SIGNATURE = 0x00000101;

/** A register frame from the host. `control`: the device control register was written, not the command. */
export interface CommandFis {
  readonly control: boolean;
  readonly softwareReset: boolean;
  readonly file: TaskFile;
}

/** Undefined for anything but a register frame. */
export function parseCommand(fis: Uint8Array): CommandFis | undefined {
  if (fis[0] !== HOST_TO_DEVICE) return undefined;
  const byte = (n: number): number => fis[n]!;
  return {
    control: (byte(1) & 0x80) === 0,
    softwareReset: (byte(15) & 4) !== 0,
    file: {
      command: byte(2),
      features: byte(3) | (byte(11) << 8),
      lba: byte(4) + byte(5) * 2 ** 8 + byte(6) * 2 ** 16 + byte(8) * 2 ** 24 + byte(9) * 2 ** 32 + byte(10) * 2 ** 40,
      count: byte(12) | (byte(13) << 8),
      device: byte(7),
    },
  };
}

export interface Registers {
  readonly status: number;
  readonly error: number;
  readonly lba: number;
  readonly count: number;
  readonly device: number;
}

function registers(type: number, flags: number, values: Registers): Uint8Array {
  const lba = (n: number): number => Math.floor(values.lba / 2 ** (8 * n)) & 0xff;
  return Uint8Array.of(type, flags, values.status, values.error, lba(0), lba(1), lba(2), values.device, lba(3), lba(4), lba(5), 0, values.count & 0xff, values.count >> 8, 0, 0, 0, 0, 0, 0);
}

export function registerFis(values: Registers, interrupt: boolean): Uint8Array {
  return registers(DEVICE_TO_HOST, interrupt ? INTERRUPT : 0, values);
}

/** Before data by PIO: the status now and, in byte 15, the one after the data. */
export function pioSetupFis(values: Registers, toHost: boolean, endStatus: number, bytes: number): Uint8Array {
  const fis = registers(PIO_SETUP, INTERRUPT | (toHost ? FROM_DEVICE : 0), values);
  fis[15] = endStatus;
  fis.set([bytes & 0xff, (bytes >> 8) & 0xff], 16);
  return fis;
}

/** Queued commands that are done, by bit. Status without BSY and DRQ. */
export function deviceBitsFis(status: number, error: number, done: number): Uint8Array {
  return Uint8Array.of(SET_DEVICE_BITS, INTERRUPT, status & 0x77, error, done, done >>> 8, done >>> 16, done >>> 24);
}
