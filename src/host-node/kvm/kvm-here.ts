import { missingCapabilities, readCapabilities } from '../../engines/kvm/capabilities.ts';
import type { KvmParts } from '../../machine/engines.ts';
import { KvmUnavailable, LinuxKvm } from './linux-kvm.ts';

export type OpenKvm = Pick<KvmParts, 'host' | 'capabilities'>;

let found: OpenKvm | KvmUnavailable | undefined;

/** KVM of this host, opened once a thread; or why there is none. */
export function kvmHere(): OpenKvm | KvmUnavailable {
  return (found ??= openKvm());
}

function openKvm(): OpenKvm | KvmUnavailable {
  try {
    const host = new LinuxKvm();
    const missing = missingCapabilities(host);
    if (missing.length > 0) return new KvmUnavailable(`KVM lacks ${missing.join(', ')}`, 'use a newer kernel: Linux 5.14 has all that is needed');
    return { host, capabilities: readCapabilities(host) };
  } catch (error) {
    if (error instanceof KvmUnavailable) return error;
    return new KvmUnavailable(`KVM does not work (${(error as Error).message})`, 'see whether another hypervisor uses the processor');
  }
}
