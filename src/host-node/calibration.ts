import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { FEATURE_WORDS } from '../engines/kvm/cpuid-table.ts';
import { tryKvm } from '../engines/kvm/trial.ts';
import type { KvmFinding } from '../engines/kvm/trial.ts';
import { loadEngineModules } from './engine-modules.ts';
import { cacheFolder } from './cache-folder.ts';
import { KvmUnavailable } from './kvm/linux-kvm.ts';
import { kvmHere } from './kvm/kvm-here.ts';
import { NodeClock } from './ports.ts';
import { packageVersion } from './version.ts';

/** What was found out about this host. */
export interface HostFinding {
  readonly kvm: KvmFinding | { readonly reason: string; readonly remedy: string };
}

/** What the finding depends on: it is made anew when one of them has changed. */
interface Circumstances {
  readonly version: string;
  readonly kernel: string;
  readonly processor: string;
  /** Whether there is KVM is looked at each time: rights and modules come and go. */
  readonly kvm: boolean;
}

const FILE = 'calibration.json';
/** The quickest of a few attempts counts: other processes only make it slower. */
const ATTEMPTS = 2;

/** Measures once a host; later calls, also of other processes, take what was found then unless `again`. */
export function calibrate(again = false): HostFinding {
  const kvm = kvmHere();
  const circumstances: Circumstances = {
    version: packageVersion(), kernel: release(), processor: cpus()[0]?.model ?? '', kvm: !(kvm instanceof KvmUnavailable),
  };
  if (kvm instanceof KvmUnavailable) return { kvm: { reason: kvm.message, remedy: kvm.remedy } };
  const known = again ? undefined : readFinding(circumstances);
  if (known !== undefined) return known;
  const finding = measure();
  if (!('reason' in finding.kvm)) storeFinding(circumstances, finding);
  return finding;
}

function measure(): HostFinding {
  const kvm = kvmHere();
  if (kvm instanceof KvmUnavailable) return { kvm: { reason: kvm.message, remedy: kvm.remedy } };
  try {
    const attempts = Array.from({ length: ATTEMPTS }, () => tryKvm(kvm.host, kvm.capabilities, loadEngineModules(), new NodeClock()));
    const best = (pick: (finding: KvmFinding) => number): number => Math.max(...attempts.map(pick));
    return { kvm: { ...attempts[0]!, ring0: best((a) => a.ring0), ring3: best((a) => a.ring3), compatible: best((a) => a.compatible), exitNs: -best((a) => -a.exitNs) } };
  } catch (error) {
    return { kvm: { reason: `KVM fails with a small guest (${(error as Error).message})`, remedy: 'see the kernel\'s log (dmesg)' } };
  }
}

function readFinding(circumstances: Circumstances): HostFinding | undefined {
  try {
    const stored = JSON.parse(readFileSync(join(cacheFolder(), FILE), 'utf8')) as { readonly circumstances: Circumstances; readonly kvm: KvmFinding };
    const { kvm } = stored;
    const same = (Object.keys(circumstances) as (keyof Circumstances)[]).every((key) => stored.circumstances[key] === circumstances[key]);
    const whole = [kvm.ring0, kvm.ring3, kvm.compatible, kvm.exitNs].every(Number.isFinite) && [kvm.cpuid, kvm.syscall, kvm.tscOffset, kvm.syncRegisters].every((value) => typeof value === 'boolean');
    const words = Array.isArray(kvm.user) && kvm.user.length === FEATURE_WORDS.length && kvm.user.every(Number.isInteger);
    return same && whole && words ? { kvm } : undefined;
  } catch {
    return undefined; // none yet, or damaged
  }
}

function storeFinding(circumstances: Circumstances, finding: HostFinding): void {
  try {
    mkdirSync(cacheFolder(), { recursive: true });
    const unfinished = join(cacheFolder(), `${FILE}.${process.pid}`);
    writeFileSync(unfinished, JSON.stringify({ circumstances, ...finding }, null, 2));
    renameSync(unfinished, join(cacheFolder(), FILE));
  } catch {
    // A cache that cannot be written costs the measurement the next time.
  }
}
