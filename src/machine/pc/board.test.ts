import { expect, it } from 'vitest';
import type { Vcpu } from '../../cpu/vcpu.ts';
import type { InterruptInput } from '../../wiring/interrupt-input.ts';
import type { SystemBus } from '../../wiring/system-bus.ts';
import { buildPcBoard } from './board.ts';

/** A board with a processor that only hands out its two sockets. */
function sockets(): { bus: SystemBus; interrupts: InterruptInput; reset(): void } {
  let found: { bus: SystemBus; interrupts: InterruptInput } | undefined;
  const board = buildPcBoard({
    memoryBytes: 16 * 2 ** 20, debugExitPort: undefined, drives: [], nics: [], shares: [], ports: [], firmware: undefined, serial: { write: () => {} }, clock: { now: () => 0 }, wallClock: { now: () => 0 },
    entropy: { fill: (bytes) => void bytes.fill(0) }, log: { warn: () => {}, tracing: () => false, trace: () => {} },
    createVcpu: (options) => {
      found = options;
      return { setA20: () => {}, reset: () => {}, codeWritten: () => {} } as unknown as Vcpu;
    },
    events: { powerOff: () => {}, reset: () => {}, debugExit: () => {}, kick: () => {} },
  });
  return { ...found!, reset: () => board.reset() };
}

it('a guest that knows no APIC gets the interrupts of the 8259, also after a reset', () => {
  const { bus, interrupts, reset } = sockets();
  for (let round = 0; round < 2; round++) {
    bus.writePort(0x20, 1, 0x11);
    for (const value of [0x20, 4, 1, 0xfe]) bus.writePort(0x21, 1, value);
    expect(interrupts.pending()).toBe(false);
    // The serial port interrupts at once when "transmitter empty" is enabled, through OUT2.
    bus.writePort(0x21, 1, 0xef);
    bus.writePort(0x3fc, 1, 0x08);
    bus.writePort(0x3f9, 1, 0x02);
    expect([interrupts.pending(), interrupts.acknowledge()]).toEqual([true, 0x24]);
    reset();
  }
});
