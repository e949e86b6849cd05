import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { echo, haltForever, hardReset, outByte, powerOff, print, spin, tinyKernel, tripleFault } from '../../test/support/tiny-kernel.ts';
import { FakeIo } from './fake-io.test-support.ts';
import { main } from './program.ts';

let folder: string;
const at = (name: string): string => join(folder, name);
const file = (name: string, content: Uint8Array | string): string => {
  writeFileSync(at(name), content);
  return at(name);
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'polyvisor-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SMALL = ['--memory', '8M', '--timeout', '400'];
async function run(args: readonly string[], io = new FakeIo()): Promise<{ status: number; out: string; err: string; io: FakeIo }> {
  const status = await main(args, io);
  return { status, out: io.out.toString('latin1'), err: io.err, io };
}
const kernel = (...code: readonly (readonly number[])[]): string => file(`kernel-${code.flat().length}-${code.flat().join('').slice(0, 80)}`, tinyKernel(...code));

describe('wrong use is one line and status 1', () => {
  const good = (): string[] => ['run', '--kernel', kernel(powerOff()), ...SMALL];
  const cases: readonly (readonly [string, () => string[], RegExp])[] = [
    ['unknown option', () => ['run', '--memroy', '1G'], /unknown option '--memroy' \(Did you mean --memory\?\).*run --help/],
    ['unknown command', () => ['rum'], /unknown command 'rum'.*polyvisor --help/],
    ['missing value', () => ['run', '--kernel'], /'--kernel <file>' argument missing/],
    ['too many guests', () => ['run', 'a', 'b'], /too many arguments/],
    ['unknown guest', () => ['run', 'windows'], /guest "windows" is unknown; give one of linux, linux-i386/],
    ['guest and kernel', () => ['run', 'linux', '--kernel', 'x'], /guest's name \(linux\) and a kernel/],
    ['missing kernel', () => ['run', '--kernel', at('none')], /kernel .*none does not exist; give/],
    ['folder for a kernel', () => ['run', '--kernel', folder], /is a folder/],
    ['device for a kernel', () => ['run', '--kernel', '/dev/zero'], /is a device/],
    ['text for a kernel', () => ['run', '--kernel', file('text', 'hello\n'.repeat(500))], /is no kernel but seems to be a text file/],
    ['newline in a name', () => ['run', '--kernel', at('a\nb')], /a b does not exist/],
    ['missing initrd', () => [...good(), '--initrd', at('none')], /initrd .*none does not exist/],
    ['initrd that does not fit', () => [...good(), '--initrd', file('initrd', new Uint8Array(9 << 20))], /initrd .*(fit|memory)/],
    ['nonsense memory', () => [...good(), '--memory', 'lots'], /memory size "lots".*512M/],
    ['nonsense processors', () => [...good(), '--cpus', 'x'], /number of processors "x"/],
    ['too many processors', () => [...good(), '--cpus', '65'], /processors "65" are 65, more than a machine may have; give/],
    ['several processors in lockstep', () => [...good(), '--cpus', '2', '--overcommit', '--engine', 'lockstep'], /engine "lockstep" executes one processor so far/],
    ['engines to change to in lockstep', () => [...good(), '--switchable', '--engine', 'lockstep'], /engine "lockstep" has nothing to change to; leave --switchable out/],
    ['unknown engine', () => [...good(), '--engine', 'warp'], /engine "warp" is unknown/],
    ['unknown display', () => [...good(), '--display', 'vga'], /display "vga".*none, terminal or png:FILE/],
    ['text display without firmware', () => [...good(), '--display', 'terminal'], /booted directly draws pixels/],
    ['display and serial on the terminal', () => ['run', '--firmware', 'seabios', '--display', 'terminal', '--serial', 'stdio'], /cannot both be on the terminal/],
    ['firmware and a kernel', () => [...good(), '--firmware', 'seabios'], /firmware and a kernel are given; give one of the two/],
    ['firmware and a command line', () => ['run', '--firmware', 'seabios', '--append', 'x'], /firmware and a kernel command line are given/],
    ['boot order without firmware', () => [...good(), '--boot', 'd'], /needs no boot order/],
    ['boot from no network', () => ['run', '--firmware', 'seabios', '--boot', 'n'], /names the network \(n\), but the machine has no card; add --net/],
    ['nonsense boot order', () => ['run', '--firmware', 'seabios', '--boot', 'cc'], /boot order "cc".*c \(hard disk\)/],
    ['CD-ROM image nowhere', () => [...good(), '--cdrom', at('no.iso')], /CD-ROM image .*no.iso does not exist/],
    ['floppy disk of no size', () => [...good(), '--floppy', file('odd.img', 'x')], /floppy disk image has 512 bytes; give one of 1474560/],
    ['disk nowhere', () => [...good(), '--disk', at('no.img')], /disk .*no.img does not exist; give an image, or make one: truncate -s 1G/],
    ['disk twice', () => [...good(), '--disk', file('a.img', 'x'), '--disk', `${at('a.img')},readonly`], /disk .*a.img is given twice; leave one of them out/],
    ['display nowhere', () => [...good(), '--display', `png:${at('no/where.png')}`], /where.png lies in a folder that does not exist/],
    ['unknown serial', () => [...good(), '--serial', 'tcp:1'], /serial "tcp:1".*stdio, none or file:PATH/],
    ['serial file nowhere', () => [...good(), '--serial', `file:${at('no/where')}`], /no\/where lies in a folder that does not exist/],
    ['shared folder without a tag', () => [...good(), '--share', folder], /shared folder ".*" is not understood; give DIR:TAG/],
    ['shared folder with an odd tag', () => [...good(), '--share', `${folder}:a b`], /the tag "a b", which does not do/],
    ['shared folder nowhere', () => [...good(), '--share', `${at('none')}:x`], /folder .*none to be shared does not exist; give an existing one/],
    ['two shared folders of one tag', () => [...good(), '--share', `${folder}:x`, '--share', `${folder}:x,readonly`], /two shared folders have the tag x/],
    ['console port to nowhere', () => [...good(), '--port', 'org.a'], /console port "org.a" is not understood; give NAME=unix:PATH/],
    ['console port of an odd name', () => [...good(), '--port', `a b=unix:${at('s')}`], /console port "a b" has no name that can be/],
    ['console port at a file', () => [...good(), '--port', `a=unix:${file('no-socket', '')}`], /no-socket, where the socket of console port a should be, is there already/],
    ['vsock without an address', () => [...good(), '--vsock', at('s')], /vsock ".*" is not understood; give cid=NUMBER,path=SOCKET/],
    ['vsock with the host\'s address', () => [...good(), '--vsock', `cid=2,path=${at('s')}`], /"2" is no address of a guest; give a number from 3/],
    ['nonsense timeout', () => [...good(), '--timeout', '0'], /timeout "0"/],
    ['nonsense port', () => [...good(), '--debug-exit-port', 'f4'], /debug exit port "f4"/],
    ['port that is taken', () => [...good(), '--debug-exit-port', '0x3f8'], /overlaps com1.*0xf4/],
    ['parallel port nowhere', () => [...good(), '--parallel', at('no/where')], /parallel output file .*no\/where lies in a folder that does not exist/],
    ['unknown machine', () => [...good(), '--machine', 'q35'], /machine "q35" is unknown; give one of pc, microvm/],
    ['microvm with a CD', () => [...good(), '--machine', 'microvm', '--cdrom', file('cd', 'x'.repeat(512))], /machine microvm has no CD-ROM drive; give the image as a disk/],
    ['microvm with another disk', () => [...good(), '--machine', 'microvm', '--disk', 'ram:1M,if=nvme'], /machine microvm has virtio disks only; leave if=nvme out/],
    ['unknown trace', () => [...good(), '--trace', 'pork'], /trace kind "pork".*port, mmio/],
    ['profile map without profile', () => [...good(), '--profile-map', 'System.map'], /^polyvisor: --profile-map is given without --profile; give --profile FILE too\n$/],
    ['profile map that is none', () => [...good(), '--profile', at('profile'), '--profile-map', '/etc/hostname'], /map \/etc\/hostname names no code; give/],
    ['profile nowhere', () => [...good(), '--profile', at('no/where')], /profile file .*no\/where lies in a folder that does not exist/],
    ['translation cache', () => [...good(), '--translation-cache', '1'], /translation cache "1" makes no sense; give 4M to 4G/],
    ['report nowhere', () => [...good(), '--report', at('no/where')], /report file .*no\/where lies in a folder that does not exist/],
    ['nothing to disassemble', () => ['disassemble', at('none')], /file .*none does not exist/],
    ['nonsense bits', () => ['disassemble', '--bits', '8', file('code', 'x')], /--bits 16, 32 or 64/],
    ['nonsense address', () => ['disassemble', '--address', 'here', file('code', 'x')], /address "here"/],
  ];
  it.each(cases)('%s', async (_, args, message) => {
    const { status, out, err } = await run(args());
    expect(err).toMatch(message);
    expect(err).toMatch(/^polyvisor: [^\n]+\n$/);
    expect([status, out]).toEqual([1, '']);
  });

  it.skipIf(!existsSync('/dev/full'))('full disk for the report', async () => {
    const { status, err } = await run(['run', '--kernel', kernel(powerOff()), ...SMALL, '--report', '/dev/full']);
    expect(err).toMatch(/^polyvisor: report file \/dev\/full has no room: the disk is full[^\n]*\n$/);
    expect(status).toBe(1);
  });
  it.skipIf(!existsSync('/dev/full'))('full disk for the serial output', async () => {
    const { status, err } = await run(['run', '--kernel', kernel(print('x'), spin()), ...SMALL, '--serial', 'file:/dev/full']);
    expect(err).toMatch(/^polyvisor: serial output file \/dev\/full has no room[^\n]*\n$/);
    expect(status).toBe(1);
  });
});

describe('help', () => {
  it('is shown when it is asked for', async () => {
    const { status, out } = await run(['run', '--help']);
    expect(status).toBe(0);
    for (const option of ['--kernel', '--initrd', '--append', '--memory', '--cpus', '--engine', '--switchable', '--recalibrate', '--serial', '--no-reboot', '--timeout', '--debug-exit-port', '--trace', '--report', '--firmware', '--disk', '--cdrom', '--floppy', '--boot', '--display', 'Ctrl-A X']) expect(out).toContain(option);
    expect((await run(['--version'])).out).toMatch(/^[0-9]+\.[0-9]+\.[0-9]+\n$/);
  });
  it('is shown, as an error, when nothing is asked for', async () => {
    const { status, out, err } = await run([]);
    expect([status, out]).toEqual([1, '']);
    expect(err).toContain('Usage: polyvisor');
  });
  it('lists the guests', async () => {
    const { status, out } = await run(['guests']);
    expect(status).toBe(0);
    expect(out).toMatch(/^linux +\S.*\nlinux-i386 +\S/);
  });
});

describe('exit status', () => {
  it('0: the guest powered off; its output is unchanged', async () => {
    const bytes = Array.from({ length: 256 }, (_, i) => i);
    const { status, io, err } = await run(['run', '--kernel', kernel(...bytes.map((byte) => outByte(0x3f8, byte)), powerOff()), ...SMALL]);
    expect(status).toBe(0);
    expect([...io.out]).toEqual(bytes);
    expect(err).toBe('');
  });
  it('what is printed on the parallel port goes into its file', async () => {
    const paper = join(folder, 'paper');
    const letters = [...'ink'].flatMap((letter) => [outByte(0x378, letter.charCodeAt(0)), outByte(0x37a, 0x0d), outByte(0x37a, 0x0c)]);
    const { status } = await run(['run', '--kernel', kernel(...letters, powerOff()), ...SMALL, '--parallel', paper]);
    expect([status, readFileSync(paper, 'utf8')]).toEqual([0, 'ink']);
  });
  it('2: the guest died, with registers, port accesses and last words', async () => {
    const { status, out, err } = await run(['run', '--kernel', kernel(print('first\nlast\x1b[2Jwords'), outByte(0x80, 0x42), tripleFault()), ...SMALL]);
    expect([status, out]).toEqual([2, 'first\nlast\x1b[2Jwords']);
    expect(err).toMatch(/the guest died: triple fault\n.*rax [0-9a-f]{16}/);
    expect(err).toMatch(/cs +[0-9a-f]{4} +base 0{16}/);
    expect(err).toMatch(/out 0x0080 +0x42\n/);
    expect(err).toContain('  first\n  last.[2Jwords\n');
  });
  it('3: the guest reset under --no-reboot', async () => {
    const { status } = await run(['run', '--kernel', kernel(hardReset(), spin()), ...SMALL, '--no-reboot']);
    expect(status).toBe(3);
  });
  it('124: time is over', async () => {
    const { status, err } = await run(['run', '--kernel', kernel(spin()), '--memory', '8M', '--timeout', '0.3']);
    expect([status, err]).toEqual([124, 'polyvisor: ended after 0.3 s (--timeout)\n']);
  });
  it('(value << 1) | 1: debug exit', async () => {
    const { status } = await run(['run', '--kernel', kernel(outByte(0xf4, 0x10), spin()), ...SMALL, '--debug-exit-port', '0xf4']);
    expect(status).toBe(33);
  });
  it('0: quit from the keyboard; 128 and the signal: ended by one', async () => {
    for (const [signal, expected] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) {
      const io = new FakeIo({ terminal: true });
      const running = main(['run', '--kernel', kernel(print('up'), haltForever()), ...SMALL], io);
      await io.shows('up');
      expect(io.modes).toEqual([true]);
      io.signals.emit(signal);
      expect(await running).toBe(expected);
      expect([io.modes, io.listeners]).toEqual([[true, false], 0]);
    }
  });
});

describe('terminal', () => {
  it('is raw, takes keys to the guest and is restored', async () => {
    const io = new FakeIo({ terminal: true });
    const running = main(['run', '--kernel', kernel(print('up'), echo()), ...SMALL], io);
    await io.shows('up');
    io.type('abc\x01\x01\x03');
    await io.shows('abc\x01\x03');
    io.type('\x01h');
    while (!io.err.includes('Ctrl-A X')) await new Promise((resolve) => setTimeout(resolve, 5));
    io.signals.emit('SIGCONT');
    io.type('\x01x');
    expect(await running).toBe(0);
    expect([io.modes, io.listeners]).toEqual([[true, true, false], 0]);
  });
  it('is restored when the process exits meanwhile', async () => {
    const io = new FakeIo({ terminal: true });
    const running = main(['run', '--kernel', kernel(print('up'), echo()), ...SMALL], io);
    await io.shows('up');
    io.signals.emit('exit');
    expect(io.modes).toEqual([true, false]);
    io.type('\x01x');
    await running;
    expect(io.modes).toEqual([true, false]);
  });
  it('stays as it is when the options are wrong, or the console is elsewhere', async () => {
    for (const args of [['--memory', '1'], ['--serial', 'none', '--memory', '8M']]) {
      const io = new FakeIo({ terminal: true });
      await main(['run', '--kernel', kernel(powerOff()), ...args], io);
      expect([io.modes, io.listeners]).toEqual([[], 0]);
    }
  });
  it('is told of a guest that has halted for good', async () => {
    const io = new FakeIo({ terminal: true });
    const running = main(['run', '--kernel', kernel(haltForever()), ...SMALL], io);
    while (!io.err.includes('halted with interrupts off')) await new Promise((resolve) => setTimeout(resolve, 5));
    io.type('\x01x');
    expect(await running).toBe(0);
  });
});

describe('pipes', () => {
  it('input is passed on, Ctrl-A too', async () => {
    const io = new FakeIo();
    const running = main(['run', '--kernel', kernel(print('up'), echo()), ...SMALL], io);
    await io.shows('up');
    io.type('\x01xyz');
    await io.shows('\x01xyz');
    io.signals.emit('SIGTERM');
    expect(await running).toBe(143);
  });
  it('input waits for a guest that listens: what a driver clears on its way is not lost', async () => {
    const io = new FakeIo();
    io.type('typed before');
    const clear = Array.from({ length: 20 }, () => outByte(0x3fa, 7));
    const running = main(['run', '--kernel', kernel(...clear, print('up'), ...clear, echo()), ...SMALL], io);
    await io.shows('uptyped before');
    io.signals.emit('SIGTERM');
    expect(await running).toBe(143);
  });
  it('a reader that goes away ends the run quietly', async () => {
    const io = new FakeIo({ stdout: new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })) }) });
    expect(await main(['run', '--kernel', kernel(print('up'), spin()), ...SMALL], io)).toBe(141);
    expect(io.err).toBe('');
  });
  it('a slow reader gets everything', async () => {
    let got = '';
    const io = new FakeIo({ stdout: new Writable({ highWaterMark: 1, write: (chunk: Buffer, _encoding, done) => {
      got += chunk.toString('latin1');
      setTimeout(done, 30);
    } }) });
    // An output that fills the port's buffer again and again.
    const loop = [0xb9, 0, 0x50, 0, 0, 0x66, 0xba, 0xf8, 3, 0xb0, 0x41, 0xee, 0xe2, 0xfd];
    expect(await main(['run', '--kernel', kernel(loop, print('end'), powerOff()), ...SMALL], io)).toBe(0);
    await new Promise((resolve) => io.stdout.end(resolve));
    expect(got).toBe(`${'A'.repeat(0x5000)}end`);
  });
});

describe('files', () => {
  it('--serial file:PATH gets the output', async () => {
    const { status, out } = await run(['run', '--kernel', kernel(print('to the file'), powerOff()), ...SMALL, '--serial', `file:${at('serial')}`]);
    expect([status, out]).toEqual([0, '']);
    expect(readFileSync(at('serial'), 'latin1')).toBe('to the file');
  });
  it('--profile gets a table and folded stacks', async () => {
    await run(['run', '--kernel', kernel(print('x'), powerOff()), ...SMALL, '--profile', at('profile')]);
    expect(readFileSync(at('profile'), 'utf8')).toMatch(/^# [0-9.]+ ms sampled, .*in 0 translated regions/);
    expect(readFileSync(at('profile.folded'), 'utf8')).toMatch(/^(kernel;[0-9a-f]+ [0-9]+\n)+$/);
  });

  it('--report gets figures', async () => {
    const { status } = await run(['run', '--kernel', kernel(print('x'), powerOff()), ...SMALL, '--report', at('report')]);
    const report = JSON.parse(readFileSync(at('report'), 'utf8')) as Record<string, never>;
    expect(report).toMatchObject({
      reportVersion: 1, guest: null, engine: 'translator', cpus: 1, end: 'poweroff', resets: 0, exitStatus: status, console: { bytesOut: 1, bytesIn: 0 }, memory: { guestBytes: 8 << 20 },
      translation: { regions: { made: 0 }, cache: { limitBytes: 128 << 20, bytes: 0 }, pauses: { count: 0 }, threadSeconds: 0 },
    });
    expect(report['instructions']['translator']).toBe(6);
    expect(report['exits']['port']).toBe(2);
    for (const time of ['wallSeconds', 'firstConsoleByteSeconds', 'powerOffSeconds']) expect(report[time], time).toBeGreaterThan(0);
  });
  it('--trace shows what was asked for', async () => {
    const { err } = await run(['run', '--kernel', kernel(outByte(0x80, 7), tripleFault()), ...SMALL, '--trace', 'port,exception,machine']);
    expect(err).toMatch(/^port: write 1 at 80: 7$/m);
    expect(err).toMatch(/^exception: vector 6 at 0x/m);
    expect(err).toMatch(/^machine: end: died$/m);
  });
});

describe('disassemble', () => {
  it('shows raw code', async () => {
    const { status, out } = await run(['disassemble', '--bits', '32', '--address', '0x100020', file('raw', Uint8Array.from([...powerOff(), 0xf4]))]);
    expect(status).toBe(0);
    expect(out.split('\n').map((line) => line.replace(/ +/g, ' ').trim())).toEqual([
      '100020: 66 ba 04 06 mov dx,0x604', '100024: 66 b8 00 34 mov ax,0x3400', '100028: 66 ef out dx,ax', '10002a: f4 hlt', '',
    ]);
  });
});
