import type { MachineEnd } from '../machine/machine.ts';
import type { VcpuRegisters } from '../cpu/vcpu.ts';

const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const LAST_LINES = 12;

/** What is known of a guest that died: registers, last port accesses, last console lines. */
export function deathReport(end: MachineEnd & { kind: 'died' }, consoleText: string): string {
  const lines = [`the guest died: ${end.reason}`, ...registerLines(end.registers), 'last port accesses:'];
  for (const { port, size, value, write } of end.ports.slice(-8)) {
    lines.push(`  ${write ? 'out' : 'in '} 0x${port.toString(16).padStart(4, '0')} ${size} byte${size === 1 ? ' ' : 's'} 0x${value.toString(16)}`);
  }
  const last = consoleText.split(/\r?\n/).filter((line) => line !== '').slice(-LAST_LINES);
  lines.push('last console lines:', ...last.map((line) => `  ${line.replace(/[^\x20-\x7e]/g, '.')}`));
  return `${lines.join('\n')}\n`;
}

function registerLines(registers: VcpuRegisters): string[] {
  const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
  const lines: string[] = [];
  for (let i = 0; i < 16; i += 4) lines.push(`  ${[0, 1, 2, 3].map((k) => `${NAMES[i + k]!.padEnd(3)} ${hex(registers.gpr[i + k]!)}`).join('  ')}`);
  lines.push(`  rip ${hex(registers.rip)}  flags ${registers.rflags.toString(16)}  cr0 ${registers.cr0.toString(16)}  cr2 ${hex(registers.cr2)}  cr3 ${registers.cr3.toString(16)}  cr4 ${registers.cr4.toString(16)}  efer ${registers.efer.toString(16)}`);
  lines.push(`  ${Object.entries(registers.segments).map(([name, s]) => `${name} ${s.selector.toString(16).padStart(4, '0')}`).join('  ')}`);
  return lines;
}
