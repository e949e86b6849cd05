import { expect, test } from 'vitest';
import { Random } from '../../fuzz/cpu/random.ts';
import { VirtualMachine } from '../../src/index.ts';

const SWITCHES = 1000;
const PAUSE_MS = 10;

/** Compares checksums, arithmetic in floating point, time that passes, children and files; says BAD for what is wrong. */
const script = [
  'i=0', 'last=$(cat /proc/uptime | cut -d. -f1)', 'while [ $i -lt 20 ]; do',
  'dd if=/dev/urandom of=/tmp/a bs=4096 count=32 2>/dev/null; cp /tmp/a /tmp/b; [ "$(md5sum < /tmp/a)" = "$(md5sum < /tmp/b)" ] || echo "BA""D checksum"',
  '[ "$(awk "BEGIN { for (k = 1; k < 3000; k++) s += 1 / k; printf \\"%.9f\\", s }")" = "8.583416557" ] || echo "BA""D sum"',
  'now=$(cat /proc/uptime | cut -d. -f1); [ $now -ge $last ] || echo "BA""D time $last $now"; last=$now',
  '(exit 7); [ $? = 7 ] || echo "BA""D exit"; mkdir /tmp/d; mv /tmp/b /tmp/d/c; [ "$(ls /tmp/d)" = c ] || echo "BA""D files"; rm -r /tmp/d', 'i=$((i + 1))', 'done', 'echo "DO""NE $i"',
];

test('a Debian guest that checks itself does not notice 1,000 changes of its engine', async () => {
  const vm = await VirtualMachine.create({ guest: 'linux', memory: '256M', engine: 'translator' });
  void vm.start();
  await vm.console.waitFor(/# /, 300_000);
  vm.console.write(`cat > /tmp/script <<'END'\n${script.join('\n')}\nEND\n`);
  await vm.console.waitFor(/END[\s\S]*# /, 60_000);
  vm.console.write('sh /tmp/script\n');
  const random = new Random(1, 0);
  let switches = 0;
  const timer = setInterval(() => {
    const others = vm.engines.filter((name) => name !== vm.engine);
    vm.switchEngine(others[random.below(others.length)]!);
    switches++;
    // A new engine has to decode everything anew: it gets the time to do some work.
  }, 100);
  try {
    await vm.console.waitFor(/DONE 20/, 600_000);
    while (switches < SWITCHES) await new Promise((resolve) => setTimeout(resolve, 50));
  } finally {
    clearInterval(timer);
  }
  expect(vm.console.text).not.toContain('BAD');
  const { switches: figures } = vm.report();
  console.log(`${figures.count} changes, the longest took ${figures.longestMs.toFixed(1)} ms (asked: ${PAUSE_MS})`);
  expect(figures.count).toBeGreaterThanOrEqual(SWITCHES);
  vm.console.write('poweroff\n');
  expect((await vm.finished).kind).toBe('poweroff');
}, 1_200_000);
