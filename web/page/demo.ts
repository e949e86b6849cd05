import type { VirtualMachine, VirtualMachineOptions } from 'polyvisor/browser';
import type { PolyvisorMachine } from 'polyvisor/browser/element';
import type { DemoGuest } from '../demo-guest.ts';
import { Figures } from './figures.ts';

const ELEMENT = '/polyvisor/element.js';
const STATE = 'demo';

const find = <T extends HTMLElement>(id: string): T => document.querySelector<T>(`#${id}`)!;
const machine = find<PolyvisorMachine>('machine');
const guest = find<HTMLSelectElement>('guest');
const memory = find<HTMLSelectElement>('memory');
const image = find<HTMLInputElement>('image');
const trouble = find('trouble');
const figures = new Figures();
let guests: readonly DemoGuest[] = [];

function complain(line: string | undefined): void {
  trouble.hidden = line === undefined;
  trouble.textContent = line ?? '';
}
const say = (line: string): void => void (find('said').textContent = line);

/** Runs what a button asks for; what goes wrong is shown. */
function on(id: string, work: () => Promise<void> | void): void {
  find(id).addEventListener('click', () => {
    complain(undefined);
    Promise.resolve().then(work).catch((error: unknown) => complain((error as Error).message));
  });
}
function running(): VirtualMachine {
  if (machine.vm === undefined) throw new Error('there is no machine; boot one first');
  return machine.vm;
}

function chosen(): DemoGuest {
  return guests.find(({ name }) => name === guest.value)!;
}
function showChoice(): void {
  const own = chosen().name === 'own';
  find('image-label').hidden = !own;
  find('keep-label').hidden = !own;
  memory.value = chosen().memory;
}

function options(): VirtualMachineOptions {
  const { name, title: _, memory: __, ...boot } = chosen();
  const common = { ...boot, memory: memory.value, rng: true };
  if (name !== 'own') return common;
  const file = image.files?.[0];
  if (file === undefined) throw new Error('no image is chosen; choose a raw disk image or an ISO file');
  if (/\.iso$/i.test(file.name)) return { ...common, cdrom: file };
  return { ...common, disks: [{ source: file, ...(find<HTMLInputElement>('keep').checked ? { keep: file.name.replace(/[^\w .+-]/g, '_') } : {}) }] };
}

function begin(): void {
  complain(undefined);
  say('');
  figures.clear();
}

function download(name: string, blob: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function showState(): void {
  const { state } = machine;
  const runs = state === 'running' || state === 'paused';
  for (const id of ['pause', 'reset', 'power', 'stop', 'save', 'download']) find<HTMLButtonElement>(id).disabled = !runs;
  find<HTMLButtonElement>('export').disabled = !runs || chosen()?.name !== 'own';
  find('pause').textContent = state === 'paused' ? 'Go on' : 'Pause';
}

find('choice').addEventListener('submit', (event) => {
  event.preventDefault();
  begin();
  Promise.resolve().then(() => machine.start(options())).catch((error: unknown) => complain((error as Error).message));
});
guest.addEventListener('change', showChoice);
machine.addEventListener('statechange', showState);
machine.addEventListener('warning', (event) => complain((event as CustomEvent<string>).detail));
on('pause', () => (machine.state === 'paused' ? machine.resume() : machine.pause()));
on('reset', () => running().pressReset());
on('power', () => running().pressPowerButton());
on('stop', async () => void (await running().stop()));
on('save', async () => {
  say('Saving');
  const began = performance.now();
  const bytes = await running().saveFile(STATE);
  say(`Saved ${megabytes(bytes)} in ${((performance.now() - began) / 1000).toFixed(1)} s. Restore finds it after a reload too.`);
});
on('restore', async () => {
  begin();
  await machine.restore(STATE);
  say('Restored.');
});
on('download', async () => {
  say('Packing');
  const blob = await running().saveBlob();
  download('machine.polyvisor', blob);
  say(`${megabytes(blob.size)}: polyvisor run --restore machine.polyvisor goes on with it.`);
});
find<HTMLInputElement>('upload').addEventListener('change', (event) => {
  const input = event.target as HTMLInputElement;
  const file = input.files?.[0];
  input.value = '';
  if (file === undefined) return;
  begin();
  machine.restore(file).then(() => say(`Restored from ${file.name}.`), (error: unknown) => complain((error as Error).message));
});
on('export', async () => {
  say('Exporting');
  const blob = await running().exportDisk();
  download(image.files?.[0]?.name ?? 'disk.img', blob);
  say(`The disk has ${megabytes(blob.size)}.`);
});

setInterval(() => {
  if (machine.state === 'running') void machine.vm?.report().then((report) => figures.show(report), () => {});
}, 1000);

try {
  await import(ELEMENT);
  guests = (await (await fetch('/guests.json')).json()) as DemoGuest[];
  guest.replaceChildren(...guests.map(({ name, title }) => new Option(title, name)));
  showChoice();
  showState();
} catch (error) {
  complain(`The page cannot be loaded whole (${(error as Error).message}); reload it, and look whether its server runs.`);
}
