import type { VcpuRegisters } from '../cpu/vcpu.ts';
import type { MachineEnd } from '../machine/machine.ts';

const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const LAST_LINES = 12;
const LAST_COLUMNS = 200;

/** What is known of a guest that died: registers, last port accesses, last console lines. Ends with a line feed. */
export function deathReport(end: MachineEnd & { readonly kind: 'died' }, consoleText: string): string {
  const ports = end.ports.map(({ port, size, value, write }) =>
    `  ${write ? 'out' : 'in '} 0x${port.toString(16).padStart(4, '0')}  0x${value.toString(16).padStart(2 * size, '0')}`);
  // The guest's control sequences must not act on the terminal that shows the report.
  const lines = consoleText.split(/\r*\n/).filter((line) => line.trim() !== '').slice(-LAST_LINES)
    .map((line) => `  ${line.slice(0, LAST_COLUMNS).replace(/[^\x20-\x7e\u00a0-\ufffd]/g, '.')}`);
  return `${[
    `polyvisor: the guest died: ${end.reason}`,
    ...registerLines(end.registers),
    ...(ports.length > 0 ? ['last port accesses:', ...ports] : ['no port accesses']),
    ...(lines.length > 0 ? ['last console lines:', ...lines] : ['no console output']),
    // A failure of ours: the stack is what a bug report needs.
    ...(end.cause instanceof Error && end.cause.stack !== undefined ? ['this is a bug of polyvisor:', end.cause.stack] : []),
  ].join('\n')}\n`;
}

function registerLines(registers: VcpuRegisters): string[] {
  const wide = (value: bigint): string => value.toString(16).padStart(16, '0');
  const named = NAMES.map((name, i) => `${name.padEnd(3)} ${wide(registers.gpr[i] ?? 0n)}`);
  const lines: string[] = [];
  for (let i = 0; i < named.length; i += 4) lines.push(`  ${named.slice(i, i + 4).join('  ')}`);
  lines.push(`  rip ${wide(registers.rip)}  flags ${registers.rflags.toString(16).padStart(8, '0')}`);
  lines.push(`  cr0 ${wide(registers.cr0)}  cr2 ${wide(registers.cr2)}  cr3 ${wide(registers.cr3)}  cr4 ${wide(registers.cr4)}  efer ${registers.efer.toString(16)}`);
  for (const [name, s] of Object.entries(registers.segments)) {
    lines.push(`  ${name.padEnd(4)} ${s.selector.toString(16).padStart(4, '0')}  base ${wide(s.base)}  limit ${s.limit.toString(16).padStart(8, '0')}  attributes ${s.attributes.toString(16).padStart(5, '0')}`);
  }
  return lines;
}
