// Status and sense of SCSI commands (SAM-5, section 5.3; SPC-4, section 4.5).

export const GOOD = 0x00;
export const CHECK_CONDITION = 0x02;

/** Sense key, additional sense code and its qualifier (SPC-4, tables 48 and 52). */
export type Sense = readonly [key: number, code: number, qualifier: number];

export const SENSE = {
  none: [0, 0, 0],
  readError: [3, 0x11, 0],
  writeError: [3, 0x0c, 0],
  invalidCommand: [5, 0x20, 0],
  outOfRange: [5, 0x21, 0],
  invalidField: [5, 0x24, 0],
  noSuchUnit: [5, 0x25, 0],
  invalidParameters: [5, 0x26, 0],
  parameterListLength: [5, 0x1a, 0],
  powerOn: [6, 0x29, 0],
  resetOccurred: [6, 0x29, 3],
  writeProtected: [7, 0x27, 0],
} as const satisfies Readonly<Record<string, Sense>>;

/** Fixed format (4.5.3). */
export function senseData([key, code, qualifier]: Sense): Uint8Array {
  const data = new Uint8Array(18);
  data[0] = 0x70;
  data[2] = key;
  data[7] = data.length - 8;
  data[12] = code;
  data[13] = qualifier;
  return data;
}
