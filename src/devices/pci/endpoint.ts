import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { LevelLine, MsiSink } from '../../wiring/interrupt-line.ts';
import { StateFields } from '../state-fields.ts';
import type { BusChange } from './bus-change.ts';
import { placeCapabilities } from './capabilities.ts';
import type { PciCapability } from './capabilities.ts';
import { pciHeader } from './chipset.ts';
import type { PciIdentity } from './chipset.ts';
import { PCI_COMMAND, PciConfigSpace } from './config-space.ts';
import type { BarDefinition, ConfigRegister } from './config-space.ts';
import { MSI_ADDRESS, MSI_ADDRESS_HIGH, MSI_CONTROL, MSI_DATA, MSI_ENABLE, msiCapability } from './msi.ts';
import { MsixTable, msixCapability, sendMessage } from './msix.ts';
import { romBlock, romFor } from './option-rom.ts';
import type { PciFunction } from './pci-bus.ts';

const COMMAND_MASTER = 0x0004;
const COMMAND_NO_INTX = 0x0400;
const STATUS = 0x06;
const STATUS_INTERRUPT = 0x08;
const STATUS_RESET = 0x0200;

/** What a device on the bus is soldered to. */
export interface PciWiring {
  /** The line of the slot's pin A. */
  readonly intx: LevelLine;
  readonly messages: MsiSink;
  /** What is in the socket for an option ROM; missing: nothing. */
  readonly rom?: Uint8Array;
}

export interface EndpointDefinition {
  readonly name: string;
  readonly identity: PciIdentity;
  readonly bars: readonly BarDefinition[];
  /** Further registers, and what the header's say otherwise. */
  readonly registers?: readonly ConfigRegister[];
  readonly capabilities?: readonly PciCapability[];
  /** One message through the MSI capability. */
  readonly msi?: boolean;
  readonly msix?: { readonly vectors: number; readonly bar: number; readonly tableOffset: number };
}

/**
 * A device on the PCI bus: configuration space, bus mastering, and interrupts by whichever of INTx, MSI and MSI-X the
 * guest has chosen. The state of what lies behind the BARs comes from the class that extends it.
 */
export abstract class PciEndpoint implements PciFunction {
  readonly stateName: string;
  readonly stateVersion = 1;
  protected readonly config: PciConfigSpace;
  protected readonly msix: MsixTable | undefined;
  /** Where the capabilities of the definition begin, in their order. */
  protected readonly capabilityOffsets: readonly number[];
  readonly #wiring: PciWiring;
  readonly #msiAt: number | undefined;
  readonly #msixAt: number | undefined;
  #asserted = false;
  #master = false;

  constructor(definition: EndpointDefinition, wiring: PciWiring) {
    const own = definition.capabilities ?? [];
    const { msix } = definition;
    const messages = [...(definition.msi ? [msiCapability] : []), ...(msix ? [msixCapability(msix.vectors, msix.bar, msix.tableOffset)] : [])];
    const placed = placeCapabilities([...own, ...messages], STATUS_RESET);
    this.stateName = definition.name;
    this.config = new PciConfigSpace({
      name: definition.name,
      registers: [...pciHeader({ interruptPin: 1, ...definition.identity }), ...placed.registers, ...(definition.registers ?? [])],
      bars: definition.bars,
      ...(wiring.rom === undefined ? {} : { rom: romBlock(definition.name, romFor(wiring.rom, definition.identity)) }),
    });
    this.capabilityOffsets = placed.offsets.slice(0, own.length);
    this.#msiAt = definition.msi ? placed.offsets[own.length] : undefined;
    this.#msixAt = msix ? placed.offsets.at(-1) : undefined;
    this.msix = msix ? new MsixTable(msix.vectors, wiring.messages) : undefined;
    this.#wiring = wiring;
  }

  /** Power-on state of what lies behind the BARs. */
  protected abstract resetDevice(): void;
  protected abstract saveDevice(): Plain;
  protected abstract loadDevice(state: Plain): void;
  /** The guest has given the function access to memory. */
  protected mastering(): void {}

  /** The function may read and write memory and send messages. */
  protected get master(): boolean {
    return this.#master;
  }
  protected get messagesEnabled(): boolean {
    return this.msix?.enabled === true || this.#msiEnabled();
  }

  /** The interrupt pin; silent while messages are enabled. */
  protected setIntx(asserted: boolean): void {
    this.#asserted = asserted;
    this.#updateIntx();
  }

  /** Sends a message, by MSI-X or MSI. */
  protected sendVector(vector: number): void {
    if (!this.#master) return;
    if (this.msix?.enabled) this.msix.notify(vector);
    else if (this.#msiEnabled()) {
      const at = this.#msiAt!;
      sendMessage(this.#wiring.messages, this.config.read(at + MSI_ADDRESS, 4), this.config.read(at + MSI_ADDRESS_HIGH, 4), this.config.read(at + MSI_DATA, 2));
    }
  }

  #msiEnabled(): boolean {
    return this.#msiAt !== undefined && (this.config.read(this.#msiAt + MSI_CONTROL, 2) & MSI_ENABLE) !== 0;
  }

  #updateIntx(): void {
    const status = this.config.read(STATUS, 2);
    this.config.set(STATUS, 2, this.#asserted ? status | STATUS_INTERRUPT : status & ~STATUS_INTERRUPT);
    const off = this.messagesEnabled || (this.config.read(PCI_COMMAND, 2) & COMMAND_NO_INTX) !== 0;
    this.#wiring.intx.set(this.#asserted && !off);
  }

  readConfig(offset: number, size: AccessSize): number {
    return this.config.read(offset, size);
  }

  writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    const changes = this.config.write(offset, size, value);
    this.#follow();
    if (this.#msixAt !== undefined && offset < this.#msixAt + 4 && offset + size > this.#msixAt) this.msix!.setControl(this.config.read(this.#msixAt + 2, 2));
    this.#updateIntx();
    return changes;
  }

  #follow(): void {
    const before = this.#master;
    this.#master = (this.config.read(PCI_COMMAND, 2) & COMMAND_MASTER) !== 0;
    if (this.#master && !before) this.mastering();
  }

  reset(): readonly BusChange[] {
    const changes = this.config.reset();
    this.#master = false;
    this.msix?.reset();
    this.resetDevice();
    this.setIntx(false);
    return changes;
  }

  save(): Plain {
    return { config: this.config.save(), msix: this.msix?.save() ?? null, intx: this.#asserted, device: this.saveDevice() };
  }

  load(state: Plain, version: number): void {
    this.loadMapped(state, version);
  }

  loadMapped(state: Plain, version: number): readonly BusChange[] {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const asserted = fields.boolean('intx');
    const changes = this.config.loadMapped(fields.nested('config'), 1);
    this.msix?.load(fields.nested('msix'));
    this.#master = (this.config.read(PCI_COMMAND, 2) & COMMAND_MASTER) !== 0;
    this.loadDevice(fields.nested('device'));
    this.setIntx(asserted);
    return changes;
  }
}
