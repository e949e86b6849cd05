import { expect } from 'vitest';
import { DEBIAN_PASSWORD, DEBIAN_USER, copyOfDisk, debianSystem } from '../../guest/debian-image.ts';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';
import type { DiskInterface } from '../../src/machine/drives.ts';

/** A whole boot on a busy machine. */
const BOOT_MS = 900_000;

/** A Debian 12 with systemd on a disk of its own, logged in on the serial console. */
export class DebianSession {
  readonly vm: VirtualMachine;
  /** Path of the raw image, which nobody else uses. */
  readonly image: string;
  readonly #remove: () => void;

  private constructor(vm: VirtualMachine, image: string, remove: () => void) {
    this.vm = vm;
    this.image = image;
    this.#remove = remove;
  }

  /** Boots and logs in. `options` go before what is usual here: 1 GiB, the disk on virtio. */
  static async boot(interface_: DiskInterface = 'virtio', options: Omit<VirtualMachineOptions, 'disks' | 'append'> & { readonly append?: string } = {}): Promise<DebianSession> {
    const { image, kernel, initrd, append } = await debianSystem((line) => console.log(`debian: ${line}`));
    const { path, remove } = await copyOfDisk(image);
    let vm: VirtualMachine | undefined;
    try {
      vm = await VirtualMachine.create({ kernel, initrd, memory: '1G', ...options, append: `${append} quiet ${options.append ?? ''}`, disks: [{ file: path, interface: interface_ }] });
      const session = new DebianSession(vm, path, remove);
      await session.#logIn();
      return session;
    } catch (error) {
      const end = await vm?.stop();
      remove();
      throw end === undefined || end.kind === 'stopped' ? error : new Error(`the guest has ended: ${JSON.stringify({ ...end, registers: undefined, ports: undefined })}`, { cause: error });
    }
  }

  async #logIn(): Promise<void> {
    const { console: terminal } = this.vm;
    void this.vm.start();
    await terminal.waitFor('login: ', BOOT_MS);
    for (let tries = 0; ; tries++) {
      if (await this.#answer(DEBIAN_USER, /Password: /) && await this.#answer(DEBIAN_PASSWORD, /# /)) break;
      if (tries === 10) throw new Error(`the guest lets nobody in: ${terminal.text.slice(-300)}`);
    }
    // No line editor between us and the shell, and no kernel messages.
    terminal.write('exec env TERM=dumb PS1="# " PS2= bash --noediting --norc\n');
    await terminal.waitFor(/norc[^#]*# /, BOOT_MS);
    await this.run('stty -echo; dmesg -n 1');
  }

  /**
   * Types a line once the guest waits for it: a getty that starts anew, and who asks for a password, throw away what was typed
   * between their prompt and their change of the terminal's mode (tcsetattr with TCSAFLUSH). False when the guest begins anew.
   */
  async #answer(line: string, next: RegExp): Promise<boolean> {
    const { console: terminal } = this.vm;
    await this.#rest();
    terminal.write(`${line}\n`);
    // login gives up after a minute of the guest's time, and getty asks for a name again.
    const found = await terminal.waitFor(new RegExp(`${next.source}|login: `), 180_000).catch(() => '');
    return next.test(found);
  }

  /** Until the guest has slept for as long as people take to begin typing, or has had a lot of time. */
  async #rest(): Promise<void> {
    const idle = this.vm.report().idleSeconds;
    for (let i = 0; i < 100 && this.vm.report().idleSeconds < idle + 0.3; i++) await new Promise((resolve) => setTimeout(resolve, 100));
  }

  /** Runs a command in the shell, of one line or more; returns what it has printed. Its status must be 0. */
  async run(command: string, timeoutMs = 300_000): Promise<string> {
    const { console: terminal } = this.vm;
    terminal.write(`{ ${command}\n}; echo "[sta""tus $?]"\n`);
    const output = await terminal.waitFor(/[^]*\[status \d+\]/, timeoutMs);
    await terminal.waitFor('# ', timeoutMs);
    expect(output, command).toContain('[status 0]');
    return output.slice(0, output.lastIndexOf('[status')).replaceAll('\r', '');
  }

  /** As `systemctl poweroff` does, from the power button. */
  async powerOff(): Promise<void> {
    this.vm.console.write('systemctl poweroff\n');
    const timer = setTimeout(() => void this.vm.stop(), BOOT_MS);
    const end = await this.vm.finished;
    clearTimeout(timer);
    expect(end.kind).toBe('poweroff');
  }

  /** Ends the machine if it runs, and deletes the disk. */
  async remove(): Promise<void> {
    await this.vm.stop();
    this.#remove();
  }
}
