import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { BusChange } from './bus-change.ts';
import { PciConfigSpace, type ConfigSpaceDefinition } from './config-space.ts';
import type { PciFunction } from './pci-bus.ts';

/** A function that consists of its configuration space: bridges, and the base of devices without side effects there. */
export class RegisterFunction implements PciFunction {
  readonly stateName: string;
  readonly stateVersion = 1;
  readonly config: PciConfigSpace;

  constructor(definition: ConfigSpaceDefinition) {
    this.config = new PciConfigSpace(definition);
    this.stateName = definition.name;
  }

  readConfig(offset: number, size: AccessSize): number {
    return this.config.read(offset, size);
  }

  writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    return this.config.write(offset, size, value);
  }

  reset(): readonly BusChange[] {
    return this.config.reset();
  }

  save(): Plain {
    return this.config.save();
  }

  load(state: Plain, version: number): void {
    this.config.load(state, version);
  }

  loadMapped(state: Plain, version: number): readonly BusChange[] {
    return this.config.loadMapped(state, version);
  }
}
