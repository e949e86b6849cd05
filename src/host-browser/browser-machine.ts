import { UserError } from '../base/errors.ts';
import type { EngineModules } from '../engines/modules.ts';
import type { Log } from '../host/log.ts';
import { configure } from '../library/hardware-options.ts';
import type { HardwareOptions } from '../library/hardware-options.ts';
import { LocalMachine } from '../library/local-machine.ts';
import type { EngineChoice, LocalParts } from '../library/local-machine.ts';
import type { MachineReport } from '../library/machine-report.ts';
import { WorkerCompiler } from '../library/worker-compiler.ts';
import { checkEngine, checkTimeout } from '../machine/configuration.ts';
import type { EngineName } from '../machine/configuration.ts';
import { readBootFiles } from './boot-files.ts';
import type { BootRequest } from './boot-files.ts';
import { BrowserClock, BrowserScheduler, browserEntropy, browserWallClock } from './ports.ts';
import { startTranslationThread } from './translation-thread.ts';

declare const POLYVISOR_VERSION: string;

/** Figures about a run in a browser. */
export interface BrowserReport extends MachineReport {
  readonly host: {
    readonly browser: string;
    /** The page is cross-origin isolated. */
    readonly isolated: boolean;
  };
}

/** A machine in a worker of a page. */
export class BrowserMachine extends LocalMachine {
  /** Fetches the files, loads the kernel. Throws UserError. */
  static async create(options: Omit<HardwareOptions, 'append'> & BootRequest, modules: EngineModules, log: Log): Promise<BrowserMachine> {
    const configuration = configure(options);
    const timeout = options.timeout === undefined ? undefined : checkTimeout(options.timeout);
    const engine = settleEngine(options.engine ?? 'auto');
    const { append, ...files } = await readBootFiles(options);
    return new BrowserMachine(modules, { profile: options.profile ?? false, log }, {
      configuration: { ...configuration, append }, files: { ...files, guest: null }, drives: [], nics: [], timeout, engine, blank: false,
    });
  }

  private constructor(modules: EngineModules, options: { readonly profile: boolean; readonly log: Log }, parts: LocalParts) {
    const clock = new BrowserClock();
    super({
      modules, clock, wallClock: browserWallClock, scheduler: new BrowserScheduler(clock), entropy: browserEntropy,
      compiler: new WorkerCompiler(modules.handlers, startTranslationThread), version: POLYVISOR_VERSION,
    }, options, parts);
  }

  override report(): BrowserReport {
    return { ...super.report(), host: { browser: navigator.userAgent, isolated: crossOriginIsolated } };
  }
}

function settleEngine(name: EngineName): EngineChoice {
  switch (checkEngine(name)) {
    case 'auto':
      return { first: 'translator' };
    case 'kvm': case 'hybrid':
      throw new UserError(`engine "${name}": there is no KVM in a browser; give translator, interpreter or auto`);
    case 'interpreter': case 'translator': case 'lockstep':
      return { first: name as 'interpreter' | 'translator' | 'lockstep' };
  }
}
