import { describe, expect, it } from 'vitest';
import { powerOff, tinyKernel } from '../../test/support/tiny-kernel.ts';
import { StateError, UserError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import type { Vcpu, VcpuExit, VcpuRegisters, VcpuStart } from '../cpu/vcpu.ts';
import { MemoryPort } from '../disk/memory-port.test-support.ts';
import type { BlockPort } from '../host/blocks.ts';
import type { Scheduler } from '../host/scheduler.ts';
import type { VcpuParts } from './engine-factory.ts';
import { bootFile } from './boot-source.ts';
import { Machine } from './machine.ts';
import type { MachineOptions } from './machine.ts';
import { silentLog } from './trace.ts';
import { ONE_PROCESSOR } from './topology.ts';

type Step = (parts: VcpuParts, vcpu: ScriptedVcpu) => VcpuExit;

/** A processor whose slices are written down; the last step repeats. */
class ScriptedVcpu implements Vcpu {
  readonly countsInstructions = true;
  readonly stateName = 'scripted';
  readonly stateVersion = 1;
  readonly parts: VcpuParts;
  readonly steps: readonly Step[];
  readonly starts: VcpuStart[] = [];
  at = 0;
  resets = 0;
  exitRequests = 0;
  interruptsOn = true;
  /** Its guest has a paravirtual clock, and was told so often that it goes forward. */
  hasClock = true;
  told = 0;
  halted = false;
  readonly stolen: number[] = [];
  readonly instructions = 0;

  constructor(parts: VcpuParts, steps: readonly Step[]) {
    this.parts = parts;
    this.steps = steps;
  }
  reset(): void {
    this.resets++;
  }
  start(state: VcpuStart): void {
    this.starts.push(state);
  }
  run(): VcpuExit {
    const step = this.steps[Math.min(this.at, this.steps.length - 1)]!;
    this.at++;
    const exit = step(this.parts, this);
    this.halted = exit === 'halt';
    return exit;
  }
  requestExit(): void {
    this.exitRequests++;
  }
  addStolenTime(ns: number): void {
    this.stolen.push(ns);
  }
  heldBack(): boolean {
    this.told++;
    return this.hasClock;
  }
  setA20(): void {}
  memoryMapChanged(): void {}
  logWrites(): void {}
  codeWritten(): void {}
  exitCounts(): Readonly<Record<string, number>> {
    return {};
  }
  registers(): VcpuRegisters {
    return { gpr: [], rip: 0x1234n, rflags: this.interruptsOn ? 0x202n : 2n, segments: {} as VcpuRegisters['segments'], cr0: 0n, cr2: 0n, cr3: 0n, cr4: 0n, efer: 0n };
  }
  save(): Plain {
    return { at: this.at };
  }
  load(state: Plain): void {
    this.at = (state as { at: number }).at;
  }
}

/** Host time moves only by sleeping, and by a microsecond at each look. */
class TestHost implements Scheduler {
  time = 0;
  readonly sleeps: (number | undefined)[] = [];
  wakes = 0;
  yields = 0;
  #wake: (() => void) | undefined;
  onSleep: () => void = () => {};

  now(): number {
    return (this.time += 1000);
  }
  yield(): Promise<void> {
    this.yields++;
    return Promise.resolve();
  }
  sleep(ns: number | undefined): Promise<void> {
    this.sleeps.push(ns);
    if (ns !== undefined) {
      this.time += ns;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.onSleep();
    });
  }
  wake(): void {
    this.wakes++;
    this.#wake?.();
  }
}

const budget: Step = () => 'budget';
const off: Step = (parts) => {
  parts.bus.writePort(0x604, 2, 0x3400);
  return 'requested';
};

function build(steps: readonly Step[], changes: Partial<MachineOptions> & { noReboot?: boolean; debugExitPort?: number } = {}) {
  const host = new TestHost();
  let vcpu: ScriptedVcpu | undefined;
  const output: number[] = [];
  const { noReboot = false, debugExitPort, ...rest } = changes;
  const machine = new Machine({
    configuration: { machine: 'pc', memoryBytes: 8 << 20, cpus: ONE_PROCESSOR, engine: 'auto', translationCacheBytes: 128 << 20, append: '', noReboot, ...(debugExitPort === undefined ? {} : { debugExitPort }) },
    boot: { kernel: bootFile('tiny', tinyKernel(powerOff())) },
    createVcpu: (parts) => (vcpu = new ScriptedVcpu(parts, steps)),
    serial: { write: (bytes) => output.push(...bytes) },
    clock: host, wallClock: { now: () => 0 }, scheduler: host, entropy: { fill: () => {} }, log: silentLog,
    ...rest,
  });
  return { machine, host, output, vcpu: vcpu! };
}

describe('ends', () => {
  it('powers off', async () => {
    const t = build([budget, off, () => expect.fail('ran on')]);
    expect(await t.machine.run()).toEqual({ kind: 'poweroff' });
    expect(t.vcpu.exitRequests).toBeGreaterThan(0);
    await expect(t.machine.run()).rejects.toThrow('run already');
  });

  it('dies of a triple fault, with registers and the last port accesses', async () => {
    const t = build([(parts) => {
      for (let port = 0; port < 20; port++) parts.bus.writePort(0x80, 1, port);
      return 'shutdown';
    }]);
    const end = await t.machine.run();
    if (end.kind !== 'died') expect.fail(end.kind);
    expect(end.reason).toBe('triple fault');
    expect(end.registers.rip).toBe(0x1234n);
    expect(end.ports.map((access) => access.value)).toEqual(Array.from({ length: 16 }, (_, i) => i + 4));
  });

  it('counts an engine that fails as a death of this guest', async () => {
    const t = build([() => {
      throw new Error('bad record');
    }]);
    expect(await t.machine.run()).toMatchObject({ kind: 'died', reason: 'engine failure: bad record' });
  });

  it('hands on the value of a debug exit', async () => {
    const t = build([(parts) => {
      parts.bus.writePort(0xf4, 4, 0x1234);
      return 'requested';
    }], { debugExitPort: 0xf4 });
    expect(await t.machine.run()).toEqual({ kind: 'debug-exit', value: 0x1234 });
  });

  it('refuses a debug exit port where a device is', () => {
    expect(() => build([budget], { debugExitPort: 0x3fc })).toThrow(UserError);
  });

  it('is stopped from the host, before it runs or from within', async () => {
    const early = build([budget]);
    early.machine.stop();
    expect(await early.machine.run()).toEqual({ kind: 'stopped' });
    expect(early.vcpu.at).toBe(0);
    const late = build([budget]);
    const running = late.machine.run();
    late.machine.stop('timeout');
    late.machine.stop();
    expect(await running).toEqual({ kind: 'timeout' });
  });
});

describe('stolen time', () => {
  /** Slices of so many ns, in which the host lets the thread wait for a third of the time, beside work at rest between two of them. */
  const waiting = async (slices: number, changes: Partial<MachineOptions>): Promise<ReturnType<typeof build>> => {
    let left = slices;
    const t = build([(parts) => {
      t.host.time += 3e6;
      return left-- > 0 ? 'budget' : off(parts, t.vcpu);
    }], changes);
    expect(await t.machine.run()).toEqual({ kind: 'poweroff' });
    return t;
  };
  it('is what the thread has waited since the machine began, told with the turns of the event loop', async () => {
    const before = 5e9;
    let asked = 0;
    const t: ReturnType<typeof build> = await waiting(100, { waitedNs: () => before + 1e6 * asked++ });
    expect(t.vcpu.stolen.length).toBeGreaterThan(10);
    expect(t.vcpu.stolen.every((ns) => ns === 1e6)).toBe(true);
    expect(asked).toBe(t.vcpu.stolen.length + 1);
  });
  it('is not told where the host does not say it, nor when there was none', async () => {
    expect((await waiting(10, {})).vcpu.stolen).toEqual([]);
    expect((await waiting(10, { waitedNs: () => 7 })).vcpu.stolen).toEqual([]);
  });
  it('is not what was waited while the machine stood still', async () => {
    let waited = 0;
    let left = 60;
    const t = build([(parts) => {
      t.host.time += 5e6;
      if (left === 30) void t.machine.atRest(() => Promise.resolve(void (waited += 1e9)));
      else waited += 10;
      return left-- > 0 ? 'budget' : off(parts, t.vcpu);
    }], { waitedNs: () => waited });
    await t.machine.run();
    expect(waited).toBeGreaterThan(1e9);
    expect(t.vcpu.stolen.reduce((sum, ns) => sum + ns, 0)).toBeLessThan(1000);
    expect(t.vcpu.stolen.length).toBeGreaterThan(10);
  });
});

describe('a clock that is behind', () => {
  /**
   * A machine that stands still for so many seconds behind its first slice; its guest's clock in s at the beginning of each slice, the last of
   * which is the one at which it is `until`. `more` is done in each, counted from 0.
   */
  const standing = async (seconds: number, until: number, exit: 'halt' | 'budget', changes: Partial<MachineOptions> = {}, more: (slice: number, parts: VcpuParts, vcpu: ScriptedVcpu) => void = () => {}): Promise<{ readonly times: readonly number[]; readonly t: ReturnType<typeof build> }> => {
    let wall = 1e12;
    const times: number[] = [];
    const t = build([(parts, vcpu) => {
      more(times.length, parts, vcpu);
      if (times.length === 0) void t.machine.atRest(() => Promise.resolve(void (wall += seconds * 1000)));
      times.push(parts.clock.now() / 1e9);
      t.host.time += 1e6;
      return times.at(-1)! >= until || times.length === 500 ? off(parts, vcpu) : exit;
    }], { wallClock: { now: () => wall }, ...changes });
    expect(await t.machine.run()).toEqual({ kind: 'poweroff' });
    return { times, t };
  };
  const steps = (times: readonly number[]): number[] => times.slice(1).map((time, i) => Math.round(time - times[i]!)).filter((step) => step > 0);

  it('goes forward whenever a guest has nothing left to do', async () => {
    const { times, t } = await standing(40, 39.9, 'halt');
    expect(steps(times)).toEqual([15, 15, 10]);
    expect(times).toHaveLength(4);
    expect(t.vcpu.told).toBe(3);
    expect(t.host.sleeps).toEqual([]);
  });
  it('goes forward while a guest is at work, too, but seldom', async () => {
    const { times } = await standing(40, 39.9, 'budget');
    expect(steps(times)).toEqual([15, 15, 10]);
    expect(times.length).toBeGreaterThan(20);
    expect(times.length).toBeLessThan(40);
  });
  it('stays behind where the guest cannot be told', async () => {
    const { times, t } = await standing(40, 0.05, 'budget', {}, (_slice, _parts, vcpu) => {
      vcpu.hasClock = false;
    });
    expect(steps(times)).toEqual([]);
    expect(t.vcpu.told).toBe(1);
  });
  it('stays where it is while a disk works', async () => {
    let answer: () => void = () => {};
    let slices = 0;
    const block = { ...new MemoryPort(1 << 20), bytes: 1 << 20, readNow: () => false, flush: () => new Promise<void>((resolve) => (answer = resolve)) } as unknown as BlockPort;
    const { times } = await standing(40, 39.9, 'budget', {
      drives: [{ kind: 'disk', interface: 'ide', block }],
      waitedNs: () => {
        if (slices++ === 30) answer();
        return 0;
      },
    }, (slice, { bus }) => {
      if (slice > 0) return;
      bus.writePort(0x1f6, 1, 0xa0);
      bus.writePort(0x1f7, 1, 0xe7); // FLUSH CACHE
    });
    expect(steps(times)).toEqual([15, 15, 10]);
    expect(times.findIndex((time) => time > 10)).toBeGreaterThan(15);
  });
  it('is right again when the guest starts anew', async () => {
    const { times, t } = await standing(40, 0.05, 'budget', {}, (slice, { bus }) => {
      if (slice === 7) bus.writePort(0xcf9, 1, 6);
    });
    expect(t.vcpu.resets).toBe(1);
    expect(steps(times)).toEqual([]);
    expect(t.vcpu.told).toBe(0);
  });
});

describe('reset', () => {
  const reset: Step = (parts) => {
    parts.bus.writePort(0xcf9, 1, 6);
    return 'requested';
  };

  it('resets the board and loads the kernel again', async () => {
    let resets = 0;
    const t = build([(parts) => {
      parts.bus.writePort(0x70, 1, 0x5a);
      parts.bus.writePort(0x20, 1, 0x11);
      new Uint8Array(parts.memory.buffer).fill(0, 0x8000000 + 0x100000, 0x8000000 + 0x100040);
      return reset(parts, t.vcpu);
    }, (parts) => {
      expect(new Uint8Array(parts.memory.buffer)[0x8000000 + 0x100000]).toBe(0x02); // the kernel's first byte
      return off(parts, t.vcpu);
    }], { onReset: () => resets++ });
    expect(await t.machine.run()).toEqual({ kind: 'poweroff' });
    expect([resets, t.machine.resets, t.vcpu.resets, t.vcpu.starts.length]).toEqual([1, 1, 1, 2]);
    expect(t.vcpu.starts[1]).toEqual(t.vcpu.starts[0]);
  });

  it('ends the machine when its kernel cannot be read any more', async () => {
    let reads = 0;
    const kernel = { name: 'tiny', read: () => {
      if (reads++ > 0) throw new UserError('kernel tiny is gone');
      return tinyKernel(powerOff());
    } };
    const t = build([reset, () => expect.fail('ran on')], { boot: { kernel } });
    expect(await t.machine.run()).toMatchObject({ kind: 'died', reason: 'kernel tiny is gone' });
  });

  it('ends instead under noReboot', async () => {
    const t = build([reset, () => expect.fail('ran on')], { noReboot: true });
    expect(await t.machine.run()).toEqual({ kind: 'reset' });
  });

  it('comes of the keyboard controller and port 92h too', async () => {
    for (const [port, value] of [[0x64, 0xfe], [0x92, 3]] as const) {
      const t = build([(parts) => {
        parts.bus.writePort(port, 1, value);
        return 'requested';
      }], { noReboot: true });
      expect(await t.machine.run(), `port ${port}`).toEqual({ kind: 'reset' });
    }
  });
});

describe('idle', () => {
  it('sleeps until the next timer, then serves it', async () => {
    let due = false;
    const t = build([
      (parts) => {
        // Counter 0, mode 0, 11932 ticks: 10 ms.
        parts.bus.writePort(0x43, 1, 0x30);
        parts.bus.writePort(0x40, 1, 0x9c);
        parts.bus.writePort(0x40, 1, 0x2e);
        parts.bus.writePort(0x20, 1, 0x11); // 8259: initialise, unmask input 0
        for (const value of [0x20, 4, 1, 0xfe]) parts.bus.writePort(0x21, 1, value);
        parts.interrupts.writeMsr(0x1b, 0xfee00100n); // local APIC off: the 8259 alone
        return 'halt';
      },
      (parts, vcpu) => {
        due = parts.interrupts.pending();
        expect(parts.interrupts.acknowledge()).toBe(0x20);
        return off(parts, vcpu);
      },
    ]);
    expect(await t.machine.run()).toEqual({ kind: 'poweroff' });
    expect(due).toBe(true);
    expect(t.host.sleeps).toHaveLength(1);
    expect(t.host.sleeps[0]).toBeGreaterThan(9.9e6);
    expect(t.host.sleeps[0]).toBeLessThan(10.1e6);
    expect(t.machine.idleNs).toBeGreaterThan(9.9e6);
  });

  it('sleeps without end when nothing is armed, and wakes for input', async () => {
    const t = build([() => 'halt', off]);
    t.host.onSleep = () => queueMicrotask(() => t.machine.sendSerial(Uint8Array.of(65)));
    expect(await t.machine.run()).toEqual({ kind: 'poweroff' });
    expect(t.host.sleeps).toEqual([undefined]);
    expect(t.host.wakes).toBe(1);
    expect(t.machine.unreadSerial).toBe(1);
  });

  it('does not sleep over what a listener has typed, or over what was done at rest', async () => {
    const halted: Step = () => 'halt';
    const says: Step = (parts) => {
      parts.bus.writePort(0x3f8, 1, 0x3f);
      void t.machine.atRest(async () => t.machine.sendSerial(Uint8Array.of(66)));
      return 'halt';
    };
    const t = build([says, halted, off], { serial: { write: () => t.machine.sendSerial(Uint8Array.of(65)) } });
    t.host.onSleep = () => queueMicrotask(() => t.machine.stop());
    expect(await t.machine.run()).toEqual({ kind: 'stopped' });
    expect([t.vcpu.at, t.machine.unreadSerial]).toEqual([2, 2]);
  });

  it('wakes to be stopped', async () => {
    const t = build([() => 'halt']);
    t.host.onSleep = () => queueMicrotask(() => t.machine.stop());
    expect(await t.machine.run()).toEqual({ kind: 'stopped' });
  });

  it('reports a halt with interrupts off once', async () => {
    let halts = 0;
    const t = build([(_, vcpu) => {
      vcpu.interruptsOn = false;
      return 'halt';
    }], { onHalted: () => halts++ });
    let sleeps = 0;
    t.host.onSleep = () => queueMicrotask(() => (++sleeps < 3 ? t.machine.sendSerial(Uint8Array.of(65)) : t.machine.stop()));
    await t.machine.run();
    expect([sleeps, halts]).toEqual([3, 1]);
  });

  it('lets the host have turns while the guest is busy', async () => {
    const t = build([...Array.from({ length: 20 }, () => (() => {
      t.host.time += 1e6;
      return 'budget';
    }) as Step), off]);
    await t.machine.run();
    expect(t.host.yields).toBeGreaterThanOrEqual(4);
  });
});

describe('console', () => {
  it('delivers output between slices only, so that a listener may save', async () => {
    let inside = false;
    let saved: Plain;
    const t = build([(parts) => {
      inside = true;
      for (let i = 0; i < 5000; i++) parts.bus.writePort(0x3f8, 1, 0x41);
      expect(() => t.machine.save()).toThrow('inside a device access');
      inside = false;
      return 'budget';
    }, off], { serial: { write: (bytes) => {
      expect(inside).toBe(false);
      saved = t.machine.save();
      t.output.push(...bytes);
    } } });
    await t.machine.run();
    expect(t.output).toHaveLength(5000);
    expect(saved!).toHaveProperty('com1');
  });

  it('waits for a sink that is not ready, but not when it is stopped', async () => {
    let open = (): void => {};
    let blocked: Promise<void> | undefined;
    const t = build([(parts) => {
      parts.bus.writePort(0x3f8, 1, 0x41);
      t.host.time += 1e7;
      return 'budget';
    }], { serial: { write: () => {
      blocked = new Promise((resolve) => (open = () => {
        blocked = undefined;
        resolve();
      }));
    }, ready: () => blocked } });
    const running = t.machine.run();
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(t.vcpu.at).toBe(1);
    open();
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(t.vcpu.at).toBe(2);
    t.machine.stop();
    expect(await running).toEqual({ kind: 'stopped' });
  });
});

describe('stored state', () => {
  it('is equal after a load into another machine', async () => {
    const t = build([(parts) => {
      for (const [port, value] of [[0x3fb, 0x1b], [0x21, 0x55], [0x70, 0x0b], [0x71, 0x42], [0x43, 0x34], [0x40, 0x10], [0x40, 0x27]] as const) parts.bus.writePort(port, 1, value);
      parts.bus.writePort(0xcf8, 4, 0x80000804);
      parts.bus.writeMmio(0xfee000f0, 4, 0x1ff);
      parts.bus.writeMmio(0xfec00000, 4, 0x12);
      return 'budget';
    }, off]);
    await t.machine.run();
    const state = t.machine.save();
    const other = build([budget]);
    expect(other.machine.save()).not.toEqual(state);
    other.machine.load(state);
    expect(other.machine.save()).toEqual(state);
  });

  it('is refused when a component is missing, damaged or of an unknown version', () => {
    const t = build([budget]);
    const state = t.machine.save() as Record<string, Plain>;
    for (const name of Object.keys(state)) {
      const { [name]: section, ...others } = state;
      expect(() => t.machine.load(others), `${name} missing`).toThrow(StateError);
      for (const bad of [null, 5, [], {}, { version: 1 }, { version: 'x', state: null }]) expect(() => t.machine.load({ ...state, [name]: bad }), `${name} damaged`).toThrow(StateError);
      if (name !== 'scripted') expect(() => t.machine.load({ ...state, [name]: { ...(section as object), version: 99 } }), `${name} of version 99`).toThrow(StateError);
    }
    expect(() => t.machine.load(null)).toThrow(StateError);
    t.machine.load(state);
    expect(t.machine.save()).toEqual(state);
  });
});

it('refuses a bad kernel when it is made', () => {
  expect(() => build([budget], { boot: { kernel: bootFile('zero', new Uint8Array(2000)) } })).toThrow(UserError);
});
