/** One entry of a kvm-unit-tests `unittests.cfg`. */
export interface SuiteTest {
  readonly name: string;
  readonly file: string;
  readonly cpus: number;
  /** Arguments of the image. */
  readonly append: string;
  readonly arch: string | undefined;
  /** Processor model and devices, in QEMU's terms. */
  readonly machine: string;
  readonly accelerator: string | undefined;
  readonly timeout: number | undefined;
}

/** The value of `key = value`, quotes taken off. */
function unquote(value: string): string {
  return /^'.*'$|^".*"$/.test(value) ? value.slice(1, -1) : value;
}

export function parseUnittestsCfg(text: string): SuiteTest[] {
  const tests: SuiteTest[] = [];
  let name: string | undefined;
  let keys = new Map<string, string>();
  const finish = (): void => {
    const file = keys.get('file');
    if (name !== undefined && file !== undefined) {
      const seconds = Number(keys.get('timeout'));
      // Older suites put the arguments into extra_params.
      const machine = keys.get('qemu_params') ?? keys.get('extra_params') ?? '';
      const append = /-append (?:'([^']*)'|"([^"]*)"|(\S+))/.exec(machine);
      tests.push({
        name, file, machine,
        cpus: Number(keys.get('smp') ?? 1) || 2,
        append: keys.get('test_args') ?? append?.[1] ?? append?.[2] ?? append?.[3] ?? '',
        arch: keys.get('arch'),
        accelerator: keys.get('accel'),
        timeout: seconds > 0 ? seconds : undefined,
      });
    }
    keys = new Map();
  };
  for (const line of text.split('\n')) {
    const section = /^\[(.+)\]\s*$/.exec(line);
    if (section !== null) {
      finish();
      name = section[1];
      continue;
    }
    const pair = /^\s*([a-z_]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (pair !== null) keys.set(pair[1]!, unquote(pair[2]!));
  }
  finish();
  return tests;
}
