/** One entry of an initial RAM file system. */
export interface CpioEntry {
  readonly path: string;
  /** File type and permissions as in stat's st_mode. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Device numbers, for character devices. */
  readonly device?: readonly [number, number];
}

export const DIRECTORY = 0o040755;
export const EXECUTABLE = 0o100755;
export const SYMLINK = 0o120777;
export const CHARACTER_DEVICE = 0o020600;

/** Entries of every folder above the files, those further up first. */
export function foldersOf(paths: readonly string[]): CpioEntry[] {
  const found = new Set<string>();
  for (const path of paths) {
    const parts = path.split('/');
    for (let i = 1; i < parts.length; i++) found.add(parts.slice(0, i).join('/'));
  }
  return [...found].sort().map((path) => ({ path, mode: DIRECTORY }));
}

/** Writes a cpio archive in the `newc` format (Linux: Documentation/driver-api/early-userspace/buffer-format.rst). */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  const push = (bytes: Uint8Array): void => {
    parts.push(bytes);
    length += bytes.length;
    const padding = (4 - (length % 4)) % 4;
    parts.push(new Uint8Array(padding));
    length += padding;
  };
  const encoder = new TextEncoder();
  const write = (entry: CpioEntry, inode: number): void => {
    const data = entry.data ?? new Uint8Array(0);
    const name = encoder.encode(`${entry.path}\0`);
    const [major, minor] = entry.device ?? [0, 0];
    const links = (entry.mode & 0o170000) === 0o040000 ? 2 : 1;
    const fields = [inode, entry.mode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    const head = new Uint8Array(110 + name.length);
    head.set(encoder.encode(header));
    head.set(name, 110);
    push(head);
    push(data);
  };
  entries.forEach((entry, i) => write(entry, i + 1));
  write({ path: 'TRAILER!!!', mode: 0 }, 0);
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
