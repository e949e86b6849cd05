/** A floppy disk's format; sectors have 512 bytes. */
export interface FloppyFormat {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
  /** Data rate as in the configuration control register: 0 500, 1 300, 2 250, 3 1000 kbit/s. */
  readonly rate: number;
  /** Type of the drive for it, as CMOS byte 10h says it. */
  readonly drive: number;
}

const FORMATS: readonly FloppyFormat[] = [
  { cylinders: 80, heads: 2, sectors: 18, rate: 0, drive: 4 }, // 1.44 MB, 3.5"
  { cylinders: 80, heads: 2, sectors: 36, rate: 3, drive: 5 }, // 2.88 MB, 3.5"
  { cylinders: 80, heads: 2, sectors: 15, rate: 0, drive: 2 }, // 1.2 MB, 5.25"
  { cylinders: 80, heads: 2, sectors: 9, rate: 2, drive: 3 }, // 720 KB, 3.5"
  { cylinders: 40, heads: 2, sectors: 9, rate: 2, drive: 1 }, // 360 KB, 5.25"
];

/** By an image's size; undefined where no drive of a PC has it. */
export function floppyFormat(bytes: number): FloppyFormat | undefined {
  return FORMATS.find(({ cylinders, heads, sectors }) => cylinders * heads * sectors * 512 === bytes);
}

/** Whether a drive made for one format takes disks of another: those of its size, with as much on them or less. */
export function fitsDrive(disk: FloppyFormat, drive: FloppyFormat): boolean {
  const small = (format: FloppyFormat): boolean => format.drive >= 3;
  return small(disk) === small(drive) && disk.drive <= drive.drive;
}
