import { expect, it } from 'vitest';
import { EVENTS, EVENT_POWER_BUTTON, ReducedHardware, SLEEP_CONTROL } from './reduced-hardware.ts';

function make() {
  const line = { kind: 'level' as const, high: false, set: (high: boolean) => void (line.high = high) };
  let off = 0;
  return { device: new ReducedHardware({ line, powerOff: () => off++ }), line, off: () => off };
}

it('tells the power button once, keeps it over save and load, and powers off by S5 only', () => {
  const { device, line, off } = make();
  device.press();
  expect(line.high).toBe(true);
  const other = make();
  other.device.load(device.save(), 1);
  expect([other.line.high, other.device.save()]).toEqual([true, device.save()]);
  expect([device.read(EVENTS, 1), line.high, device.read(EVENTS, 1)]).toEqual([EVENT_POWER_BUTTON, false, 0]);
  for (const value of [0x14, 0x30, 0x20]) device.write(SLEEP_CONTROL, 1, value);
  expect(off()).toBe(0);
  device.write(SLEEP_CONTROL, 1, 0x34);
  expect(off()).toBe(1);
});
