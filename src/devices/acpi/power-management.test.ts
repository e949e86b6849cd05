import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { PowerManagement, SLEEP_TYPE_S5, SMI_ACPI_DISABLE, SMI_ACPI_ENABLE } from './power-management.ts';
import { RESET_CONTROL_HARD_RESET, ResetControl } from './reset-control.ts';

function make() {
  const sci = { kind: 'level' as const, high: false, set(high: boolean) { sci.high = high; } };
  let off = 0;
  const pm = new PowerManagement({ sci, powerOff: () => off++ });
  return { pm, sci, off: () => off };
}

describe('PowerManagement', () => {
  it('switches ACPI mode through the SMI command port only', () => {
    const { pm } = make();
    pm.controlBlock.write(0, 2, 1);
    expect(pm.controlBlock.read(0, 2)).toBe(0);
    pm.smiCommand.write(0, 1, SMI_ACPI_ENABLE);
    expect(pm.controlBlock.read(0, 2)).toBe(1);
    pm.smiCommand.write(0, 1, SMI_ACPI_DISABLE);
    expect(pm.acpiMode).toBe(false);
  });

  it('tells the power button by SCI until the status is cleared', () => {
    const { pm, sci } = make();
    pm.smiCommand.write(0, 1, SMI_ACPI_ENABLE);
    pm.press();
    expect(sci.high).toBe(false);
    pm.eventBlock.write(2, 2, 0x0100);
    expect(sci.high).toBe(true);
    expect(pm.eventBlock.read(0, 4)).toBe(0x01000100);
    pm.eventBlock.write(0, 2, 0x0001);
    expect(sci.high).toBe(true);
    pm.eventBlock.write(0, 2, 0x0100);
    expect([sci.high, pm.eventBlock.read(0, 2)]).toEqual([false, 0]);
  });

  it('powers off by S5 alone, whichever width is written', () => {
    const { pm, off } = make();
    pm.controlBlock.write(0, 2, SLEEP_TYPE_S5 << 10);
    pm.controlBlock.write(0, 2, (3 << 10) | (1 << 13));
    expect(off()).toBe(0);
    pm.controlBlock.write(0, 2, (SLEEP_TYPE_S5 << 10) | (1 << 13));
    expect(off()).toBe(1);
    pm.controlBlock.write(1, 1, (SLEEP_TYPE_S5 << 2) | (1 << 5));
    expect(off()).toBe(2);
    expect(pm.controlBlock.read(0, 2)).toBe(SLEEP_TYPE_S5 << 10);
  });

  it('saves and loads to the bit', () => {
    const { pm } = make();
    pm.smiCommand.write(0, 2, SMI_ACPI_ENABLE | 0x4200);
    pm.eventBlock.write(2, 2, 0x0121);
    pm.press();
    const state = pm.save();
    const other = make();
    other.pm.load(state, 1);
    expect(other.pm.save()).toEqual(state);
    expect(other.sci.high).toBe(true);
    expect(() => other.pm.load({ ...(state as object), enable: -1 }, 1)).toThrow(StateError);
  });
});

describe('ResetControl', () => {
  it('resets at a rising bit 2', () => {
    let resets = 0;
    const control = new ResetControl(() => resets++);
    control.write(0, 1, 0x02);
    expect(resets).toBe(0);
    control.write(0, 1, RESET_CONTROL_HARD_RESET);
    control.write(0, 1, RESET_CONTROL_HARD_RESET);
    expect(resets).toBe(1);
    const other = new ResetControl(() => {});
    other.load(control.save(), 1);
    expect(other.save()).toEqual(control.save());
  });
});
