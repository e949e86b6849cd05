import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { shows } from '../support/firmware.ts';
import { answer, boot, command, powerOff, ready } from '../support/guest-shell.ts';
import { TapNetwork, noTap } from '../support/tap-network.ts';

if (noTap !== undefined) console.warn(`test/boot/network: networks over TAP are not tested: ${noTap}`);
const hasServers = ['dnsmasq', 'tshark'].every((program) => spawnSync(program, ['--version']).status === 0);
if (!hasServers) console.warn('test/boot/network: dnsmasq or tshark is missing; install dnsmasq-base and tshark');

const nightly = process.env['POLYVISOR_NIGHTLY'] === '1';
const MODELS = ['virtio', 'e1000', 'rtl8139'] as const;
/** With a kernel that has the card's driver. */
const CARDS = [['virtio', 'linux'], ['e1000', 'linux-i386'], ['rtl8139', 'linux-i386'], ...(nightly ? [['rtl8139d', 'linux-i386']] as const : [])] as const;

/** Gives numbers, so many lines of them, over HTTP, and says the checksum of what it gets at /put. */
const SERVER = `
  const { createHash } = require('node:crypto');
  const numbers = Array.from({ length: 400000 }, (_, i) => i + 1 + '\\n').join('');
  require('node:http').createServer((request, response) => {
    if (request.url === '/numbers') return response.end(numbers);
    const hash = createHash('sha256');
    request.on('data', (chunk) => hash.update(chunk));
    request.on('end', () => response.end(hash.digest('hex') + '\\n'));
  }).listen(80, () => console.log('ready'));
`;
const numbers = (count: number): string => Array.from({ length: count }, (_, i) => `${i + 1}\n`).join('');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe.skipIf(noTap !== undefined || !hasServers)('a network over a TAP interface', () => {
  for (const [model, guest] of CARDS) test(`${model}: an address by DHCP, pings both ways, transfers with the right checksums, a capture, and a save in between`, async () => {
    const network = new TapNetwork();
    try {
      const capture = join(network.folder, 'x.pcapng');
      const options = { guest, memory: '192M', append: 'quiet', nets: [`tap:${network.tap}`], nics: [`${model},mac=52:54:00:00:00:07`] };
      const first = await boot({ ...options, capture });
      network.enter();
      await once(network.start('node', '-e', SERVER).stdout!, 'data');
      network.start('dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--port=0', `--log-facility=${network.folder}/log`, `--dhcp-leasefile=${network.folder}/leases`, '--dhcp-range=10.77.0.20,10.77.0.20', '--dhcp-host=52:54:00:00:00:07,10.77.0.20');
      await ready(first);
      expect(await command(first, 'ip link set eth0 up && udhcpc -q -f -n -t 60 -i eth0')).toContain('lease of 10.77.0.20 obtained');
      // Behind the last request ping waits for twice the usual time only, which a busy host may exceed: one answer will do.
      await answer(first, `ping -c 3 -i 0.2 -W 200 ${network.address}`, / [123] packets received/);
      expect(await network.runAside('ping', '-c', '3', '-i', '0.2', '-W', '200', '-s', '1400', '10.77.0.20')).toMatch(/ [123] received/);
      expect(await command(first, `wget -q -O - http://${network.address}/numbers | sha256sum`)).toContain(sha256(numbers(400_000)));
      expect(await command(first, `seq 1 50000 > /tmp/n && wget -q -O - --post-file /tmp/n http://${network.address}/put`)).toContain(sha256(numbers(50_000)));
      // Half of a transfer, as the guest reads slowly.
      first.console.write(`wget -q -O - http://${network.address}/numbers | (head -c 65536; echo "pau""se" >&2; read x < /dev/console; cat) | sha256sum\n`);
      await first.console.waitFor('pause\r\n', 200_000);
      const state = first.save();
      await first.stop();
      network.leave();
      const second = await VirtualMachine.create(options);
      second.load(state);
      expect(isDeepStrictEqual(second.save(), state)).toBe(true);
      network.enter();
      void second.start();
      second.console.write('\n');
      await second.console.waitFor(sha256(numbers(400_000)), 200_000);
      await powerOff(second);
      const packets = spawnSync('tshark', ['-r', capture, '-Y', 'dhcp.option.dhcp == 5 or icmp.type == 0', '-T', 'fields', '-e', 'dhcp.ip.your', '-e', 'icmp.resp_to'], { encoding: 'utf8' }).stdout.trim().split('\n');
      expect(packets[0]).toMatch(/^10\.77\.0\.20/);
      expect(packets.length).toBeGreaterThanOrEqual(1 + 2);
      expect(packets.length).toBeLessThanOrEqual(1 + 6);
    } finally {
      network.remove();
    }
  }, 1_200_000);
});

describe.skipIf(noTap !== undefined || !hasServers)('iPXE over a TAP interface', () => {
  const cases = [...MODELS.map((model) => ['seabios', model] as const), ...MODELS.map((model) => ['ovmf', model] as const)].filter(([firmware, model]) => nightly || (firmware === 'seabios' ? model !== 'rtl8139' : model === 'e1000'));
  for (const [firmware, model] of cases) test(`${model}: ${firmware} starts it from the card's ROM; it gets an address by DHCP and what it boots by TFTP`, async () => {
    const network = new TapNetwork();
    try {
      writeFileSync(join(network.folder, 'hello.ipxe'), '#!ipxe\necho hello from ${next-server} to ${net0/ip}\nprompt\n');
      const vm = await VirtualMachine.create({ firmware, memory: '128M', bootOrder: 'n', nets: [`tap:${network.tap}`], nics: [`${model},mac=52:54:00:00:00:09`] });
      network.enter();
      network.start('dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--port=0', `--log-facility=${network.folder}/log`, `--dhcp-leasefile=${network.folder}/leases`, '--dhcp-range=10.77.0.30,10.77.0.30', '--enable-tftp', `--tftp-root=${network.folder}`, '--dhcp-boot=hello.ipxe', '--user=root');
      void vm.start();
      const greeting = /iPXE [^]*52:54:00:00:00:09[^]*hello from 10\.77\.0\.1 to 10\.77\.0\.30/;
      // UEFI draws its letters; it writes them to the serial line, too.
      await (firmware === 'seabios' ? shows(vm, greeting) : vm.console.waitFor(greeting, 240_000));
      await vm.stop();
    } finally {
      network.remove();
    }
  });
});

test('two machines on a hub', async () => {
  const machines = await Promise.all([1, 2].map((i) => boot({ memory: '192M', nets: [`hub:test-${process.pid}`], nics: [`virtio,mac=52:54:00:00:01:0${i}`] })));
  const [a, b] = machines as [VirtualMachine, VirtualMachine];
  await Promise.all(machines.map(ready));
  await command(a, 'ip link set eth0 up && ip addr add 10.1.0.1/24 dev eth0');
  await command(b, 'ip link set eth0 up && ip addr add 10.1.0.2/24 dev eth0');
  expect(await command(b, 'cat /sys/class/net/eth0/address')).toContain('52:54:00:00:01:02');
  await answer(b, 'ping -c 3 -i 0.2 -W 200 -s 4000 10.1.0.1', / [123] packets received/);
  await command(a, 'mkdir /w && seq 1 50000 > /w/numbers && httpd -h /w');
  expect(await command(b, 'wget -q -O - http://10.1.0.1/numbers | sha256sum')).toContain(sha256(numbers(50_000)));
  await Promise.all(machines.map(powerOff));
}, 1_200_000);
