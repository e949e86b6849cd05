import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CaptureFile } from './capture-file.ts';

const log = { warn: (message: string) => expect(message).toBe(''), tracing: () => false, trace: () => {} };
const hasTshark = spawnSync('tshark', ['--version']).status === 0;
if (!hasTshark) console.warn('src/host-node/capture-file.test: tshark is missing; install it');

it('refuses a file that cannot be written in one line', () => {
  expect(() => new CaptureFile('/nonexistent/x', [], log)).toThrow(/^the capture file \/nonexistent\/x lies in a folder that does not exist; give/);
});

it.skipIf(!hasTshark)('writes what tshark reads: frames, times, directions, interfaces', () => {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-capture-'));
  try {
    const path = join(folder, 'x.pcapng');
    const capture = new CaptureFile(path, ['virtio 52:54:00:01:02:03', 'e1000 52:54:00:01:02:04'], log);
    const arp = Uint8Array.from(Buffer.from('ffffffffffff525400010203080600010800060400015254000102030a4d00020000000000000a4d0001', 'hex'));
    const before = Date.now() / 1000;
    capture.observe(0).frame('out', { bytes: arp });
    capture.observe(1).frame('in', { bytes: arp });
    capture.observe(1).frame('in', { bytes: new Uint8Array(61).fill(1) });
    capture.close();
    capture.close();
    const after = Date.now() / 1000;
    const fields = ['frame.interface_name', 'frame.packet_flags_direction', 'frame.len', 'arp.dst.proto_ipv4', 'frame.time_epoch'];
    const lines = execFileSync('tshark', ['-r', path, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trimEnd().split('\n').map((line) => line.split('\t'));
    expect(lines.map((line) => line.slice(0, 4))).toEqual([
      ['virtio 52:54:00:01:02:03', '0x00000002', '42', '10.77.0.1'], ['e1000 52:54:00:01:02:04', '0x00000001', '42', '10.77.0.1'], ['e1000 52:54:00:01:02:04', '0x00000001', '61', ''],
    ]);
    for (const line of lines) expect([line[4], Number(line[4]) > before - 1, Number(line[4]) < after + 1]).toEqual([line[4], true, true]);
    expect(readFileSync(path).length % 4).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
