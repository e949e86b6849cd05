import xtermStyle from '@xterm/xterm/css/xterm.css';
import { UserError } from '../base/errors.ts';
import type { MachineEnd } from '../machine/machine.ts';
import type { DiskRequest } from '../host-browser/requests.ts';
import style from './element.css';
import { ScreenView } from './screen-view.ts';
import { SerialView } from './serial-view.ts';
import { VirtualMachine } from './virtual-machine.ts';
import type { RestoreOptions, VirtualMachineOptions } from './virtual-machine.ts';

export type MachineState = 'off' | 'loading' | 'running' | 'paused' | 'ended' | 'failed';

const ENDS: Readonly<Record<MachineEnd['kind'], string>> = {
  poweroff: 'Powered off', reset: 'The guest has reset', 'debug-exit': 'The guest has ended the machine', stopped: 'Stopped', timeout: 'Its time was up', died: 'The guest has died',
};

const TEMPLATE = `
<div class="bar">
  <span class="state" role="status" data-state="off">Off</span>
  <button type="button" class="to-screen" aria-pressed="false" hidden>Screen</button>
  <button type="button" class="to-serial" aria-pressed="true">Serial</button>
  <button type="button" class="full">Full screen</button>
</div>
<div class="views"><div class="screen" hidden></div><div class="serial"></div></div>`;

/**
 * `<polyvisor-machine kernel= initrd= cmdline= firmware= vga-bios= disk= keep= cdrom= memory= cpus= engine= display input autostart>`: a
 * machine with its screen, keyboard, mouse (or tablet: `input`) and serial console. Its attributes are read when it starts. Fires `statechange`, and
 * `warning` with a line in `detail`.
 */
export class PolyvisorMachine extends HTMLElement {
  #serial: SerialView | undefined;
  #opening: Promise<SerialView> | undefined;
  #screen: ScreenView | undefined;
  #vm: VirtualMachine | undefined;
  #state: MachineState = 'off';
  #starts = 0;

  connectedCallback(): void {
    if (this.shadowRoot === null) this.#build(this.attachShadow({ mode: 'open' }));
    if (this.hasAttribute('autostart') && this.#vm === undefined) void this.start().catch(() => {});
  }
  disconnectedCallback(): void {
    // Moved within the page, it goes on.
    setTimeout(() => {
      if (!this.isConnected) this.#drop();
    });
  }

  #build(root: ShadowRoot): void {
    const sheet = document.createElement('style');
    sheet.textContent = xtermStyle + style;
    const template = document.createElement('template');
    template.innerHTML = TEMPLATE;
    root.append(sheet, template.content);
    this.#button('to-screen').addEventListener('click', () => this.#turnTo('screen'));
    this.#button('to-serial').addEventListener('click', () => this.#turnTo('serial'));
    this.#button('full').addEventListener('click', () => void (document.fullscreenElement === this ? document.exitFullscreen() : this.requestFullscreen()).catch(() => {}));
    this.#opening = SerialView.open(this.#part('serial')).then((view) => (this.#serial = view));
    this.#screen = new ScreenView(this.#part('screen'), () => this.#button('to-screen').focus());
  }
  #part(name: string): HTMLElement {
    return this.shadowRoot!.querySelector<HTMLElement>(`.${name}`)!;
  }
  #button(name: string): HTMLButtonElement {
    return this.#part(name) as HTMLButtonElement;
  }

  /** The machine, once it is there. */
  get vm(): VirtualMachine | undefined {
    return this.#vm;
  }
  get state(): MachineState {
    return this.#state;
  }
  /** What can be seen of the serial console. */
  get serialText(): string {
    return this.#serial?.text ?? '';
  }
  /** Types a text on the serial console. */
  paste(text: string): void {
    this.#serial?.paste(text);
  }

  /** What the attributes ask for. */
  options(): VirtualMachineOptions {
    const text = (name: string): string | undefined => this.getAttribute(name) ?? undefined;
    const [kernel, initrd, append, firmware, vgaBios, disk, keep, cdrom, memory, cpus, engine] =
      ['kernel', 'initrd', 'cmdline', 'firmware', 'vga-bios', 'disk', 'keep', 'cdrom', 'memory', 'cpus', 'engine'].map(text);
    const disks: DiskRequest[] = disk === undefined ? [] : [{ source: disk, ...(keep === undefined ? {} : { keep }) }];
    return {
      ...given({ kernel, initrd, append, firmware, vgaBios, cdrom, memory }), disks,
      ...(this.hasAttribute('display') ? { display: true } : {}), ...(this.hasAttribute('input') ? { input: true } : {}),
      ...(cpus === undefined ? {} : { cpus }), ...(engine === undefined ? {} : { engine: engine as NonNullable<VirtualMachineOptions['engine']> }),
    };
  }

  /** Starts a machine in place of what was there: that of the attributes, or another one. Rejects with a UserError, which is shown too. */
  start(options: VirtualMachineOptions = this.options()): Promise<VirtualMachine> {
    return this.#begin((warn) => VirtualMachine.create({ ...options, onWarning: warn }), options.onWarning);
  }
  /** The same with a stored machine. */
  restore(stored: string | Blob, options: RestoreOptions = {}): Promise<VirtualMachine> {
    return this.#begin((warn) => VirtualMachine.restore(stored, { ...options, onWarning: warn }), options.onWarning);
  }

  async #begin(make: (warn: (line: string) => void) => Promise<VirtualMachine>, warned?: (line: string) => void): Promise<VirtualMachine> {
    const start = ++this.#starts;
    this.#drop();
    this.#tell('loading', 'Loading');
    try {
      const serial = await this.#opening;
      if (serial === undefined) throw new UserError('the element is in no page yet; append it to one first');
      const vm = await make((line) => {
        warned?.(line);
        this.dispatchEvent(new CustomEvent('warning', { detail: line }));
      });
      if (start !== this.#starts) {
        vm.dispose();
        throw new Error('another machine was started meanwhile');
      }
      this.#vm = vm;
      serial.attach(vm.console);
      this.#button('to-screen').hidden = !vm.hasDisplay;
      this.#turnTo(vm.hasDisplay ? 'screen' : 'serial', false);
      if (vm.hasDisplay) await this.#screen!.attach(vm);
      vm.start().then((end) => this.#ended(vm, end), (error: unknown) => this.#failed(vm, error));
      this.#tell('running', 'Running');
      return vm;
    } catch (error) {
      if (start === this.#starts) this.#tell('failed', (error as Error).message);
      throw error;
    }
  }

  #ended(vm: VirtualMachine, end: MachineEnd): void {
    if (vm !== this.#vm) return;
    this.#tell(end.kind === 'died' ? 'failed' : 'ended', end.kind === 'died' ? `${ENDS.died}: ${end.reason}` : end.kind === 'debug-exit' ? `${ENDS[end.kind]} (${end.value})` : ENDS[end.kind]);
  }
  #failed(vm: VirtualMachine, error: unknown): void {
    if (vm === this.#vm) this.#tell('failed', (error as Error).message);
  }

  async pause(): Promise<void> {
    await this.#vm?.pause();
    if (this.#state === 'running') this.#tell('paused', 'Paused');
  }
  async resume(): Promise<void> {
    await this.#vm?.resume();
    if (this.#state === 'paused') this.#tell('running', 'Running');
  }

  #turnTo(view: 'screen' | 'serial', focus = true): void {
    for (const name of ['screen', 'serial'] as const) {
      this.#part(name).hidden = name !== view;
      this.#button(`to-${name}`).setAttribute('aria-pressed', String(name === view));
    }
    if (focus) (view === 'screen' ? this.#screen : this.#serial)?.focus();
  }

  #tell(state: MachineState, text: string): void {
    this.#state = state;
    const shown = this.#part('state');
    shown.textContent = text;
    shown.dataset['state'] = state;
    this.dispatchEvent(new Event('statechange'));
  }

  #drop(): void {
    this.#serial?.detach();
    this.#screen?.detach();
    this.#vm?.dispose();
    this.#vm = undefined;
  }
}

function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

if (customElements.get('polyvisor-machine') === undefined) customElements.define('polyvisor-machine', PolyvisorMachine);
