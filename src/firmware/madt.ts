import { acpiTable, u32le } from './acpi-image.ts';

const LOCAL_APIC = 0xfee00000;
const IO_APIC = 0xfec00000;
const ACTIVE_HIGH_EDGE = 0b0101;
const ACTIVE_HIGH_LEVEL = 0b1101;

export interface MadtOptions {
  /** The local APICs' identifiers, in the order in which an operating system should start them. */
  readonly apicIds: readonly number[];
  /** ISA interrupts that are level-triggered. */
  readonly levelInterrupts: readonly number[];
}

/** MADT, revision 5 (5.2.12). */
export function buildMadt(options: MadtOptions): Uint8Array {
  const bytes: number[] = [...u32le(LOCAL_APIC), ...u32le(1)]; // a PIC is there too
  options.apicIds.forEach((apicId, i) => {
    if (apicId < 255) bytes.push(0, 8, i, apicId, ...u32le(1));
    else bytes.push(9, 16, 0, 0, ...u32le(apicId), ...u32le(1), ...u32le(i)); // local x2APIC
  });
  // The I/O APIC's identifier must differ from the processors' on old buses only; 0 is what its register says at reset.
  bytes.push(1, 12, 0, 0, ...u32le(IO_APIC), ...u32le(0));
  const override = (irq: number, input: number, flags: number): void => {
    bytes.push(2, 10, 0, irq, ...u32le(input), flags, 0);
  };
  override(0, 2, ACTIVE_HIGH_EDGE);
  for (const irq of [...options.levelInterrupts].sort((a, b) => a - b)) override(irq, irq, ACTIVE_HIGH_LEVEL);
  bytes.push(4, 6, 0xff, ACTIVE_HIGH_EDGE, 0, 1); // NMI at LINT1 of all processors
  return acpiTable('APIC', 5, Uint8Array.from(bytes));
}
