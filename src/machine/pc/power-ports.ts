import type { AccessSize } from '../../base/addresses.ts';
import { BlockMap } from '../../buses/block-map.ts';
import type { PowerManagement } from '../../devices/acpi/power-management.ts';
import type { PmTimer } from '../../timers/pm-timer.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';

/** The ACPI ports as the chip has them, one block that moves as a whole (82371AB data sheet 290562, section 7.2). */
export function powerPorts(power: PowerManagement, timer: PmTimer): RegisterBlock {
  const ports = new BlockMap();
  ports.map(0, power.eventBlock);
  ports.map(4, power.controlBlock);
  ports.map(8, timer);
  return {
    name: 'acpi-ports',
    length: 64,
    read: (offset: number, size: AccessSize) => ports.read(offset, size),
    write: (offset: number, size: AccessSize, value: number) => ports.write(offset, size, value),
  };
}
