import { CHARACTER_DEVICE, DIRECTORY, EXECUTABLE, SYMLINK, writeCpio } from './cpio.ts';

const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=\${TERM:-vt100}
cd /root
printf '\\n%s on Polyvisor: %s\\nThe shell below is BusyBox. "poweroff" or Ctrl-D ends the machine.\\n\\n' "$(uname -sr)" "$(uname -m)"
# BusyBox's poweroff, reboot and halt signal process 1; a shell runs its traps only while it waits.
trap 'poweroff -f' USR2
trap 'reboot -f' TERM
trap 'halt -f' USR1
# A session of its own on the console, so that job control works.
setsid cttyhack sh &
wait $!
poweroff -f
`;

/** An uncompressed initial RAM file system: BusyBox and an init that starts a shell on the console. */
export function buildInitramfs(busybox: Uint8Array): Uint8Array {
  const encoder = new TextEncoder();
  return writeCpio([
    { path: 'bin', mode: DIRECTORY },
    { path: 'dev', mode: DIRECTORY },
    { path: 'proc', mode: DIRECTORY },
    { path: 'sys', mode: DIRECTORY },
    { path: 'dev/console', mode: CHARACTER_DEVICE, device: [5, 1] },
    { path: 'dev/null', mode: CHARACTER_DEVICE, device: [1, 3] },
    { path: 'bin/busybox', mode: EXECUTABLE, data: busybox },
    { path: 'bin/sh', mode: SYMLINK, data: encoder.encode('busybox') },
    { path: 'init', mode: EXECUTABLE, data: encoder.encode(INIT) },
  ]);
}
