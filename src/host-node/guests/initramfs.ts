import { moduleEntries } from './kernel-modules.ts';
import type { ModuleFile } from './kernel-modules.ts';
import { CHARACTER_DEVICE, DIRECTORY, EXECUTABLE, SYMLINK, writeCpio } from './cpio.ts';

const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=\${TERM:-vt100}
# Drivers of what is there: first those of the buses, then of what they have found. Disks of SCSI and ATA controllers
# show up later, so their driver is loaded for the controller (classes 0101h and 0106h, virtio type 8).
for devices in acpi/devices/LNRO0005: pci/devices/ virtio/devices/ serio/devices/; do
  for device in /sys/bus/$devices*; do
    [ -e $device/modalias ] && modprobe -q "$(cat $device/modalias)"
    case "$(cat $device/class $device/modalias 2>/dev/null)" in 0x0101*|0x0106*|virtio:d00000008*) modprobe -q sd_mod; modprobe -q sr_mod;; esac
  done
done
# The power button: a key event, which acpid answers.
modprobe -q button && modprobe -q evdev && acpid
cd /root
greet() { printf '\\n%s on Polyvisor: %s\\nThe shell below is BusyBox. "poweroff"%s ends the machine.\\n\\n' "$(uname -sr)" "$(uname -m)" "$1"; }
# A screen has a shell of its own, unless it is the console.
[ -e /sys/class/graphics/fb0 ] && ! grep -q 'tty0$' /sys/class/tty/console/active && (greet > /dev/tty1; while :; do setsid -c sh < /dev/tty1 > /dev/tty1 2>&1; done) &
greet ' or Ctrl-D'
# BusyBox's poweroff, reboot and halt signal process 1; a shell runs its traps only while it waits.
trap 'poweroff -f' USR2
trap 'reboot -f' TERM
trap 'halt -f' USR1
# A session of its own on the console, so that job control works.
setsid cttyhack sh &
wait $!
poweroff -f
`;

/** What BusyBox's udhcpc calls: it puts into force what a DHCP server has said. */
const DHCP_SCRIPT = `#!/bin/sh
case "$1" in
  deconfig) ip link set $interface up; ip addr flush dev $interface;;
  bound|renew)
    ip addr flush dev $interface
    ip addr add $ip/$mask dev $interface
    for r in $router; do ip route add default via $r dev $interface; done
    for d in $dns; do echo nameserver $d; done > /etc/resolv.conf;;
esac
`;

/** An uncompressed initial RAM file system: BusyBox, kernel modules, and an init that starts a shell on the console. */
export function buildInitramfs(busybox: Uint8Array, modules: readonly ModuleFile[] = []): Uint8Array {
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
    // Where the kernel looks for it when it needs a module itself, for a file system say.
    { path: 'sbin', mode: DIRECTORY },
    { path: 'sbin/modprobe', mode: SYMLINK, data: encoder.encode('/bin/busybox') },
    ...['etc', 'etc/udhcpc', 'etc/acpi', 'etc/acpi/PWRF', 'var', 'var/run', 'var/log'].map((path) => ({ path, mode: DIRECTORY })),
    { path: 'etc/acpi/PWRF/00000080', mode: EXECUTABLE, data: encoder.encode('#!/bin/sh\npoweroff\n') },
    { path: 'etc/udhcpc/default.script', mode: EXECUTABLE, data: encoder.encode(DHCP_SCRIPT) },
    ...moduleEntries(modules),
    { path: 'init', mode: EXECUTABLE, data: encoder.encode(INIT) },
  ]);
}
