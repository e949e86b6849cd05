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
      await vm?.stop();
      remove();
      throw error;
    }
  }

  async #logIn(): Promise<void> {
    const { console: terminal } = this.vm;
    void this.vm.start();
    await terminal.waitFor('login: ', BOOT_MS);
    await this.#typeUser();
    terminal.write(`${DEBIAN_PASSWORD}\n`);
    await terminal.waitFor('# ', BOOT_MS);
    // No line editor between us and the shell, and no kernel messages.
    await this.run('exec env TERM=dumb PS1="# " bash --noediting --norc; stty -echo; dmesg -n 1');
  }

  /** Again and again: a getty that starts anew throws away what was typed before. */
  async #typeUser(): Promise<void> {
    const { console: terminal } = this.vm;
    for (let tries = 0; tries < 20; tries++) {
      terminal.write(`${DEBIAN_USER}\n`);
      if (await terminal.waitFor('Password: ', 30_000).then(() => true, () => false)) return;
    }
    throw new Error(`the guest does not ask for a password: ${terminal.text.slice(-300)}`);
  }

  /** Runs a command in the shell; returns what it has printed. Its status must be 0. */
  async run(command: string, timeoutMs = 300_000): Promise<string> {
    const { console: terminal } = this.vm;
    terminal.write(`${command}; echo "[sta""tus $?]"\n`);
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
